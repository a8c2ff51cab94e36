//! The classic BPF programs that decide how much of a frame a capture keeps.

use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::errno::Errno;

const WHOLE: u32 = 262_144;
const BEGINNING: u32 = 128;
const NOTHING: u32 = 0;

const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD: u16 = 0x20;
const LOAD_LENGTH: u16 = 0x80;
const LOAD_HALF_INDEXED: u16 = 0x48;
const LOAD_BYTE_INDEXED: u16 = 0x50;
const LOAD_HEADER_LENGTH: u16 = 0xb1;
const SUBTRACT_INDEX: u16 = 0x1c;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_BITS: u16 = 0x45;
const RETURN: u16 = 0x06;
const PACKET_TYPE: u32 = 0xffff_f000 + 4;
const PACKET_OUTGOING: u32 = 4;

const ARP: u32 = 0x0806;
const IPV4: u32 = 0x0800;
const ICMP: u32 = 1;
const UDP: u32 = 17;
const REGISTRATION_PORT: u32 = 434;
const TUNNEL_DATA: u32 = 4;

/// Where a jump goes: on, or to one of the three ends of the program.
#[derive(Clone, Copy)]
enum To {
    Next,
    Skip(u8),
    Whole,
    Beginning,
    Nothing,
}

/// For the links: frames that enter the switch; ARP, ICMP and registration messages (RFC 5944 §3, with the
/// tunnel data of RFC 3519 told from them by its first byte) whole, of all others the beginning.
pub(crate) fn links() -> Vec<libc::sock_filter> {
    use To::{Beginning, Next, Nothing, Skip, Whole};
    let body = [
        load(LOAD_WORD, PACKET_TYPE),
        jump(JUMP_EQUAL, PACKET_OUTGOING, Nothing, Next),
        load(LOAD_HALF, 12),
        jump(JUMP_EQUAL, ARP, Whole, Next),
        jump(JUMP_EQUAL, IPV4, Next, Beginning),
        load(LOAD_BYTE, 23),
        jump(JUMP_EQUAL, ICMP, Whole, Next),
        jump(JUMP_EQUAL, UDP, Next, Beginning),
        load(LOAD_HALF, 20),
        jump(JUMP_BITS, 0x1fff, Whole, Next),
        load(LOAD_HEADER_LENGTH, 14),
        load(LOAD_LENGTH, 0),
        load(SUBTRACT_INDEX, 0),
        jump(JUMP_AT_LEAST, 14 + 8 + 1, Next, Whole),
        load(LOAD_HALF_INDEXED, 14),
        jump(JUMP_EQUAL, REGISTRATION_PORT, Skip(2), Next),
        load(LOAD_HALF_INDEXED, 16),
        jump(JUMP_EQUAL, REGISTRATION_PORT, Next, Beginning),
        load(LOAD_BYTE_INDEXED, 14 + 8),
        jump(JUMP_EQUAL, TUNNEL_DATA, Beginning, Whole),
    ];
    assemble(&body)
}

/// An instruction whose jumps are not yet numbers.
type Draft = (u16, u32, To, To);

fn load(code: u16, k: u32) -> Draft {
    (code, k, To::Next, To::Next)
}

fn jump(code: u16, k: u32, yes: To, no: To) -> Draft {
    (code, k, yes, no)
}

fn assemble(body: &[Draft]) -> Vec<libc::sock_filter> {
    let distance = |at: usize, to: To| -> u8 {
        let end = body.len() - at - 1;
        match to {
            To::Next => 0,
            To::Skip(count) => count,
            To::Whole => u8::try_from(end).unwrap_or(u8::MAX),
            To::Beginning => u8::try_from(end + 1).unwrap_or(u8::MAX),
            To::Nothing => u8::try_from(end + 2).unwrap_or(u8::MAX),
        }
    };
    let instruction = |(at, &(code, k, yes, no)): (usize, &Draft)| libc::sock_filter {
        code,
        jt: distance(at, yes),
        jf: distance(at, no),
        k,
    };
    let mut program: Vec<_> = body.iter().enumerate().map(instruction).collect();
    for keep in [WHOLE, BEGINNING, NOTHING] {
        program.push(libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: keep });
    }
    program
}

