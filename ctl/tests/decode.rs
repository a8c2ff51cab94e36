//! The real `sojourn decode`, with the vectors of tests/vectors and with captures made here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    net::SocketAddrV4,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use wire::ip;

fn sojourn<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sojourn")).arg("decode").args(arguments).output().unwrap()
}

fn piped(bytes: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sojourn"));
    command.args(["decode", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().unwrap();
    running.stdin.take().unwrap().write_all(bytes).unwrap();
    running.wait_with_output().unwrap()
}

/// What it drew, of a run that found nothing wrong.
fn drawn(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it drew, and what it complained about in the end.
fn complaint(output: &Output) -> (String, String) {
    assert_eq!(output.status.code(), Some(1));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors")
}

fn vector(name: &str) -> PathBuf {
    vectors().join(name).with_extension("hex")
}

/// The bytes of a vector.
fn bytes(name: &str) -> Vec<u8> {
    let text = fs::read_to_string(vector(name)).unwrap();
    let digits: String = text.lines().filter_map(|line| line.split('#').next()).collect();
    let digits: Vec<u32> = digits.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

#[test]
fn a_request_is_drawn_with_every_extension() {
    let text = drawn(&sojourn([vector("wire-registration/request-relayed")]));
    let expected = "\
registration request, 464 bytes
     0  flags ------T-, lifetime 600 s
     4  home address 0.0.0.0
     8  home agent 10.11.1.2
    12  care-of address 10.51.1.2
    16  identification eeaa0001deadbeef, trace c7905b02aa2a2ba51983aa3d7f430cd1
    24  131, NAI: @home.example
    39  38 sub-type 1, NAI: mobile node, 100 bytes sealed under SPI 70001
   155  38 sub-type 2, IP: mobile node or home agent, 32 bytes sealed under SPI 70001
   203  38 sub-type 3, layer 2: 44 bytes sealed under SPI 70001
   263  38 sub-type 6, agent heard: fa-a@visited-a.example, challenge 0001020304050607
   304  32, mobile-home authentication: SPI 70001, 32 bytes
   342  38 sub-type 1, NAI: foreign agent, fa-a@visited-a.example
   380  38 sub-type 2, IP: router, 10.51.1.2
   400  38 sub-type 8, handle: 0123456789abcdef, inbound SPI of KEY 2 2701131777, of KEY 3 2701131778
   426  34, foreign-home authentication: SPI 1001, 32 bytes
";
    assert_eq!(text, expected);
}

#[test]
fn a_negotiation_in_a_message_is_drawn_as_a_tree() {
    let body = bytes("wire-negotiation/answer");
    let mut message = bytes("wire-registration/request-on-visited-link");
    let authentication = 304..342;
    let length = u16::try_from(body.len() + 6).unwrap().to_be_bytes();
    let head = [&[38, 0][..], &length, &[0, 0, 0x7e, 0xd9, 0, 5]].concat();
    let at = authentication.start;
    message.splice(at..at, [head, body.clone()].concat());
    let digits: Vec<String> = message.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = drawn(&sojourn(&digits));
    let expected = "
          MN-HA
          └─ proposal 1, all of
             ├─ authentication, 600 s
             │  ├─ 1: HMAC-SHA-256
             │  └─ key exchange: X25519, value of 32 bytes
             └─ encryption, 600 s
                └─ 1: AES-GCM-16, 256 bits
";
    assert!(text.contains("\n   304  38 sub-type 5, negotiation: round 1, digest "), "{text}");
    assert!(text.contains(expected), "{text}");

    // A length inside that says one too much has its place in the message: the first transform.
    let transform = at + 10 + 34 + 4 + 16;
    message[transform + 3] += 1;
    let digits: Vec<String> = message.iter().map(|byte| format!("{byte:02x}")).collect();
    let (text, error) = complaint(&sojourn(&digits));
    assert!(text.contains(&format!("{transform:>6}  MALFORMED: ")), "{text}");
    assert!(text.contains("32, mobile-home authentication"), "the rest is drawn too: {text}");
    assert_eq!(error, "sojourn: the message is malformed\n");

    // Under another enterprise number it is somebody else's.
    message[transform + 3] -= 1;
    let digits = message.iter().map(|byte| format!("{byte:02x}"));
    let text = drawn(&sojourn(["--vendor".to_owned(), "9999".to_owned()].into_iter().chain(digits)));
    assert!(text.contains("38 of enterprise 32473, sub-type 5: ") && !text.contains("MN-HA"), "{text}");
}

/// Messages that the vectors call right are drawn without complaint, and the others with one.
#[test]
fn every_vector_is_judged_as_it_says() {
    let mut judged = 0;
    for folder in fs::read_dir(vectors()).unwrap().map(|entry| entry.unwrap().path()) {
        if !folder.is_dir() {
            continue;
        }
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let expected: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let option = match expected["message"].as_str().unwrap() {
                "registration request"
                | "registration reply"
                | "advertisement"
                | "solicitation"
                | "udp packet"
                | "tunnel data" => None,
                "negotiation" => Some("--negotiation".to_owned()),
                _ => continue,
            };
            let file = path.with_extension("hex").display().to_string();
            let output = sojourn(option.into_iter().chain([file.clone()]));
            // As messages of RFC 5944 alone they are cut off before what authenticates them.
            let unsigned = folder.ends_with("rfc5944-3.3");
            if unsigned || expected.get("error").is_some() {
                let (text, _) = complaint(&output);
                assert!(text.contains("  MALFORMED: "), "{file}: {text}");
                assert!(!unsigned || text.contains("no mobile-home authentication"), "{file}: {text}");
            } else {
                let text = drawn(&output);
                assert!(!text.contains("MALFORMED") && !text.is_empty(), "{file}: {text}");
            }
            judged += 1;
        }
    }
    assert!(judged > 70, "only {judged} vectors");
}

/// Frames of a little network: two messages, tunnel data, something else, and a message that is broken.
fn packets() -> Vec<Vec<u8>> {
    let node: SocketAddrV4 = "10.21.1.50:40434".parse().unwrap();
    let agent: SocketAddrV4 = "10.21.1.1:434".parse().unwrap();
    let other: SocketAddrV4 = "10.21.1.9:5000".parse().unwrap();
    let packet = |from, to, payload: &[u8]| ip::udp_packet(from, to, 64, payload).unwrap();
    let advertisement = bytes("rfc5944-2.1/advertisement-foreign-agent");
    let all = "224.0.0.1".parse().unwrap();
    let mut broken = bytes("wire-registration/reply-accepted");
    broken.truncate(100);
    vec![
        ip::icmp_packet(*agent.ip(), all, 1, &advertisement).unwrap(),
        packet(node, agent, &bytes("wire-registration/request-on-visited-link")),
        packet(node, agent, &bytes("rfc3519-3.3/tunnel-data")),
        packet(node, other, b"not of Mobile IP"),
        packet(agent, node, &broken),
    ]
}

/// A pcap file of Ethernet frames with nanoseconds, in one byte order or the other.
fn pcap(packets: &[Vec<u8>], big: bool) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut file = [word(0xa1b2_3c4d).to_vec(), [half(2), half(4)].concat()].concat();
    file.extend([0, 0, 65_535, 1].map(word).concat());
    for (packet, second) in packets.iter().zip(1_795_251_600_u32..) {
        let frame = [&[2; 12][..], &[8, 0], packet].concat();
        let length = u32::try_from(frame.len()).unwrap();
        file.extend([second, 42_000_000, length, length].map(word).concat());
        file.extend(frame);
    }
    file
}

/// A pcapng file in little-endian order: an Ethernet interface that is not used, and a Linux cooked one.
fn pcapng(packets: &[Vec<u8>]) -> Vec<u8> {
    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &length, &body, &length].concat()
    }
    let section = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    let interface = |link: u16| block(1, &[&link.to_le_bytes()[..], &[0, 0], &[0; 4]].concat());
    let mut file = [block(0x0a0d_0d0a, &section), interface(1), interface(276)].concat();
    for (packet, second) in packets.iter().zip(1_795_251_600_u64..) {
        let frame = [&[8, 0][..], &[0; 18], packet].concat();
        let length = u32::try_from(frame.len()).unwrap();
        let time = second * 1_000_000 + 42_000;
        let words = [1, (time >> 32) as u32, time as u32, length, length].map(u32::to_le_bytes).concat();
        file.extend(block(6, &[&words[..], &frame].concat()));
    }
    file
}

