//! Exchanges that take long: nobody waits for them but who needs them, and nothing comes before them.

use crypto::Rng;
use record::{AssociationKind, Mode};
use sa::{
    KeyInfo, Material, Transcript,
    negotiation::{Choice, Method, Policy, Rounds, Terms, begin, choose},
};
use wire::{
    mip::{ours::Numbers, part::Parts, registration::Request as Fixed, share::Group},
    negotiation::Negotiation,
};

use super::{
    script::{HomeAgentScript, Mobile, Piece, ours},
    *,
};

/// KEY 2 by group 14 and in no other way.
fn policy() -> Policy {
    let methods = vec![Method::Known(Group(14))];
    Policy { modes: vec![Mode::Stateless], methods, ..Policy::default() }
}

/// A foreign agent that offers it, and whose exchanges nobody works at.
fn world() -> World {
    let mut config = config();
    config.negotiation.home_agents = Some(policy());
    (config.max_visitors, config.max_pending) = (1000, 1000);
    let mut world = World::with(config);
    world.exchanges = Some(Vec::new());
    world
}

fn ask(world: &mut World, mobile: &mut Mobile, challenge: &[u8]) {
    let request = mobile.request(challenge);
    world.packet(LINK, mobile.station, &mobile.packet(&request));
}

/// Our part's value for KEY 2.
fn value(relayed: &[u8]) -> Vec<u8> {
    let parts = Parts::parse(relayed, Fixed::LEN, VENDOR).unwrap();
    let trees = parts.foreign.negotiation.unwrap().trees().unwrap();
    let Choice::Chosen(chosen) = choose(&trees[0], &[&Terms::from(&policy())]) else { panic!("no value") };
    chosen.exchange.unwrap().1.to_vec()
}

/// The acceptance of a relayed request, its value changed by `change`, and KEY 2 as the home agent makes it.
fn accept(relayed: &[u8], change: fn(&mut Vec<u8>)) -> (Vec<u8>, Key) {
    let parts = Parts::parse(relayed, Fixed::LEN, VENDOR).unwrap();
    let offer = parts.foreign.negotiation.unwrap();
    let trees = offer.trees().unwrap();
    let Choice::Chosen(chosen) = choose(&trees[0], &[&Terms::from(&policy())]) else { panic!("no value") };
    let (method, offered) = chosen.exchange.clone().unwrap();
    let found = crypto::group::Verdicts::new(0);
    let begun = begin(&method, offered, &policy(), &found, &mut Rng::from_seed([5; 32])).unwrap();
    let (shared, mut answer) = begun.finish().answer.unwrap().into_parts();
    change(&mut answer);
    let digest = Rounds::default().digest_after(offer.body());
    let body = Negotiation::emit(1, &digest, &[chosen.answer(&trees[0], &answer)]).unwrap();
    let mut script = HomeAgentScript::new();
    script.distort = |info: &mut KeyInfo| {
        if info.kind == AssociationKind::Key2 {
            info.material = Material::Exchanged;
        }
    };
    let said = Piece::Raw(ours(Numbers::Vendor(VENDOR), 5, &body));
    script.pieces = Some(vec![Piece::Handle, Piece::Key2, Piece::Key3, Piece::Ip, Piece::Share, said]);
    let key2 = script.path().stateless_key(&Transcript::of_agent(&parts), shared.key());
    (script.reply(relayed), key2)
}

/// A registration whose acceptance is about to come.
fn relayed(world: &mut World) -> Vec<u8> {
    let challenge = world.challenge(LINK);
    ask(world, &mut Mobile::new(), &challenge);
    world.work();
    world.exchanges = Some(Vec::new());
    world.relayed().pop().unwrap().1
}

fn held(world: &World) -> usize {
    world.exchanges.as_ref().map_or(0, Vec::len)
}

