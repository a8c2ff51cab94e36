//! Taking a registration message apart takes no memory.

use wire::mip::{
    ours::DOCUMENTATION_VENDOR,
    part::Parts,
    registration::{Reply, Request},
};

const REQUEST: &str = include_str!("../../../../tests/vectors/worked/1-request-relayed.hex");
const REPLY: &str = include_str!("../../../../tests/vectors/worked/1-reply.hex");

fn bytes(hex: &str) -> Vec<u8> {
    let words = hex.lines().flat_map(|line| line.split('#').next().unwrap_or("").split_whitespace());
    words.map(|octet| u8::from_str_radix(octet, 16).expect("hex")).collect()
}

#[test]
fn parsing_allocates_nothing() {
    let (request, reply) = (bytes(REQUEST), bytes(REPLY));
    let seen = allocation_counter::measure(|| {
        Request::parse(&request).unwrap();
        let parts = Parts::parse(&request, Request::LEN, DOCUMENTATION_VENDOR).unwrap();
        assert!(parts.foreign_home.is_some() && parts.foreign.key_share.is_some());
        Reply::parse(&reply).unwrap();
        let parts = Parts::parse(&reply, Reply::LEN, DOCUMENTATION_VENDOR).unwrap();
        assert!(!parts.mobile.associations.is_empty() && !parts.foreign.associations.is_empty());
    });
    assert_eq!((seen.count_total, seen.bytes_total), (0, 0));
    let control = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8])));
    assert_eq!(control.count_total, 1, "the counter counts");
}
