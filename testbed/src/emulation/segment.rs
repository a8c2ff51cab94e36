//! Which ports of a link a frame is for: a learning bridge's table, without spanning tree and without ageing.

use std::collections::BTreeMap;

type LinkAddress = [u8; 6];

/// What a link knows about who is where.
#[derive(Default)]
pub(super) struct Segment {
    places: BTreeMap<LinkAddress, u64>,
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To every port but the one that it came by.
    Everybody,
    To(u64),
    /// Its receiver is on the side that it came from, or it is no frame.
    Nobody,
}

impl Segment {
    /// Learns where the sender is, if its port is still there, and says where the frame goes.
    pub(super) fn forward(&mut self, from: u64, attached: bool, frame: &[u8]) -> Way {
        let Some((to, rest)) = frame.split_first_chunk::<6>() else {
            return Way::Nobody;
        };
        let Some((source, _)) = rest.split_first_chunk::<6>() else {
            return Way::Nobody;
        };
        let group = |address: &LinkAddress| address[0] & 1 == 1;
        if attached && !group(source) {
            self.places.insert(*source, from);
        }
        match self.places.get(to) {
            _ if group(to) => Way::Everybody,
            Some(port) if *port == from => Way::Nobody,
            Some(port) => Way::To(*port),
            None => Way::Everybody,
        }
    }

    /// Forgets who was behind a port.
    pub(super) fn forget(&mut self, port: u64) {
        self.places.retain(|_, place| *place != port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(to: u8, from: u8) -> Vec<u8> {
        [[to; 6], [from; 6]].concat()
    }

    #[test]
    fn it_learns_and_forgets() {
        let mut segment = Segment::default();
        assert_eq!(segment.forward(1, true, &frame(0xff, 2)), Way::Everybody, "broadcast");
        assert_eq!(segment.forward(2, true, &frame(2, 4)), Way::To(1));
        assert_eq!(segment.forward(1, true, &frame(4, 2)), Way::To(2));
        assert_eq!(segment.forward(2, true, &frame(4, 6)), Way::Nobody, "on the same side");
        segment.forget(2);
        assert_eq!(segment.forward(1, true, &frame(4, 2)), Way::Everybody);
        assert_eq!(segment.forward(1, true, &[0; 11]), Way::Nobody);
    }

    #[test]
    fn a_frame_of_a_port_that_left_teaches_nothing() {
        let mut segment = Segment::default();
        segment.forward(1, false, &frame(0xff, 2));
        assert_eq!(segment.forward(3, true, &frame(2, 4)), Way::Everybody);
    }

    #[test]
    fn a_node_that_moved_is_found_at_its_new_port() {
        let mut segment = Segment::default();
        segment.forward(1, true, &frame(0xff, 2));
        segment.forward(5, true, &frame(0xff, 2));
        assert_eq!(segment.forward(3, true, &frame(2, 4)), Way::To(5));
    }
}
