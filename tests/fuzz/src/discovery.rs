//! Agent advertisement and solicitation, tunnel data.

use wire::mip::{
    advertisement::{Advertisement, Solicitation},
    tunnel_data::TunnelData,
};

use crate::packet::icmp_repaired;

fn advertisement_once(data: &[u8]) {
    let Ok(advertisement) = Advertisement::parse(data) else {
        return;
    };
    let again = advertisement.to_vec().expect("it was parsed");
    assert_eq!(Advertisement::parse(&again), Ok(advertisement));
    // Entries may be longer than two words, which are not kept; all ones is a way to write the checksum zero.
    if data[5] == 2 && data[2..4] != [0xff, 0xff] {
        assert_eq!(again, data);
    }
}

/// A router or agent advertisement, as it came and with its checksum made right.
pub fn advertisement(data: &[u8]) {
    advertisement_once(data);
    advertisement_once(&icmp_repaired(data));
}

fn solicitation_once(data: &[u8]) {
    if Solicitation::parse(data).is_ok() {
        assert!(data.len() >= 8 && data[..2] == [10, 0]);
    }
}

/// A solicitation, as it came and with its checksum made right.
pub fn solicitation(data: &[u8]) {
    solicitation_once(data);
    solicitation_once(&icmp_repaired(data));
}

/// A tunnel data message.
pub fn tunnel_data(data: &[u8]) {
    let Ok(message) = TunnelData::parse(data) else {
        return;
    };
    let again = message.to_vec();
    assert_eq!(TunnelData::parse(&again), Ok(message));
    if data[2..4] == [0, 0] {
        assert_eq!(again, data);
    }
}
