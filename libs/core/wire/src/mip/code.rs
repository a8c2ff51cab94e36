//! Reply codes and error detail codes, one registry each.

use std::fmt;

/// The code of a registration reply (RFC 5944 section 3.4 and companions). Unknown values survive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u8);

/// Names and words for the values of a registry, each said once.
macro_rules! registry {
    ($kind:ident, $unknown:literal; $($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl $kind {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// All that have a name, in rising order.
            pub const NAMED: &'static [Self] = &[$(Self::$name),*];

            /// What it means, in words for a log line.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self.0 {
                    $($value => $text,)*
                    _ => $unknown,
                }
            }
        }
    };
}
pub(crate) use registry;

registry! {
    Code, "unknown code";
    /// Accepted (RFC 5944).
    ACCEPTED = 0, "registration accepted";
    /// Accepted, simultaneous bindings unsupported (RFC 5944).
    ACCEPTED_NO_SIMULTANEOUS = 1, "registration accepted, simultaneous bindings unsupported";
    /// Foreign agent: reason unspecified.
    FA_UNSPECIFIED = 64, "foreign agent: reason unspecified";
    /// Foreign agent: administratively prohibited.
    FA_PROHIBITED = 65, "foreign agent: administratively prohibited";
    /// Foreign agent: insufficient resources.
    FA_RESOURCES = 66, "foreign agent: insufficient resources";
    /// Foreign agent: mobile node failed authentication.
    FA_MN_AUTHENTICATION = 67, "foreign agent: mobile node failed authentication";
    /// Foreign agent: home agent failed authentication.
    FA_HA_AUTHENTICATION = 68, "foreign agent: home agent failed authentication";
    /// Foreign agent: requested lifetime too long.
    FA_LIFETIME = 69, "foreign agent: requested lifetime too long";
    /// Foreign agent: poorly formed request.
    FA_BAD_REQUEST = 70, "foreign agent: poorly formed request";
    /// Foreign agent: poorly formed reply.
    FA_BAD_REPLY = 71, "foreign agent: poorly formed reply";
    /// Foreign agent: requested encapsulation unavailable.
    FA_ENCAPSULATION = 72, "foreign agent: requested encapsulation unavailable";
    /// Foreign agent: requested reverse tunnel unavailable (RFC 3024).
    FA_REVERSE_UNAVAILABLE = 74, "foreign agent: reverse tunnel unavailable";
    /// Foreign agent: reverse tunnel mandatory and T not set (RFC 3024).
    FA_REVERSE_MANDATORY = 75, "foreign agent: reverse tunnel is mandatory and was not asked for";
    /// Foreign agent: mobile node too distant (RFC 3024).
    FA_TOO_DISTANT = 76, "foreign agent: mobile node too distant, its request had passed a router";
    /// Foreign agent: invalid care-of address.
    FA_CARE_OF = 77, "foreign agent: invalid care-of address";
    /// Foreign agent: registration timed out.
    FA_TIMEOUT = 78, "foreign agent: home agent did not answer in time";
    /// Foreign agent: delivery style not supported (RFC 3024).
    FA_DELIVERY_STYLE = 79, "foreign agent: delivery style not supported";
    /// Foreign agent: home network unreachable.
    FA_HOME_NETWORK = 80, "foreign agent: home network unreachable";
    /// Foreign agent: home agent host unreachable.
    FA_HOME_AGENT_HOST = 81, "foreign agent: home agent host unreachable";
    /// Foreign agent: home agent port unreachable.
    FA_HOME_AGENT_PORT = 82, "foreign agent: home agent port unreachable";
    /// Foreign agent: home agent unreachable for another reason.
    FA_HOME_AGENT_UNREACHABLE = 88, "foreign agent: home agent unreachable";
    /// Foreign agent: vendor-specific reason, with error detail.
    FA_VENDOR = 89, "foreign agent: see the error detail";
    /// Foreign agent: non-zero home address required (RFC 2794).
    FA_HOME_ADDRESS = 96, "foreign agent: a home address is required";
    /// Foreign agent: missing NAI (RFC 2794).
    FA_MISSING_NAI = 97, "foreign agent: missing network access identifier";
    /// Foreign agent: missing home agent (RFC 2794).
    FA_MISSING_HOME_AGENT = 98, "foreign agent: missing home agent";
    /// Foreign agent: missing home address (RFC 2794).
    FA_MISSING_HOME_ADDRESS = 99, "foreign agent: missing home address";
    /// Foreign agent: critical vendor extension of the mobile node not understood (RFC 3115).
    FA_VENDOR_FROM_MN = 100, "foreign agent: vendor extension of the mobile node not understood";
    /// Foreign agent: critical vendor extension of the home agent not understood (RFC 3115).
    FA_VENDOR_FROM_HA = 101, "foreign agent: vendor extension of the home agent not understood";
    /// Foreign agent: unknown challenge (RFC 4721).
    FA_UNKNOWN_CHALLENGE = 104, "foreign agent: unknown challenge";
    /// Foreign agent: missing challenge (RFC 4721).
    FA_MISSING_CHALLENGE = 105, "foreign agent: missing challenge";
    /// Foreign agent: stale challenge (RFC 4721).
    FA_STALE_CHALLENGE = 106, "foreign agent: stale challenge";
    /// Foreign agent: experimental (RFC 4064).
    FA_EXPERIMENTAL = 127, "foreign agent: experimental, see the error detail";
    /// Home agent: reason unspecified; with our error detail in vendor numbering.
    HA_UNSPECIFIED = 128, "home agent: reason unspecified";
    /// Home agent: administratively prohibited.
    HA_PROHIBITED = 129, "home agent: administratively prohibited";
    /// Home agent: insufficient resources.
    HA_RESOURCES = 130, "home agent: insufficient resources";
    /// Home agent: mobile node failed authentication.
    HA_MN_AUTHENTICATION = 131, "home agent: mobile node failed authentication";
    /// Home agent: foreign agent failed authentication.
    HA_FA_AUTHENTICATION = 132, "home agent: foreign agent failed authentication";
    /// Home agent: registration identification mismatch.
    HA_IDENTIFICATION = 133, "home agent: identification mismatch, the clock of the mobile node is off";
    /// Home agent: poorly formed request.
    HA_BAD_REQUEST = 134, "home agent: poorly formed request";
    /// Home agent: too many simultaneous bindings.
    HA_TOO_MANY_BINDINGS = 135, "home agent: too many simultaneous bindings";
    /// Home agent: unknown home agent address.
    HA_UNKNOWN_HOME_AGENT = 136, "home agent: unknown home agent address";
    /// Home agent: requested reverse tunnel unavailable (RFC 3024).
    HA_REVERSE_UNAVAILABLE = 137, "home agent: reverse tunnel unavailable";
    /// Home agent: reverse tunnel mandatory and T not set (RFC 3024).
    HA_REVERSE_MANDATORY = 138, "home agent: reverse tunnel is mandatory and was not asked for";
    /// Home agent: requested encapsulation unavailable (RFC 3024).
    HA_ENCAPSULATION = 139, "home agent: requested encapsulation unavailable";
    /// Home agent: critical vendor extension of the mobile node not understood (RFC 3115).
    HA_VENDOR_FROM_MN = 140, "home agent: vendor extension of the mobile node not understood";
    /// Home agent: critical vendor extension of the foreign agent not understood (RFC 3115).
    HA_VENDOR_FROM_FA = 141, "home agent: vendor extension of the foreign agent not understood";
    /// Home agent: UDP encapsulation unavailable (RFC 3519).
    HA_UDP_UNAVAILABLE = 142, "home agent: UDP encapsulation unavailable";
    /// Home agent: experimental (RFC 4064).
    HA_EXPERIMENTAL = 192, "home agent: experimental, see the error detail";
    /// Foreign agent: the home agent field cannot be a home agent's (RFC 5944).
    FA_INVALID_HOME_AGENT = 194, "foreign agent: invalid home agent address";
}

