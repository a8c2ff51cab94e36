//! Which packets of a link wake the daemon: a classic BPF program for each role.
//!
//! The program sees the packet from its IP header on. Fragments never pass: all that a daemon listens to
//! fits into one packet.

use std::net::Ipv4Addr;

use socket2::SockFilter;

/// What a role listens to on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hears {
    /// Agent advertisements, and registration replies to 255.255.255.255 (RFC 5944 §3.7.2.3).
    MobileNode,
    /// Advertisements, solicitations, and registration requests to any address.
    ForeignAgent,
    /// Advertisements and solicitations.
    HomeAgent,
}

impl Hears {
    /// The groups that the role joins: all routers, and all mobility agents.
    pub(super) const fn groups(self) -> &'static [Ipv4Addr] {
        const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
        const MOBILITY_AGENTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 11);
        match self {
            Self::MobileNode => &[],
            Self::ForeignAgent | Self::HomeAgent => &[ALL_ROUTERS, MOBILITY_AGENTS],
        }
    }
}

/// The UDP port of registrations.
const REGISTRATION: u32 = 434;
/// First octet of UDP tunnel data, which goes to the same port (RFC 3519 §3.3).
const TUNNEL_DATA: u32 = 4;
const UDP: u32 = 17;
const ICMP: u32 = 1;
const ADVERTISEMENT: u32 = 9;
const SOLICITATION: u32 = 10;
/// More-fragments flag and fragment offset.
const FRAGMENT: u32 = 0x3fff;
/// Fragment offset alone: not zero in all but the first fragment.
const OFFSET: u32 = 0x1fff;
const IP_IN_IP: u32 = 4;
/// The Internet Group Management Protocol.
const GROUP_MANAGEMENT: u32 = 2;
/// The UDP ports of address configuration (RFC 2131).
const CONFIGURATION_SERVER: u32 = 67;
const CONFIGURATION_CLIENT: u32 = 68;
/// Octets to keep of a packet that passes.
const WHOLE: u32 = 0xffff;

/// Where a jump leads; resolved when the program is complete.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Next,
    Udp,
    Icmp,
    Many,
    Pass,
    Drop,
}

/// One instruction whose jumps still have names.
struct Step {
    code: u32,
    operand: u32,
    yes: To,
    no: To,
    /// The name of this place.
    label: Option<To>,
}

const fn load(code: u32, operand: u32) -> Step {
    Step { code, operand, yes: To::Next, no: To::Next, label: None }
}

const fn jump(test: u32, operand: u32, yes: To, no: To) -> Step {
    Step { code: libc::BPF_JMP | libc::BPF_K | test, operand, yes, no, label: None }
}

const BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
/// Relative to the length of the IP header, which `HEADER` has put aside.
const BYTE_BEHIND: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_IND;
const HALF_BEHIND: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_IND;
const HEADER: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// The program for a role. A load beyond the end of a packet drops it.
pub(super) fn program(hears: Hears) -> Vec<SockFilter> {
    let mut steps = vec![
        load(HALF, 6),
        jump(libc::BPF_JSET, FRAGMENT, To::Drop, To::Next),
        load(HEADER, 0),
        load(BYTE, 9),
        jump(libc::BPF_JEQ, UDP, To::Udp, To::Next),
        jump(libc::BPF_JEQ, ICMP, To::Next, To::Drop),
        load(BYTE_BEHIND, 0),
        jump(libc::BPF_JEQ, ADVERTISEMENT, To::Pass, To::Next),
    ];
    steps.push(match hears {
        Hears::MobileNode => jump(libc::BPF_JEQ, ADVERTISEMENT, To::Pass, To::Drop),
        Hears::ForeignAgent | Hears::HomeAgent => jump(libc::BPF_JEQ, SOLICITATION, To::Pass, To::Drop),
    });
    let mut udp = match hears {
        Hears::MobileNode => vec![
            load(WORD, 16),
            jump(libc::BPF_JEQ, u32::MAX, To::Next, To::Drop),
            load(HALF_BEHIND, 0),
            jump(libc::BPF_JEQ, REGISTRATION, To::Pass, To::Drop),
        ],
        Hears::ForeignAgent => vec![
            load(HALF_BEHIND, 2),
            jump(libc::BPF_JEQ, REGISTRATION, To::Next, To::Drop),
            load(BYTE_BEHIND, 8),
            jump(libc::BPF_JEQ, TUNNEL_DATA, To::Drop, To::Pass),
        ],
        Hears::HomeAgent => vec![jump(libc::BPF_JEQ, UDP, To::Drop, To::Drop)],
    };
    udp[0].label = Some(To::Udp);
    steps.extend(udp);
    steps.push(Step { label: Some(To::Pass), ..load(RETURN, WHOLE) });
    steps.push(Step { label: Some(To::Drop), ..load(RETURN, 0) });
    resolve(&steps)
}

