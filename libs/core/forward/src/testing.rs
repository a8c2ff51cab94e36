//! What the tests of this crate share: packets by description, and repeatable chance.

use std::net::Ipv4Addr;

/// The address written in `text`.
pub(crate) fn address(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

/// A packet to build.
pub(crate) struct Inner {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    time_to_live: u8,
    protocol: u8,
    flags: u16,
    identification: u16,
    options: Vec<u8>,
    payload: Vec<u8>,
}

impl Inner {
    pub(crate) fn new(source: &str, destination: &str) -> Self {
        Self {
            source: address(source),
            destination: address(destination),
            time_to_live: 63,
            protocol: 17,
            flags: 0,
            identification: 0x1234,
            options: Vec::new(),
            payload: Vec::new(),
        }
    }

    pub(crate) fn time_to_live(mut self, value: u8) -> Self {
        self.time_to_live = value;
        self
    }

    pub(crate) fn protocol(mut self, value: u8) -> Self {
        self.protocol = value;
        self
    }

    pub(crate) fn identification(mut self, value: u16) -> Self {
        self.identification = value;
        self
    }

    pub(crate) fn dont_fragment(mut self, value: bool) -> Self {
        self.flags = if value { self.flags | 0x4000 } else { self.flags & !0x4000 };
        self
    }

    /// Offset in units of eight octets.
    pub(crate) fn fragment(mut self, offset: u16, more: bool) -> Self {
        self.flags |= offset | if more { 0x2000 } else { 0 };
        self
    }

    /// A multiple of four octets.
    pub(crate) fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// So many octets, each unlike its neighbours.
    pub(crate) fn payload(mut self, length: usize) -> Self {
        self.payload = (0..length).map(|n| (n % 251) as u8).collect();
        self
    }

    pub(crate) fn bytes(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let header = 20 + self.options.len();
        let total = (header + self.payload.len()) as u16;
        let mut out = vec![0x40 | (header / 4) as u8, 0xb8];
        out.extend(total.to_be_bytes());
        out.extend(self.identification.to_be_bytes());
        out.extend(self.flags.to_be_bytes());
        out.extend([self.time_to_live, self.protocol, 0, 0]);
        out.extend(self.source.octets());
        out.extend(self.destination.octets());
        out.extend(&self.options);
        let sum = wire::checksum::checksum(&out);
        out[10..12].copy_from_slice(&sum.to_be_bytes());
        out.extend(&self.payload);
        out
    }
}

/// SplitMix64: the same seed gives the same tests everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound)) as u32
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// A TCP segment without its checksum: sequence number, flags, options of whole words, payload.
pub(crate) fn tcp(sequence: u32, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x90, 0xc3, 0x50];
    out.extend(sequence.to_be_bytes());
    out.extend(77_u32.to_be_bytes());
    out.extend([((20 + options.len()) * 4) as u8, flags, 0x01, 0xf5, 0, 0, 0, 0]);
    out.extend(options);
    out.extend(payload);
    out
}

/// What the TCP checksum of a packet without IP options has to be, counted plainly.
pub(crate) fn tcp_sum(packet: &[u8]) -> u16 {
    transport_sum(packet, 16)
}

/// What the checksum of a transport protocol with its field there has to be.
pub(crate) fn transport_sum(packet: &[u8], field: usize) -> u16 {
    let mut all = packet[12..20].to_vec();
    all.extend([0, packet[9]]);
    all.extend(((packet.len() - 20) as u16).to_be_bytes());
    all.extend(&packet[20..]);
    all[12 + field..14 + field].fill(0);
    wire::checksum::checksum(&all)
}