impl Code {
    /// True for 0 and 1.
    #[must_use]
    pub const fn accepted(self) -> bool {
        self.0 <= 1
    }

    /// True for codes that a foreign agent gives; they are not authenticated by the home agent.
    #[must_use]
    pub const fn from_foreign_agent(self) -> bool {
        self.0 >= 64 && self.0 < 128
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.meaning())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}: {}", self.0, self.meaning())
    }
}

/// The code inside an error detail extension (docs/wire.md). Unknown values survive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DetailCode(pub u16);

registry! {
    DetailCode, "unknown detail";
    /// A key share is missing.
    SHARE_MISSING = 1, "a key share is missing";
    /// A key share was refused.
    SHARE_REFUSED = 2, "a key share was refused";
    /// The roaming policy forbids this agent.
    ROAMING_POLICY = 3, "the roaming policy forbids this agent";
    /// A counter-proposal follows.
    COUNTER_PROPOSAL = 4, "a counter-proposal follows";
    /// No proposal was chosen.
    NO_PROPOSAL = 5, "no proposal was chosen";
    /// The rounds of a negotiation are used up.
    ROUNDS_EXHAUSTED = 6, "the rounds of the negotiation are used up";
    /// The path is not secured.
    PATH_NOT_SECURED = 7, "the path between the agents is not secured";
    /// The key distribution centre cannot be reached.
    KDC_UNAVAILABLE = 8, "the key distribution centre cannot be reached";
    /// The agent that relayed is not the one that the mobile node heard.
    AGENT_MISMATCH = 9, "the relaying agent is not the one that was heard";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_codes_are_distinct_and_rising() {
        assert!(Code::NAMED.windows(2).all(|w| w[0] < w[1]));
        assert!(Code::NAMED.iter().all(|c| c.meaning() != "unknown code"));
        assert_eq!(Code(250).meaning(), "unknown code");
    }

    #[test]
    fn who_gave_a_code() {
        assert!(Code::ACCEPTED_NO_SIMULTANEOUS.accepted() && !Code(2).accepted());
        assert!(Code::FA_TIMEOUT.from_foreign_agent() && Code::FA_EXPERIMENTAL.from_foreign_agent());
        assert!(!Code::HA_UNSPECIFIED.from_foreign_agent());
    }
}