/// The program for what visitors hand over: whole IP in IP packets to one of `agents` and to our link address.
pub(super) fn handed_over(agents: &[Ipv4Addr]) -> Vec<SockFilter> {
    let mut steps = vec![
        load(BYTE, ancillary(libc::SKF_AD_PKTTYPE)),
        jump(libc::BPF_JEQ, u32::from(libc::PACKET_HOST), To::Next, To::Drop),
        load(HALF, 6),
        jump(libc::BPF_JSET, FRAGMENT, To::Drop, To::Next),
        load(BYTE, 9),
        jump(libc::BPF_JEQ, IP_IN_IP, To::Next, To::Drop),
        load(WORD, 16),
    ];
    let equal = |agent: &Ipv4Addr| jump(libc::BPF_JEQ, agent.to_bits(), To::Pass, To::Next);
    steps.extend(agents.iter().map(equal));
    steps.push(load(RETURN, 0));
    steps.push(Step { label: Some(To::Pass), ..load(RETURN, WHOLE) });
    steps.push(Step { label: Some(To::Drop), ..load(RETURN, 0) });
    resolve(&steps)
}

/// The program for what is sent to all or many hosts of a link, by this host as well: of the frames of a socket that
/// gets all, IPv4 to a group of link addresses.
pub(super) fn broadcasts(broadcast: Ipv4Addr, local_control: bool) -> Vec<SockFilter> {
    let mut steps = vec![
        load(HALF, ancillary(libc::SKF_AD_PROTOCOL)),
        jump(libc::BPF_JEQ, u32::from(super::IPV4), To::Next, To::Drop),
        load(BYTE, ancillary(libc::SKF_AD_PKTTYPE)),
        jump(libc::BPF_JEQ, u32::from(libc::PACKET_HOST), To::Drop, To::Next),
        jump(libc::BPF_JEQ, u32::from(libc::PACKET_OTHERHOST), To::Drop, To::Next),
    ];
    steps.extend(for_many(broadcast, local_control));
    resolve(&steps)
}

/// Where the kernel keeps what it knows of a packet beside its octets.
const fn ancillary(offset: i32) -> u32 {
    (libc::SKF_AD_OFF + offset).cast_unsigned()
}

/// What mobile nodes that are away get of their home link's broadcasts and multicasts: all but what belongs to the
/// link itself. Agent discovery would say that a node is at home; registrations and address configuration are no
/// business of others; 224.0.0.0/24 and group management end at the link (RFC 5771 §4), unless they are wanted.
fn for_many(broadcast: Ipv4Addr, local_control: bool) -> Vec<Step> {
    let mut steps = vec![
        load(WORD, 16),
        jump(libc::BPF_JEQ, u32::MAX, To::Many, To::Next),
        jump(libc::BPF_JEQ, broadcast.to_bits(), To::Many, To::Next),
        load(AND, 0xf000_0000),
        jump(libc::BPF_JEQ, 0xe000_0000, To::Next, To::Drop),
    ];
    if !local_control {
        steps.extend([
            load(WORD, 16),
            load(AND, 0xffff_ff00),
            jump(libc::BPF_JEQ, 0xe000_0000, To::Drop, To::Next),
            load(BYTE, 9),
            jump(libc::BPF_JEQ, GROUP_MANAGEMENT, To::Drop, To::Next),
        ]);
    }
    steps.extend([
        // Ports and types stand in the first fragment only.
        Step { label: Some(To::Many), ..load(HALF, 6) },
        jump(libc::BPF_JSET, OFFSET, To::Pass, To::Next),
        load(HEADER, 0),
        load(BYTE, 9),
        jump(libc::BPF_JEQ, ICMP, To::Icmp, To::Next),
        jump(libc::BPF_JEQ, UDP, To::Next, To::Pass),
        load(HALF_BEHIND, 2),
        jump(libc::BPF_JEQ, REGISTRATION, To::Drop, To::Next),
        jump(libc::BPF_JEQ, CONFIGURATION_SERVER, To::Drop, To::Next),
        jump(libc::BPF_JEQ, CONFIGURATION_CLIENT, To::Drop, To::Pass),
        Step { label: Some(To::Icmp), ..load(BYTE_BEHIND, 0) },
        jump(libc::BPF_JEQ, ADVERTISEMENT, To::Drop, To::Next),
        jump(libc::BPF_JEQ, SOLICITATION, To::Drop, To::Pass),
        Step { label: Some(To::Pass), ..load(RETURN, WHOLE) },
        Step { label: Some(To::Drop), ..load(RETURN, 0) },
    ]);
    steps
}