#[test]
fn a_capture_is_drawn_message_by_message() {
    let folder = tempfile::tempdir().unwrap();
    let packets = packets();
    let expected_faults = "sojourn: 1 of 3 messages malformed\n";
    for (name, file) in [
        ("little.pcap", pcap(&packets, false)),
        ("big.pcap", pcap(&packets, true)),
        ("a.pcapng", pcapng(&packets)),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, &file).unwrap();
        let (text, error) = complaint(&sojourn([&path]));
        assert_eq!(error, expected_faults, "{name}: {text}");
        for line in [
            "frame 1, 2026-11-21T09:00:00.042Z, 10.21.1.1 to 224.0.0.1, agent advertisement, 66 bytes",
            "    16  16, mobility agent: sequence 7, lifetime 600 s, flags ---F---T--------, care-of 10.51.1.2",
            "    28  19, prefix lengths: [24]",
            "frame 2, 2026-11-21T09:00:01.042Z, 10.21.1.50:40434 to 10.21.1.1:434, registration request, 352 bytes",
            "   342  132, challenge: 0001020304050607",
            "frame 5, 2026-11-21T09:00:04.042Z, 10.21.1.1:434 to 10.21.1.50:40434, registration reply, 100 bytes",
            "    35  MALFORMED: the message ends too early",
            "3 messages of Mobile IP in 5 frames; 1 packet in UDP tunnels passed over",
        ] {
            assert!(text.lines().any(|found| found == line), "{name}: no line {line:?} in\n{text}");
        }
        assert_eq!(complaint(&piped(&file)), (text, error), "{name} out of a pipe");
    }
    let good = folder.path().join("good.pcap");
    fs::write(&good, pcap(&packets[1..4], false)).unwrap();
    assert!(
        drawn(&sojourn([&good]))
            .ends_with("\n1 message of Mobile IP in 3 frames; 1 packet in UDP tunnels passed over\n")
    );
}