/// Puts a program before a socket.
pub(crate) fn attach(socket: &impl AsRawFd, program: &[libc::sock_filter]) -> Result<()> {
    let wanted = libc::sock_fprog { len: u16::try_from(program.len())?, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions from a slice that outlives the call, and writes nothing.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const wanted).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    Errno::result(result).context("cannot attach a packet filter")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A little machine for the instructions used here: what the kernel would keep of the frame.
    fn run(program: &[libc::sock_filter], frame: &[u8], outgoing: bool) -> u32 {
        let (mut a, mut x, mut at) = (0_u32, 0_usize, 0_usize);
        let half = |at: usize| u32::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
        loop {
            let step = program[at];
            let k = step.k as usize;
            let mut condition = None;
            match step.code {
                LOAD_WORD => a = if outgoing { PACKET_OUTGOING } else { 0 },
                LOAD_HALF => a = half(k),
                LOAD_BYTE => a = u32::from(frame[k]),
                LOAD_HALF_INDEXED => a = half(k + x),
                LOAD_BYTE_INDEXED => a = u32::from(frame[k + x]),
                LOAD_HEADER_LENGTH => x = usize::from(frame[k] & 15) * 4,
                LOAD_LENGTH => a = frame.len() as u32,
                SUBTRACT_INDEX => a -= x as u32,
                JUMP_EQUAL => condition = Some(a == step.k),
                JUMP_AT_LEAST => condition = Some(a >= step.k),
                JUMP_BITS => condition = Some(a & step.k != 0),
                RETURN => return step.k,
                other => panic!("instruction {other:#x}"),
            }
            at += 1 + match condition {
                None => 0,
                Some(true) => usize::from(step.jt),
                Some(false) => usize::from(step.jf),
            };
        }
    }

    fn frame(protocol: u8, options: usize, fragment: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([8, 0]);
        let start = frame.len();
        frame.extend(vec![0; 20 + options * 4]);
        frame[start] = 0x45 + options as u8;
        frame[start + 6..start + 8].copy_from_slice(&fragment.to_be_bytes());
        frame[start + 9] = protocol;
        frame.extend(payload);
        frame
    }

    fn udp(source: u16, destination: u16, data: &[u8]) -> Vec<u8> {
        let mut out = source.to_be_bytes().to_vec();
        out.extend(destination.to_be_bytes());
        out.extend([0; 4]);
        out.extend(data);
        out
    }

    #[test]
    fn registrations_arp_and_icmp_are_kept_whole() {
        let program = links();
        let keep = |frame: &[u8]| run(&program, frame, false);
        let mut arp = vec![0; 60];
        arp[12..14].copy_from_slice(&[8, 6]);
        assert_eq!(keep(&arp), WHOLE);
        assert_eq!(keep(&frame(1, 0, 0, &[0; 8])), WHOLE);
        assert_eq!(keep(&frame(17, 0, 0, &udp(40000, 434, &[1; 200]))), WHOLE);
        assert_eq!(keep(&frame(17, 0, 0, &udp(434, 40000, &[3; 200]))), WHOLE);
        assert_eq!(keep(&frame(17, 3, 0, &udp(40000, 434, &[1; 200]))), WHOLE, "behind IP options");
        assert_eq!(keep(&frame(17, 0, 0x00b9, &[0; 40])), WHOLE, "a later fragment may belong to one");
        assert_eq!(keep(&frame(17, 0, 0, &udp(1, 434, &[]))), WHOLE, "nothing to look at");
    }

    #[test]
    fn bulk_is_cut_and_what_leaves_the_switch_is_not_seen_twice() {
        let program = links();
        assert_eq!(run(&program, &frame(6, 0, 0, &[0; 900]), false), BEGINNING);
        assert_eq!(run(&program, &frame(4, 0, 0, &[0; 900]), false), BEGINNING);
        assert_eq!(run(&program, &frame(17, 0, 0, &udp(434, 434, &[4; 900])), false), BEGINNING);
        assert_eq!(run(&program, &frame(17, 2, 0, &udp(7000, 7001, &[1; 900])), false), BEGINNING);
        assert_eq!(run(&program, &frame(1, 0, 0, &[0; 8]), true), NOTHING);
    }
}
