//! What must hold of every message, and of a world that has had time to heal.

use mobility::mobile_node::{Delivery, Encapsulation, Route, State};
use record::{AssociationKind, Tunnel};

use crate::{
    model::Verdict,
    nodes::{agent_nai, care_of, node_link, translated_address},
    plan::Place,
    world::World,
};

/// Off the home link no message names a mobile node or its link address.
pub(crate) fn private(bytes: &[u8], away: bool) -> Verdict {
    if !away {
        return Ok(());
    }
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
    if holds(b"traveller") || (0..4).any(|n| holds(&node_link(n))) {
        return Err("a message off the home link names a mobile node".to_owned());
    }
    Ok(())
}

/// At the end every mobile node is registered where it is, and everybody agrees on it.
pub(crate) fn healed(world: &World) -> Verdict {
    (0..world.mobile_nodes.len()).try_for_each(|node| {
        let place = world.mobile_nodes[node].place;
        let rests = at_rest(world, node).and_then(|()| nowhere_else(world, node));
        rests.map_err(|words| format!("mobile node {node} at {place:?}: {words}"))
    })
}

pub(crate) fn at_rest(world: &World, node: usize) -> Verdict {
    let here = &world.mobile_nodes[node];
    let machine = here.machine.as_ref().ok_or("its daemon is down")?;
    let state = machine.status().state;
    let home = world.model.home(node);
    // Whoever lost the address that it was given gets it back at its next registration.
    let knows = home.is_some_and(|home| machine.home_address() == home);
    let bindings: Vec<_> = home.into_iter().flat_map(|home| world.home_disk.bindings(home)).collect();
    let serving: Vec<_> = world.home_agents.iter().filter_map(|agent| agent.tunnels.get(&home?)).collect();
    let expect = |holds: bool, words: &str| {
        if holds { Ok(()) } else { Err(format!("{words} ({state:?})")) }
    };
    expect(serving.len() <= 1, "two home agents serve it")?;
    if world.model.is_revoked(node) {
        return expect(bindings.is_empty() && serving.is_empty(), "is bound though it was revoked");
    }
    match here.place {
        Place::Nowhere => Ok(()),
        Place::Home if !knows => {
            let none = machine.home_address().is_unspecified() && world.plan.is_unnumbered(node);
            expect(none && state == State::Discovering, "is somewhere without a home address")
        }
        Place::Home => {
            expect(state == State::AtHome, "does not know that it is at home")?;
            expect(bindings.is_empty() && serving.is_empty(), "still has a binding at home")
        }
        Place::Visited(_) | Place::Translated => {
            expect(state == State::Registered, "is not registered")?;
            expect(knows, "has another home address than it was given")?;
            let here = match here.place {
                Place::Visited(agent) => care_of(agent),
                Place::Home | Place::Translated | Place::Nowhere => translated_address(node),
            };
            let binding = bindings.iter().find(|binding| binding.care_of == here);
            let binding = binding.ok_or("the home agent has no binding there")?;
            let alone = bindings.len() == 1 || world.plan.asks_for_both(node);
            expect(alone, "is bound elsewhere too, and did not ask for that")?;
            expect(serving.len() == 1, "not one home agent has tunnels")?;
            let wanted = bindings.iter().map(|binding| binding.tunnel);
            let there: Vec<_> = serving.into_iter().flatten().map(|bound| bound.tunnel).collect();
            let both = wanted.clone().all(|tunnel| there.contains(&tunnel)) && there.len() == bindings.len();
            expect(both, "the home agent's tunnels are not those of its bindings")?;
            agreed(world, node, binding)
        }
    }
}

/// No agent that a mobile node left still takes it for its visitor, unless it is still being told.
fn nowhere_else(world: &World, node: usize) -> Verdict {
    let here = world.mobile_nodes[node].place;
    let Some(address) = world.model.home(node) else {
        return Ok(());
    };
    for (agent, visited) in world.foreign_agents.iter().enumerate() {
        // With S it may have asked to be reached there too.
        let bound = world.home_disk.bindings(address).any(|b| b.care_of == care_of(agent));
        // One whose time is over stands on a disk that failed at that moment; a start drops it.
        let lives = |v: &record::Visitor| v.ends().is_none_or(|ends| ends > world.unix());
        let stale =
            visited.visitors.contains_key(&address) || visited.disk.visitor(address).is_some_and(lives);
        // Several home agents agree to no revocations: there a visit ends with its lifetime.
        // The home agent cannot know which keys the foreign agent has: it tries them in turn, ever more slowly.
        let told = world.home_disk.tells(address, care_of(agent));
        if stale && !bound && !told && here != Place::Visited(agent) && world.home_agents.len() == 1 {
            return Err(format!("foreign agent {agent} still has it as a visitor"));
        }
    }
    Ok(())
}

