//! Building a message byte by byte.

use std::net::Ipv4Addr;

/// A growing message. Numbers go out in network order.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty message with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// Goes on after bytes that already stand.
    #[must_use]
    pub const fn after(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// What was written so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes were written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True if nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The finished message.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Makes room for `more` bytes.
    pub fn reserve(&mut self, more: usize) {
        self.bytes.reserve(more);
    }

    /// What was written so far, to be changed where it stands.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Appends an 8-bit number.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.put(&[value])
    }

    /// Appends a 16-bit number.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.put(&value.to_be_bytes())
    }

    /// Appends a 32-bit number.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_be_bytes())
    }

    /// Appends a 64-bit number.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.put(&value.to_be_bytes())
    }

    /// Appends an IPv4 address.
    pub fn ipv4(&mut self, value: Ipv4Addr) -> &mut Self {
        self.put(&value.octets())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_in_network_order() {
        let mut w = Writer::with_capacity(8);
        w.u8(1).u16(0x0203).u32(0x0405_0607).ipv4(Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(w.len(), 11);
        assert_eq!(w.into_bytes(), [1, 2, 3, 4, 5, 6, 7, 10, 0, 0, 1]);
    }
}
