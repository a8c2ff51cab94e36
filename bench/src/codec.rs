//! A whole relayed registration request: taken apart, and written from its parts. The limit beside it is a copy of
//! its bytes.

use std::{hint::black_box, time::Instant};

use anyhow::{Context as _, ensure};
use wire::{
    Writer,
    mip::{
        extension,
        part::Parts,
        registration::{Identification, Request},
    },
};

use crate::outcome::{Outcome, median};

/// With identity, home address and link address sealed, a key share of either side, and all three authentications.
const MESSAGE: &str = include_str!("../../tests/vectors/worked/1-request-relayed.hex");
/// Repetitions of one run.
const TURNS: u32 = 200_000;
/// The enterprise number of the vectors.
const VENDOR: u32 = wire::mip::ours::DOCUMENTATION_VENDOR;

pub(crate) fn run(runs: u32) -> anyhow::Result<Outcome> {
    let message = bytes(MESSAGE)?;
    let mut scratch = Vec::with_capacity(wire::mip::MAX_MESSAGE);
    let extensions = take_apart(&message)?;
    write(&message, &extensions, &mut scratch)?;
    ensure!(scratch == message, "what is written is not what was read");
    let (mut parse, mut emit, mut copy) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        parse.push(nanoseconds(|| drop(black_box(parse_whole(black_box(&message))))));
        emit.push(nanoseconds(|| drop(black_box(write(black_box(&message), &extensions, &mut scratch)))));
        copy.push(nanoseconds(|| {
            scratch.clear();
            scratch.extend_from_slice(black_box(&message));
            black_box(&scratch);
        }));
    }
    let emitted = median(&emit);
    Ok(Outcome::new("codec", "ns to parse one registration request", parse)
        .against("copy", copy)
        .with("emit_ns", emitted)
        .with("emit_runs", emit)
        .with("octets", message.len()))
}

fn parse_whole(message: &[u8]) -> Option<(Request, Parts<'_>)> {
    Some((Request::parse(message).ok()?, Parts::parse(message, Request::LEN, VENDOR).ok()?))
}

/// The extensions of a message, type and octets.
type Extensions = Vec<(u8, usize, std::ops::Range<usize>)>;

fn take_apart(message: &[u8]) -> anyhow::Result<Extensions> {
    let all = extension::walk(message, Request::LEN).context("the vector")?;
    Ok(all.iter().map(|e| (e.kind, e.header, e.offset..e.end())).collect())
}

/// The fixed part from its fields and each extension behind a header of its own.
fn write(message: &[u8], extensions: &Extensions, into: &mut Vec<u8>) -> anyhow::Result<()> {
    into.clear();
    let fixed = Request::parse(message)?;
    let identification = Identification::new(fixed.identification.seconds(), fixed.identification.low());
    let mut w = Writer::after(std::mem::take(into));
    Request { identification, ..fixed }.emit(&mut w);
    for (kind, header, at) in extensions {
        let data = &message[at.start + header..at.end];
        match header {
            2 => extension::put(&mut w, *kind, data)?,
            _ => {
                w.u8(*kind).u8(message[at.start + 1]).u16(u16::try_from(data.len())?).put(data);
            }
        }
    }
    *into = w.into_bytes();
    Ok(())
}

/// The mean time of one turn.
fn nanoseconds(mut turn: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..TURNS {
        turn();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(TURNS)
}

/// What stands behind a `#` explains.
fn bytes(hex: &str) -> anyhow::Result<Vec<u8>> {
    let words = hex.lines().flat_map(|line| line.split('#').next().unwrap_or("").split_whitespace());
    words.map(|octet| u8::from_str_radix(octet, 16).context("hex")).collect()
}
