//! Headers of links, in front of IPv4 packets (the registry of link types that pcap files use).

/// EtherTypes: IPv4, and the tags of virtual networks, which stand before it.
const IPV4: u16 = 0x0800;
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// A link type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Link(pub(super) i32);

impl Link {
    /// A word that tells the address family, in the byte order of the machine that captured.
    const LOOPBACK: Self = Self(0);
    const ETHERNET: Self = Self(1);
    const RAW_BSD: Self = Self(12);
    const RAW: Self = Self(101);
    const LOOPBACK_BSD: Self = Self(108);
    const LINUX_COOKED: Self = Self(113);
    const RAW_IPV4: Self = Self(228);
    const LINUX_COOKED_2: Self = Self(276);

    const KNOWN: [Self; 8] = [
        Self::LOOPBACK,
        Self::ETHERNET,
        Self::RAW_BSD,
        Self::RAW,
        Self::LOOPBACK_BSD,
        Self::LINUX_COOKED,
        Self::RAW_IPV4,
        Self::LINUX_COOKED_2,
    ];

    pub(super) fn is_known(self) -> bool {
        Self::KNOWN.contains(&self)
    }

    /// The IPv4 packet in a frame of this link, if there is one.
    pub(super) fn ipv4(self, frame: &[u8]) -> Option<&[u8]> {
        match self {
            Self::ETHERNET => tagged(frame, 12),
            Self::LINUX_COOKED => tagged(frame, 14),
            Self::LINUX_COOKED_2 => (word(frame, 0)? == IPV4).then(|| frame.get(20..))?,
            Self::LOOPBACK | Self::LOOPBACK_BSD => {
                let (family, packet) = frame.split_first_chunk::<4>()?;
                matches!(family, [2, 0, 0, 0] | [0, 0, 0, 2]).then_some(packet)
            }
            Self::RAW | Self::RAW_BSD | Self::RAW_IPV4 => (frame.first()? >> 4 == 4).then_some(frame),
            _ => None,
        }
    }
}

/// What follows the EtherType at `at`, tags skipped.
fn tagged(frame: &[u8], mut at: usize) -> Option<&[u8]> {
    while TAGS.contains(&word(frame, at)?) {
        at += 4;
    }
    (word(frame, at)? == IPV4).then(|| frame.get(at + 2..))?
}

fn word(frame: &[u8], at: usize) -> Option<u16> {
    frame.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_behind_every_header() {
        let packet = [0x45, 1, 2, 3];
        let behind = |header: &[u8]| [header, &packet].concat();
        let frames = [
            (1, behind(&[&[0; 12][..], &[8, 0]].concat())),
            (1, behind(&[&[0; 12][..], &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 7, 8, 0]].concat())),
            (0, behind(&[2, 0, 0, 0])),
            (108, behind(&[0, 0, 0, 2])),
            (113, behind(&[&[0; 14][..], &[8, 0]].concat())),
            (276, behind(&[&[8, 0][..], &[0; 18]].concat())),
            (12, packet.to_vec()),
            (101, packet.to_vec()),
            (228, packet.to_vec()),
        ];
        for (link, frame) in frames {
            assert!(Link(link).is_known());
            assert_eq!(Link(link).ipv4(&frame), Some(&packet[..]), "{link}");
            for cut in 0..frame.len() - packet.len() {
                assert_eq!(Link(link).ipv4(&frame[..cut]), None, "{link} cut to {cut}");
            }
        }
    }

    #[test]
    fn frames_without_ipv4() {
        let arp = [&[0; 12][..], &[8, 6, 0x45]].concat();
        assert_eq!(Link::ETHERNET.ipv4(&arp), None);
        assert_eq!(Link::RAW.ipv4(&[0x60, 0, 0, 0]), None);
        assert_eq!(Link::LOOPBACK.ipv4(&[10, 0, 0, 0, 0x60]), None);
        assert!(!Link(105).is_known() && Link(105).ipv4(&[0x45; 40]).is_none());
    }
}