fn agreed(world: &World, node: usize, binding: &record::Binding) -> Verdict {
    let here = &world.mobile_nodes[node];
    let machine = here.machine.as_ref().ok_or("its daemon is down")?;
    let fingerprint = |held: Vec<&record::Association>, kind| {
        held.into_iter().find(|a| a.kind == kind).map(|a| a.key.fingerprint_hex())
    };
    // At agents the newest stands last, behind those that still receive.
    let newest = |held: &[record::Association], kind| fingerprint(held.iter().rev().collect(), kind);
    let mine = |kind| fingerprint(machine.associations().collect(), kind);
    let expect = |holds: bool, words: &str| if holds { Ok(()) } else { Err(words.to_owned()) };
    let key1 = newest(&binding.associations, AssociationKind::Key1);
    expect(key1.is_some() && mine(AssociationKind::Key1) == key1, "KEY 1 differs from the home agent's")?;
    let (wish, offered) = (world.plan.wish(node), world.plan.home);
    let Place::Visited(agent) = here.place else {
        expect(binding.broadcasts == (wish.broadcasts && offered.broadcasts), "broadcasts not as wished")?;
        expect(binding.care_of == translated_address(node), "bound elsewhere")?;
        let tunnel = world.translated(node).map(Tunnel::Udp);
        return expect(Some(binding.tunnel) == tunnel, "the tunnel does not end at the NAT");
    };
    expect(binding.care_of == care_of(agent), "bound elsewhere")?;
    expect(binding.foreign_agent.as_deref() == Some(&*agent_nai(agent)), "bound through another agent")?;
    let visited = &world.foreign_agents[agent];
    let home = machine.home_address();
    let link = visited.visitors.get(&home);
    expect(link == Some(&node_link(node)), "the foreign agent has no visitor")?;
    let visitors = visited.disk.load().visitors;
    let visitor = visitors.iter().find(|v| v.home_address == home);
    let visitor = visitor.ok_or("the foreign agent's store has no visitor")?;
    style_agreed(world, node, agent, (binding, visitor))?;
    let theirs = |kind| newest(&visitor.associations, kind);
    let key2 = newest(&binding.associations, AssociationKind::Key2);
    expect(key2.is_some() && theirs(AssociationKind::Key2) == key2, "KEY 2 differs between the agents")?;
    let key3 = mine(AssociationKind::Key3);
    expect(
        key3.is_some() && theirs(AssociationKind::Key3) == key3,
        "KEY 3 differs from the foreign agent's",
    )?;
    let suite = |held: &[record::Association], kind| {
        held.iter().rev().find(|association| association.kind == kind).map(|association| association.suite)
    };
    let own = |kind| machine.associations().find(|association| association.kind == kind).map(|a| a.suite);
    let (bound, visits) = (&binding.associations, &visitor.associations);
    expect(own(AssociationKind::Key1) == suite(bound, AssociationKind::Key1), "two suites of KEY 1")?;
    expect(
        suite(visits, AssociationKind::Key2) == suite(bound, AssociationKind::Key2),
        "two suites of KEY 2",
    )?;
    expect(own(AssociationKind::Key3) == suite(visits, AssociationKind::Key3), "two suites of KEY 3")
}

/// Tunnel, broadcasts and delivery: the same to all three, and what was wished for wherever both agents offer it.
fn style_agreed(
    world: &World,
    node: usize,
    agent: usize,
    (binding, visitor): (&record::Binding, &record::Visitor),
) -> Verdict {
    let (wish, offer, home) = (world.plan.wish(node), world.plan.offer(agent), world.plan.home);
    let name = binding.tunnel.name();
    let expect = |holds: bool, words: &str| if holds { Ok(()) } else { Err(format!("{words} ({name})")) };
    expect(visitor.tunnel.name() == name, "the tunnel has two kinds of ends")?;
    expect(binding.broadcasts == (visitor.broadcasts && home.broadcasts), "broadcasts come to nobody")?;
    if !world.plan.untouched() {
        // What 32 does not cover can be spoiled at the first contact, and codes of agents can be forged.
        return Ok(());
    }
    let granted = offer.gives(wish.encapsulation) && home.gives(wish.encapsulation);
    let expected = match wish.encapsulation {
        _ if offer.udp => "udp",
        Encapsulation::Minimal if granted => "minimal",
        Encapsulation::Gre if granted => "gre",
        _ => "ipip",
    };
    expect(name == expected, "not the tunnel that was wished for and offered")?;
    let wanted = wish.broadcasts || wish.delivery == Delivery::Encapsulating;
    let encapsulating = wanted && offer.broadcasts;
    expect(visitor.encapsulating_delivery == encapsulating, "not the delivery that was wished for")?;
    expect(visitor.broadcasts == (wish.broadcasts && encapsulating), "broadcasts not as wished")?;
    let Some(Route::ViaForeignAgent { delivery, broadcasts, .. }) = world.mobile_nodes[node].route else {
        return Err("no route through the agent".to_owned());
    };
    expect((delivery == Delivery::Encapsulating) == encapsulating, "node and agent differ in the delivery")?;
    expect(broadcasts == visitor.broadcasts, "node and agent differ in the broadcasts")
}