#[test]
fn who_is_first_to_need_a_value_waits_for_it_and_nobody_after_that() {
    let mut world = world();
    let challenge = world.challenge(LINK);
    for n in 1..=2 {
        ask(&mut world, &mut Mobile::numbered(n), &challenge);
    }
    assert!(world.relayed().is_empty() && world.agent.pending() == 0);
    assert_eq!((held(&world), world.agent.footprint()["waiting for exchanges"]), (1, 2));
    world.work();
    let relayed = world.relayed();
    assert_eq!(relayed.len(), 2);
    assert_eq!(value(&relayed[0].1), value(&relayed[1].1));
    // Half a minute later, and when the minute is over.
    for (n, seconds, same) in [(3, 30, true), (4, 30, false)] {
        world.pass(Duration::from_secs(seconds));
        world.exchanges = Some(Vec::new());
        let challenge = world.challenge(LINK);
        ask(&mut world, &mut Mobile::numbered(n), &challenge);
        let now = world.relayed().pop().expect("at once").1;
        assert_eq!(value(&now) == value(&relayed[0].1), same);
        assert_eq!(held(&world), usize::from(!same), "the next one is made meanwhile");
        world.work();
    }
    assert_eq!(world.counter("requests that waited for a value"), 2);
    assert_eq!(world.agent.footprint()["waiting for exchanges"], 0);
}

#[test]
fn beyond_what_may_wait_a_request_goes_without_a_value() {
    let mut world = world();
    let challenge = world.challenge(LINK);
    for n in 0..70 {
        ask(&mut world, &mut Mobile::numbered(n), &challenge);
    }
    let relayed = world.relayed();
    assert_eq!((relayed.len(), world.agent.footprint()["waiting for exchanges"]), (6, 64));
    let parts = Parts::parse(&relayed[0].1, Fixed::LEN, VENDOR).unwrap();
    let trees = parts.foreign.negotiation.unwrap().trees().unwrap();
    assert!(matches!(choose(&trees[0], &[&Terms::from(&policy())]), Choice::NeedsValue(_)));
    world.work();
    assert_eq!(world.relayed().len(), 64);
}

#[test]
fn nothing_changes_before_the_exchange_is_done_and_a_reply_that_comes_twice_does_nothing() {
    let mut world = world();
    let relayed = relayed(&mut world);
    let (reply, key2) = accept(&relayed, |_| {});
    for times in 0..3 {
        world.reply(HOME_AGENT, &reply);
        assert_eq!((held(&world), world.counter("reply: repeated")), (1, times));
    }
    assert!(world.visitors().is_empty() && world.store.visitors.is_empty() && world.replies().is_empty());
    // However long it takes, it is neither given up nor asked for again.
    world.pass(Duration::from_secs(20));
    assert_eq!((world.agent.pending(), world.agent.footprint()["waiting for exchanges"]), (1, 1));
    assert!(world.codes().is_empty());
    // Then all at once, and the answer only when the store has it.
    world.mode = StoreMode::Holds;
    world.work();
    assert!(world.codes().is_empty() && world.visitors().is_empty());
    world.release();
    assert_eq!((world.codes(), world.visitors()), (vec![Code::ACCEPTED], vec![HOME_ADDRESS]));
    let mut made = world.store.visitors[0].associations.iter();
    assert!(made.any(|a| a.kind == AssociationKind::Key2 && a.key == key2));
    assert_eq!(world.agent.pending(), 0);
}

#[test]
fn a_value_that_does_not_serve_brings_no_visitor() {
    let changes: [fn(&mut Vec<u8>); 3] =
        [|value| value.fill(0), |value| value.fill(0xff), |value| value.truncate(255)];
    for change in changes {
        let mut world = world();
        let relayed = relayed(&mut world);
        let (reply, _) = accept(&relayed, change);
        world.reply(HOME_AGENT, &reply);
        world.work();
        assert_eq!((world.codes(), world.agent.pending()), (vec![Code::FA_BAD_REPLY], 0));
        assert!(world.visitors().is_empty() && world.store.visitors.is_empty());
    }
}

#[test]
fn a_home_agent_that_is_taken_out_meanwhile_brings_no_visitor() {
    let mut world = world();
    let relayed = relayed(&mut world);
    let (reply, _) = accept(&relayed, |_| {});
    world.reply(HOME_AGENT, &reply);
    assert_eq!(held(&world), 1);
    let mut config = config();
    config.home_agents.remove(0);
    world.input(Input::Request(Request::Configure(Box::new(config))));
    world.work();
    assert!(world.visitors().is_empty() && world.store.visitors.is_empty());
    world.pass(Duration::from_secs(10));
    assert_eq!((world.agent.pending(), world.agent.footprint()["waiting for exchanges"]), (0, 0));
}
