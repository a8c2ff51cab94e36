//! Address translation for a router, as one hand-made nfnetlink batch.
//!
//! The batch says what `nft add rule ip nat postrouting oif UPLINK masquerade` says, so that no program and no
//! library of the host is needed.

use std::io;

use anyhow::{Context, Result, bail};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::os::fd::AsRawFd;

use crate::netns::Inside;

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const MSG_NEWTABLE: u16 = 0;
const MSG_NEWCHAIN: u16 = 3;
const MSG_NEWRULE: u16 = 6;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const FAMILY_UNSPECIFIED: u8 = 0;
const FAMILY_IPV4: u8 = 2;
const NLA_NESTED: u16 = 0x8000;

const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

const TABLE: &[u8] = b"nat\0";
const CHAIN: &[u8] = b"postrouting\0";

impl Inside {
    /// Rewrites the source of everything that leaves by the interface to that interface's address.
    pub(crate) fn masquerade(&self, uplink: u32) -> Result<()> {
        send_batch(&batch(uplink)).context("cannot set up address translation (nf_tables, nft_masq)")
    }
}

/// Table, chain and rule between the two marks that make them one transaction. The three requests carry
/// sequence numbers 1 to 3 and ask for an acknowledgement each.
fn batch(uplink: u32) -> Vec<u8> {
    let mut out = Vec::new();
    message(&mut out, BATCH_BEGIN, REQUEST, 0, FAMILY_UNSPECIFIED, NFNL_SUBSYS_NFTABLES, |_| {});
    request(&mut out, MSG_NEWTABLE, CREATE, 1, |body| {
        attribute(body, 1, TABLE);
    });
    request(&mut out, MSG_NEWCHAIN, CREATE, 2, |body| {
        attribute(body, 1, TABLE);
        attribute(body, 3, CHAIN);
        nested(body, 4, |hook| {
            attribute(hook, 1, &4_u32.to_be_bytes());
            attribute(hook, 2, &100_u32.to_be_bytes());
        });
        attribute(body, 7, b"nat\0");
    });
    request(&mut out, MSG_NEWRULE, CREATE | APPEND, 3, |body| {
        attribute(body, 1, TABLE);
        attribute(body, 2, CHAIN);
        nested(body, 4, |list| {
            expression(list, b"meta\0", |data| {
                attribute(data, 1, &1_u32.to_be_bytes());
                attribute(data, 2, &5_u32.to_be_bytes());
            });
            expression(list, b"cmp\0", |data| {
                attribute(data, 1, &1_u32.to_be_bytes());
                attribute(data, 2, &0_u32.to_be_bytes());
                nested(data, 3, |value| attribute(value, 1, &uplink.to_ne_bytes()));
            });
            expression(list, b"masq\0", |_| {});
        });
    });
    message(&mut out, BATCH_END, REQUEST, 4, FAMILY_UNSPECIFIED, NFNL_SUBSYS_NFTABLES, |_| {});
    out
}

fn request(out: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    message(out, NFNL_SUBSYS_NFTABLES << 8 | kind, REQUEST | ACK | flags, sequence, FAMILY_IPV4, 0, fill);
}

/// One netlink message with the four bytes that nfnetlink wants first.
fn message(
    out: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    resource: u16,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&sequence.to_ne_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[family, 0]);
    out.extend_from_slice(&resource.to_be_bytes());
    fill(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&length.to_ne_bytes());
    }
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn nested(out: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fill(&mut inner);
    attribute(out, kind | NLA_NESTED, &inner);
}

fn expression(list: &mut Vec<u8>, name: &[u8], fill: impl FnOnce(&mut Vec<u8>)) {
    nested(list, 1, |expression| {
        attribute(expression, 1, name);
        nested(expression, 2, fill);
    });
}

/// Sends the batch and waits for the three acknowledgements.
fn send_batch(batch: &[u8]) -> Result<()> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(5))?;
    sendto(socket.as_raw_fd(), batch, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut open = 3;
    let mut buffer = [0_u8; 8192];
    while open > 0 {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        for errno in answers(buffer.get(..length).unwrap_or_default())? {
            if errno != 0 {
                return Err(io::Error::from_raw_os_error(-errno).into());
            }
            open -= 1;
        }
    }
    Ok(())
}

/// The error numbers in a datagram of netlink answers; 0 acknowledges.
fn answers(mut datagram: &[u8]) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    while let Some((header, _)) = datagram.split_first_chunk::<16>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let Some(body) = datagram.get(16..length) else { bail!("the kernel's answer is cut short") };
        if i32::from(kind) == libc::NLMSG_ERROR {
            let Some(code) = body.first_chunk::<4>() else { bail!("the kernel's answer is cut short") };
            found.push(i32::from_ne_bytes(*code));
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_of_the_batch_is_whole() {
        let bytes = batch(7);
        let mut rest = bytes.as_slice();
        let mut kinds = Vec::new();
        while !rest.is_empty() {
            let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            kinds.push(u16::from_ne_bytes([rest[4], rest[5]]));
            assert_eq!(length % 4, 0);
            rest = &rest[length..];
        }
        assert_eq!(kinds, [0x10, 0x0a00, 0x0a03, 0x0a06, 0x11]);
    }

    #[test]
    fn answers_tell_acknowledgement_from_error() {
        let mut datagram = Vec::new();
        for code in [0_i32, -libc::EPERM] {
            datagram.extend_from_slice(&36_u32.to_ne_bytes());
            datagram.extend_from_slice(&2_u16.to_ne_bytes());
            datagram.extend_from_slice(&[0; 10]);
            datagram.extend_from_slice(&code.to_ne_bytes());
            datagram.extend_from_slice(&[0; 16]);
        }
        assert_eq!(answers(&datagram).unwrap(), [0, -libc::EPERM]);
        assert!(answers(&datagram[..30]).is_err());
    }
}
