//! Negotiations: their trees, and which payload of a broken one is to blame.

use wire::{
    Error, Reader,
    mip::ours::Subtype,
    negotiation::{Drawing, KeyExchange, Negotiation, Proposal, Transform, Tree},
};

use super::page::{Page, hex};

/// Type of a transform payload.
const TRANSFORM: u8 = 3;
/// Bytes before what is nested in a tree, and in a proposal.
const TREE_HEAD: usize = 4;
const PROPOSAL_HEAD: usize = 16;

/// Draws a body that came without its extension.
pub(super) fn draw_body(body: &[u8], page: &mut Page) {
    page.message(format_args!("body of a {}, {} bytes", Subtype::NEGOTIATION.meaning(), body.len()));
    match Negotiation::parse(body) {
        Ok(negotiation) => {
            page.field(0, head(&negotiation));
            draw_trees(&negotiation, 0, page);
        }
        Err(error) => page.fault(0, error),
    }
}

/// Round and digest.
pub(super) fn head(negotiation: &Negotiation<'_>) -> String {
    let round = negotiation.round;
    if negotiation.digest == [0; 32] {
        format!("round {round}, no digest")
    } else {
        format!("round {round}, digest {}", hex(&negotiation.digest))
    }
}

/// Draws the trees of a body that begins at `at` in the message: those before the first that is broken.
pub(super) fn draw_trees(negotiation: &Negotiation<'_>, at: usize, page: &mut Page) {
    let trees = &negotiation.body()[Negotiation::HEAD..];
    let mut r = Reader::new(trees);
    let mut whole = Vec::new();
    let mut broken = None;
    while broken.is_none() && !r.is_empty() {
        let from = r.position();
        match Tree::parse(&mut r) {
            Ok(tree) => whole.push(tree),
            Err(error) => broken = Some((from + in_tree(&trees[from..]), error)),
        }
    }
    page.below(Drawing(&whole));
    if let Some((place, error)) = broken {
        page.fault(at + Negotiation::HEAD + place, error);
    } else if let Err(error) = negotiation.trees() {
        page.fault(at + Negotiation::HEAD, error);
    }
}

/// Where in a broken tree the innermost payload begins that is broken.
fn in_tree(tree: &[u8]) -> usize {
    nested(tree, TREE_HEAD, |r, _| Proposal::parse(r).map(drop), in_proposal)
}

fn in_proposal(proposal: &[u8]) -> usize {
    let one = |r: &mut Reader<'_>, kind| match kind {
        TRANSFORM => Transform::parse(r).map(drop),
        _ => KeyExchange::parse(r).map(drop),
    };
    nested(proposal, PROPOSAL_HEAD, one, |_| 0)
}

/// The place of the first payload behind the head of `payload` that is broken, or else that of `payload` itself.
fn nested(
    payload: &[u8],
    head: usize,
    parse: impl Fn(&mut Reader<'_>, u8) -> Result<(), Error>,
    inside: impl Fn(&[u8]) -> usize,
) -> usize {
    let length = payload.get(2..4).map_or(0, |length| usize::from(length[0]) << 8 | usize::from(length[1]));
    let Some(data) = payload.get(head..length) else {
        return 0;
    };
    let mut r = Reader::new(data);
    while !r.is_empty() {
        let from = r.position();
        if parse(&mut r, data[from]).is_err() {
            return head + from + inside(&data[from..]);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{
        mip::{Spi, share::Group},
        negotiation::{Between, Protocol},
    };

    /// Head 34; tree at 34; proposal at 38, its transform at 54, its key exchange at 62; proposal at 72.
    fn body() -> Vec<u8> {
        let transforms = vec![Transform { number: 1, keys: 1, id: 12, attributes: vec![] }];
        let proposal = |protocol_number, exchanges| Proposal {
            number: 1,
            protocol_number,
            protocol: Protocol::AUTHENTICATION,
            lifetime: 600,
            spi: Spi(0),
            transforms: transforms.clone(),
            exchanges,
        };
        let share = KeyExchange::Group { group: Group::X25519, value: &[1; 4] };
        let proposals = vec![proposal(1, vec![share]), proposal(2, vec![])];
        Negotiation::emit(1, &[0; 32], &[Tree { between: Between::MN_HA, proposals }]).unwrap()
    }

    fn drawn(body: &[u8]) -> Page {
        let mut page = Page::new(9);
        draw_body(body, &mut page);
        page
    }

    #[test]
    fn a_body_is_drawn_with_its_trees() {
        let page = drawn(&body());
        assert!(!page.is_faulty());
        let text = page.text();
        assert!(text.starts_with("body of a negotiation, 96 bytes\n     0  round 1, no digest\n"), "{text}");
        assert!(text.contains("key exchange: X25519, value of 4 bytes"), "{text}");
    }

    #[test]
    fn the_innermost_broken_payload_is_named() {
        for (changed, value, place) in [
            (0, 0, 0),    // round
            (34, 2, 34),  // type of the tree
            (37, 0, 34),  // its length
            (38, 1, 38),  // type of the first proposal
            (49, 0, 38),  // not its lifetime alone: the low byte of 600
            (54, 9, 54),  // type of the transform
            (57, 99, 54), // its length
            (63, 7, 62),  // sub-type of the key exchange
            (75, 7, 72),  // length of the second proposal
        ] {
            let mut broken = body();
            broken[changed] = value;
            if changed == 49 {
                broken[48] = 0;
            }
            let page = drawn(&broken);
            let fault = format!("\n{place:>6}  MALFORMED: ");
            assert!(page.is_faulty() && page.text().contains(&fault), "{changed}: {}", page.text());
        }
    }

    #[test]
    fn trees_before_a_broken_one_are_drawn() {
        let mut two = body();
        let tree = two[Negotiation::HEAD..].to_vec();
        two.extend(&tree);
        let text = drawn(&two).text();
        assert!(text.contains("MALFORMED: ") && text.contains("two trees"), "{text}");
        two.truncate(two.len() - 1);
        let text = drawn(&two).text();
        assert!(text.contains("MN-HA\n") && text.contains("\n    96  MALFORMED: "), "{text}");
        assert!(drawn(&two[..Negotiation::HEAD]).is_faulty(), "no tree at all");
    }
}
