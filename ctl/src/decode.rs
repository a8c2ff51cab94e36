//! `sojourn decode`: the Mobile IP messages in a capture or in hexadecimal digits, drawn as text. Needs no agent and no
//! keys, so what is sealed stays sealed.

mod capture;
mod digits;
mod discovery;
mod extension;
mod message;
mod negotiation;
mod packet;
mod page;

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::Path,
};

use clap::Args;
use wire::mip::ours::DOCUMENTATION_VENDOR;

use crate::{failure::Failure, output};
use page::Page;

/// Most digits and comments that are taken as one message, in bytes.
const MOST_TEXT: u64 = 1 << 20;

/// What to decode.
#[derive(Args)]
pub(crate) struct Decode {
    /// A capture (pcap or pcapng), a file of hexadecimal digits, the digits themselves, or - for standard input.
    #[arg(required = true, value_name = "INPUT")]
    input: Vec<OsString>,

    /// Enterprise number of extension 38 that carries our extensions.
    #[arg(long, value_name = "NUMBER", default_value_t = DOCUMENTATION_VENDOR)]
    vendor: u32,

    /// The digits are the body of one negotiation extension (sub-type 5), not a whole message.
    #[arg(long)]
    negotiation: bool,
}

/// Draws everything on standard output.
///
/// # Errors
/// [`Failure::Refused`] for an input that cannot be read or is neither capture nor digits, and, when all is drawn, if
/// something in it is malformed.
pub(crate) fn run(command: &Decode) -> Result<(), Failure> {
    let (name, input) = open(&command.input)?;
    let mut page = Page::new(command.vendor);
    match begins_with(input).map_err(|error| unreadable(&name, &error))? {
        (beginning, input) if capture::is_capture(beginning) => {
            if command.negotiation {
                return Err(Failure::Refused(format!("{name} is a capture; --negotiation is for digits")));
            }
            capture::draw(input, &mut page, output::line)
                .map_err(|why| Failure::Refused(format!("{name}: {why}")))?;
        }
        (_, input) => {
            let mut text = Vec::new();
            input.take(MOST_TEXT).read_to_end(&mut text).map_err(|error| unreadable(&name, &error))?;
            let bytes = digits::bytes(&text).map_err(|why| neither(&name, &why))?;
            if command.negotiation {
                negotiation::draw_body(&bytes, &mut page);
            } else {
                packet::draw_any(&bytes, &mut page);
            }
            page.flush(output::line);
        }
    }
    page.verdict()
}

/// What to read, and its name in messages.
fn open(input: &[OsString]) -> Result<(String, Box<dyn Read + Send>), Failure> {
    if let [only] = input {
        if only == "-" {
            return Ok(("standard input".to_owned(), Box::new(io::stdin())));
        }
        let path = Path::new(only);
        if path.exists() {
            let name = path.display().to_string();
            let file = File::open(path).map_err(|error| unreadable(&name, &error))?;
            return Ok((name, Box::new(io::BufReader::new(file))));
        }
    }
    let words: Vec<_> = input.iter().map(|word| word.to_string_lossy()).collect();
    let text = words.join(" ");
    if let Err(why) = digits::bytes(text.as_bytes()) {
        let shown = text.chars().take(40).collect::<String>().escape_debug().to_string();
        return Err(Failure::Refused(format!("{shown} is neither a file nor hexadecimal digits: {why}")));
    }
    Ok(("the command line".to_owned(), Box::new(io::Cursor::new(text.into_bytes()))))
}

/// The first four bytes, fewer where there are no more, and the whole input.
fn begins_with(mut input: Box<dyn Read + Send>) -> io::Result<([u8; 4], Box<dyn Read + Send>)> {
    let mut beginning = Vec::with_capacity(4);
    input.by_ref().take(4).read_to_end(&mut beginning)?;
    let mut first = [0; 4];
    first[..beginning.len()].copy_from_slice(&beginning);
    Ok((first, Box::new(io::Cursor::new(beginning).chain(input))))
}

fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::Refused(format!("{name} cannot be read: {error}"))
}

fn neither(name: &str, why: &digits::NotDigits) -> Failure {
    Failure::Refused(format!("{name} is neither a capture (pcap, pcapng) nor hexadecimal digits: {why}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What parsers were fed to break them, here as messages, as packets and as bodies, whole and cut.
    #[test]
    fn nothing_that_a_stranger_sends_stops_the_drawing() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
        let mut drawn = 0;
        for folder in fs::read_dir(corpora).unwrap() {
            for file in fs::read_dir(folder.unwrap().path()).unwrap() {
                let bytes = fs::read(file.unwrap().path()).unwrap();
                let cuts = [bytes.len(), bytes.len() * 2 / 3, bytes.len().saturating_sub(1)];
                for bytes in cuts.map(|cut| &bytes[..cut]) {
                    let mut page = Page::new(DOCUMENTATION_VENDOR);
                    packet::draw_any(bytes, &mut page);
                    message::draw(bytes, "", &mut page);
                    negotiation::draw_body(bytes, &mut page);
                    packet::draw_ipv4(bytes, "", &mut page);
                    assert!(page.messages() >= 3);
                    drawn += 1;
                }
            }
        }
        assert!(drawn > 500, "only {drawn}");
    }
}