#[test]
fn a_wrong_checksum_hides_no_message_and_a_cut_capture_none_before() {
    let mut packet = packets().swap_remove(1);
    // That of UDP, as it is captured on a machine whose network card computes it.
    packet[26] ^= 0xff;
    let file = pcap(&[packet.clone(), packet], false);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sent.pcap");
    fs::write(&path, &file).unwrap();
    let text = drawn(&sojourn([&path]));
    assert_eq!(text.matches("registration request, 352 bytes").count(), 2, "{text}");
    assert_eq!(text.matches("checksum of the packet is wrong").count(), 2, "{text}");
    for cut in [1, 100, 300] {
        fs::write(&path, &file[..file.len() - cut]).unwrap();
        let (text, error) = complaint(&sojourn([&path]));
        assert!(text.contains("registration request, 352 bytes"), "{text}");
        assert!(error.contains("sent.pcap: the capture is cut short behind frame 1"), "{error}");
    }
}

#[test]
fn what_is_neither_capture_nor_digits_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter.txt");
    fs::write(&path, "01 02\nDear reader,\n").unwrap();
    let (text, error) = complaint(&sojourn([&path]));
    assert_eq!(text, "");
    assert!(
        error.contains("letter.txt is neither a capture (pcap, pcapng) nor hexadecimal digits"),
        "{error}"
    );
    assert!(error.ends_with("'r' on line 2 is none\n"), "{error}");
    fs::write(&path, b"\x7fELF\0\0").unwrap();
    assert!(complaint(&sojourn([&path])).1.contains("neither a capture"));
    fs::write(&path, "").unwrap();
    assert!(complaint(&sojourn([&path])).1.contains("there is no digit"));
    let (_, error) = complaint(&sojourn(["no-such-file.pcap"]));
    assert!(error.contains("no-such-file.pcap is neither a file nor hexadecimal digits"), "{error}");
    let (_, error) = complaint(&sojourn(["0102030"]));
    assert!(error.contains("an odd number of digits"), "{error}");
    assert!(complaint(&sojourn([folder.path()])).1.contains("cannot be read"));
    let output = sojourn(["--json", "01"]);
    assert_eq!(output.status.code(), Some(2), "the command line is wrong");
}

#[test]
fn the_example_of_the_help_prints_what_the_help_says() {
    let help = drawn(&sojourn(["--help"]));
    let lines: Vec<&str> = help.lines().map(str::trim).collect();
    let command = lines.iter().find_map(|line| line.strip_prefix("sojourn decode 03 ")).unwrap();
    let text = drawn(&sojourn(["03"].into_iter().chain(command.split(' '))));
    let printed: Vec<&str> = text.lines().map(str::trim).collect();
    let from = lines.iter().position(|line| *line == printed[0]).unwrap();
    assert_eq!(lines[from..from + printed.len()], printed[..]);
}
