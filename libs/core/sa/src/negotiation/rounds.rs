//! The rounds of one negotiation and the digest of all that was said in them.

use wire::negotiation::Negotiation;

/// Most rounds of one negotiation.
pub const MAX_ROUNDS: u8 = 4;

/// What was said so far, in one part of the messages.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Rounds {
    round: u8,
    bodies: Vec<u8>,
}

impl Rounds {
    /// The next request of whoever asks: its round, and its digest.
    #[must_use]
    pub fn next(&self) -> (u8, [u8; 32]) {
        (self.round + 1, digest(&self.bodies, &[]))
    }

    /// The digest that stands in the reply to a request with this body; to one without, nothing.
    #[must_use]
    pub fn digest_after(&self, request: &[u8]) -> [u8; 32] {
        digest(&self.bodies, request)
    }

    /// True if a request goes on where these rounds ended.
    #[must_use]
    pub fn continued_by(&self, request: &Negotiation<'_>) -> bool {
        (request.round, request.digest) == self.next()
    }

    /// True if a reply answers a request with this body, sent as [`Self::next`] said.
    #[must_use]
    pub fn answered_by(&self, request: &[u8], reply: &Negotiation<'_>) -> bool {
        (reply.round, reply.digest) == (self.round + 1, self.digest_after(request))
    }

    /// A round is over: these were its bodies.
    #[must_use]
    pub fn after(&self, request: &[u8], reply: &[u8]) -> Self {
        let mut bodies = self.bodies.clone();
        bodies.extend_from_slice(request);
        bodies.extend_from_slice(reply);
        Self { round: self.round + 1, bodies }
    }

    /// Rounds that are over.
    #[must_use]
    pub const fn over(&self) -> u8 {
        self.round
    }
}

/// Zeros where nothing was said yet.
fn digest(bodies: &[u8], more: &[u8]) -> [u8; 32] {
    if bodies.is_empty() && more.is_empty() { [0; 32] } else { crypto::digest(&[bodies, more]) }
}
