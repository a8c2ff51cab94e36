//! Answers that come twice, late, for nobody, or cut.
#![allow(clippy::unwrap_used)]

use mobility::Trace;
use record::Nai;

use super::*;

/// With one question on its way.
fn asking() -> (Asking, UnboundedReceiver<Request>) {
    let (_, asked) = mpsc::unbounded_channel();
    let (answer, told) = mpsc::unbounded_channel();
    let mut asking = Asking { asked, open: Open::default(), answer };
    let question = KeyRequest {
        request: [7; 16],
        trace: Trace([0; 16]),
        nai: Nai::parse("mn@home.example").unwrap(),
        foreign_agent: None,
        care_of: [192, 0, 2, 1].into(),
        lifetime: 600,
        key1: (Spi(1000), Spi(2000)),
        with_agent: None,
    };
    asking.open.take(Ticket(1), question);
    assert_eq!(asking.open.batch().requests.len(), 1);
    (asking, told)
}

fn reply(number: &[u8], key1: &[u8]) -> IssueKeysStreamReply {
    let issued = IssueKeysReply { key1: key1.to_vec(), ..IssueKeysReply::default() };
    IssueKeysStreamReply { request_id: number.to_vec(), result: Some(Answered::Issued(issued)) }
}

fn key(told: &mut UnboundedReceiver<Request>) -> Option<Result<Key, KdcError>> {
    match told.try_recv().ok()? {
        Request::Keys { ticket: Ticket(1), result } => Some(result.map(|keys| keys.key1)),
        _ => panic!("not the answer to that question"),
    }
}

#[test]
fn the_first_of_two_answers_counts_and_the_second_is_nobodys() {
    let (mut asking, mut told) = asking();
    asking.take_reply(reply(&[7; 16], &[1; 32]));
    asking.take_reply(reply(&[7; 16], &[2; 32]));
    assert!(key(&mut told).unwrap().unwrap() == Key::new([1; 32]));
    assert!(key(&mut told).is_none());
    assert!(asking.open.questions.is_empty() && asking.open.ends.is_empty());
}

#[test]
fn an_answer_after_its_time_is_nobodys() {
    let (mut asking, mut told) = asking();
    assert_eq!(asking.open.take_late(Instant::now() + DEADLINE), [Ticket(1)]);
    asking.take_reply(reply(&[7; 16], &[1; 32]));
    assert!(key(&mut told).is_none());
}

#[test]
fn an_answer_to_no_question_or_without_a_whole_key_gives_no_key() {
    let (mut asking, mut told) = asking();
    for number in [&[8; 16][..], &[7; 15], &[]] {
        asking.take_reply(reply(number, &[1; 32]));
        assert!(key(&mut told).is_none(), "{number:?}");
    }
    asking.take_reply(reply(&[7; 16], &[1; 31]));
    assert!(matches!(key(&mut told), Some(Err(KdcError::Unavailable(_)))));
}

#[test]
fn a_question_is_asked_on_two_streams_at_most() {
    let (mut asking, _told) = asking();
    assert!(asking.open.broken().is_empty());
    assert_eq!(asking.open.batch().requests.len(), 1, "the same question once more");
    assert_eq!(asking.open.broken(), [Ticket(1)]);
    assert!(asking.open.batch().requests.is_empty());
}