fn resolve(steps: &[Step]) -> Vec<SockFilter> {
    let distance = |from: usize, to: To| {
        let found = steps.iter().skip(from + 1).position(|step| step.label == Some(to));
        // Programs have some twenty steps; a jump to the next one, and of one that is no jump, is 0.
        found.unwrap_or(0) as u8
    };
    let filter = |(at, step): (usize, &Step)| {
        SockFilter::new(step.code as u16, distance(at, step.yes), distance(at, step.no), step.operand)
    };
    steps.iter().enumerate().map(filter).collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use socket2::{Domain, Socket, Type};

    use super::*;

    /// Runs a program in the kernel: a datagram socket pair drops what its filter drops.
    struct Machine {
        to: Socket,
        from: Socket,
    }

    impl Machine {
        fn new(hears: Hears) -> Self {
            Self::with(&program(hears))
        }

        fn with(program: &[SockFilter]) -> Self {
            let (to, from) = Socket::pair(Domain::UNIX, Type::DGRAM, None).unwrap();
            from.attach_filter(program).unwrap();
            from.set_nonblocking(true).unwrap();
            Self { to, from }
        }

        fn passes(&self, packet: &[u8]) -> bool {
            // A filter that drops everything makes the sender see an error on some kernels; both count.
            let _ = self.to.send(packet);
            let mut buffer = [0; 2048];
            nix::sys::socket::recv(
                std::os::fd::AsRawFd::as_raw_fd(&self.from.as_fd()),
                &mut buffer,
                nix::sys::socket::MsgFlags::empty(),
            )
            .is_ok_and(|length| {
                assert_eq!(length, packet.len(), "what passes passes whole");
                true
            })
        }
    }

    fn packet(protocol: u32, destination: [u8; 4], fragment: u16, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0x45, 0];
        out.extend((20 + payload.len() as u16).to_be_bytes());
        out.extend([0, 0]);
        out.extend(fragment.to_be_bytes());
        out.extend([255, protocol as u8, 0, 0, 0, 0, 0, 0]);
        out.extend(destination);
        out.extend(payload);
        out
    }

    fn udp(source: u16, destination: u16, address: [u8; 4], first: u8) -> Vec<u8> {
        let mut datagram = source.to_be_bytes().to_vec();
        datagram.extend(destination.to_be_bytes());
        datagram.extend([0, 20, 0, 0, first]);
        datagram.extend([7; 11]);
        packet(UDP, address, 0, &datagram)
    }

    const EVERYBODY: [u8; 4] = [255; 4];
    const ONE: [u8; 4] = [10, 21, 1, 1];

    #[test]
    fn icmp_of_router_discovery_passes_by_role() {
        for (hears, solicitation) in
            [(Hears::MobileNode, false), (Hears::ForeignAgent, true), (Hears::HomeAgent, true)]
        {
            let machine = Machine::new(hears);
            for icmp_type in 0..=255 {
                let passes = machine.passes(&packet(ICMP, ONE, 0, &[icmp_type; 8]));
                let expected = icmp_type == 9 || (icmp_type == 10 && solicitation);
                assert_eq!(passes, expected, "{hears:?} {icmp_type}");
            }
        }
    }

    #[test]
    fn a_mobile_node_hears_replies_to_everybody_only() {
        let machine = Machine::new(Hears::MobileNode);
        assert!(machine.passes(&udp(434, 40_000, EVERYBODY, 3)));
        assert!(!machine.passes(&udp(434, 40_000, ONE, 3)));
        assert!(!machine.passes(&udp(435, 434, EVERYBODY, 3)));
    }

    #[test]
    fn a_foreign_agent_hears_requests_but_no_tunnel_data() {
        let machine = Machine::new(Hears::ForeignAgent);
        assert!(machine.passes(&udp(40_000, 434, ONE, 1)));
        assert!(machine.passes(&udp(40_000, 434, EVERYBODY, 1)));
        assert!(!machine.passes(&udp(40_000, 434, ONE, 4)));
        assert!(!machine.passes(&udp(434, 40_000, ONE, 1)));
    }

    #[test]
    fn a_home_agent_hears_no_udp_here() {
        let machine = Machine::new(Hears::HomeAgent);
        assert!(!machine.passes(&udp(40_000, 434, ONE, 1)));
        assert!(!machine.passes(&udp(434, 434, EVERYBODY, 1)));
    }

    #[test]
    fn fragments_other_protocols_and_stumps_are_dropped() {
        for hears in [Hears::MobileNode, Hears::ForeignAgent, Hears::HomeAgent] {
            let machine = Machine::new(hears);
            let advertisement = [9; 8];
            for fragment in [0x2000, 1, 0x1fff] {
                assert!(!machine.passes(&packet(ICMP, ONE, fragment, &advertisement)));
            }
            assert!(machine.passes(&packet(ICMP, ONE, 0x4000, &advertisement)));
            assert!(!machine.passes(&packet(6, ONE, 0, &[9; 20])));
            let whole = udp(434, 434, EVERYBODY, 1);
            for length in 1..20 {
                assert!(!machine.passes(&whole[..length]), "{hears:?} {length}");
            }
        }
    }

    #[test]
    fn only_ip_in_ip_to_the_agent_is_handed_over() {
        let agents = [Ipv4Addr::from(ONE), Ipv4Addr::new(10, 51, 1, 2)];
        let machine = Machine::with(&handed_over(&agents));
        for to in [ONE, [10, 51, 1, 2]] {
            assert!(machine.passes(&packet(4, to, 0x4000, &[0x45; 40])));
            for fragment in [0x2000, 1, 0x1fff] {
                assert!(!machine.passes(&packet(4, to, fragment, &[0x45; 40])));
            }
            for protocol in [1, 6, 17, 47, 55] {
                assert!(!machine.passes(&packet(protocol, to, 0, &[0x45; 40])));
            }
        }
        assert!(!machine.passes(&packet(4, [10, 21, 1, 2], 0, &[0x45; 40])));
        assert!(!Machine::with(&handed_over(&[])).passes(&packet(4, ONE, 0, &[0x45; 40])));
    }

    const DIRECTED: [u8; 4] = [10, 21, 1, 255];

    fn home_link(local_control: bool) -> Machine {
        Machine::with(&resolve(&for_many(Ipv4Addr::from(DIRECTED), local_control)))
    }

    #[test]
    fn broadcasts_and_multicasts_pass_and_nothing_else() {
        let machine = home_link(false);
        for (to, passes) in [
            (EVERYBODY, true),
            (DIRECTED, true),
            ([239, 1, 2, 3], true),
            ([224, 0, 1, 1], true),
            ([224, 0, 0, 251], false),
            ([224, 0, 0, 1], false),
            ([10, 22, 1, 255], false),
            ([240, 0, 0, 1], false),
            ([127, 0, 0, 1], false),
            (ONE, false),
        ] {
            for (protocol, payload) in [(17, &[7; 8][..]), (1, &[8; 8]), (6, &[6; 20]), (4, &[0x45; 20])] {
                assert_eq!(machine.passes(&packet(protocol, to, 0, payload)), passes, "{to:?} {protocol}");
            }
        }
        assert!(home_link(true).passes(&udp(5353, 5353, [224, 0, 0, 251], 0)));
    }

    #[test]
    fn what_belongs_to_the_home_link_itself_stays_there() {
        for local_control in [false, true] {
            let machine = home_link(local_control);
            for to in [EVERYBODY, DIRECTED, [239, 1, 2, 3], [224, 0, 0, 1]] {
                for icmp_type in [9, 10] {
                    assert!(!machine.passes(&packet(ICMP, to, 0, &[icmp_type; 8])));
                }
                for port in [434, 67, 68] {
                    assert!(!machine.passes(&udp(40_000, port, to, 1)), "{port}");
                }
            }
            assert_eq!(machine.passes(&packet(2, [239, 1, 2, 3], 0, &[0x16; 8])), local_control);
        }
    }

    #[test]
    fn later_fragments_of_broadcasts_pass_unread() {
        let machine = home_link(false);
        assert!(machine.passes(&packet(17, EVERYBODY, 0x2000, &udp(1, 2, ONE, 0)[20..])));
        // Where a port would stand.
        assert!(machine.passes(&packet(17, EVERYBODY, 0x1000, &udp(1, 434, ONE, 0)[20..])));
        assert!(!machine.passes(&packet(17, EVERYBODY, 0x2000, &udp(1, 434, ONE, 0)[20..])));
    }

    #[test]
    fn options_in_the_ip_header_are_skipped() {
        let mut with_options = udp(40_000, 434, ONE, 1);
        with_options[0] = 0x46;
        with_options.splice(20..20, [1, 1, 1, 0]);
        assert!(Machine::new(Hears::ForeignAgent).passes(&with_options));
    }
}
