//! Letting go wrong what the scenario says, when it says.

use std::collections::BTreeMap;

use super::sleep_until;
use crate::{
    clock,
    emulation::Impairment,
    network::Network,
    scenario::{Fault, What},
    timeline::{Moment, Timeline},
};

/// A fault of the scenario that was made; times in boot nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) what: What,
    /// A link or a node.
    pub(crate) target: String,
    /// Just before it was done.
    pub(crate) at: u64,
    /// When it was done; a daemon that was started answers then.
    pub(crate) done: u64,
    /// Why it could not be done.
    pub(crate) error: Option<String>,
}

/// Makes every fault of the scenario at its time.
pub(super) fn make(network: &Network, zero: u64, timeline: &Timeline) -> Vec<Trouble> {
    let mut made = Vec::new();
    let mut links = BTreeMap::new();
    for fault in network.scenario.faults_in_time() {
        sleep_until(zero.saturating_add(u64::try_from(fault.at().as_nanos()).unwrap_or(u64::MAX)));
        let at = clock::boot_ns();
        let error = carry_out(network, fault, &mut links).err().map(|error| format!("{error:#}"));
        let (what, target) = (*fault.what.get_ref(), fault.target().to_owned());
        timeline.tell(at, Moment::Trouble(format!("{} {target}", what.word())));
        made.push(Trouble { what, target, at, done: clock::boot_ns(), error });
    }
    made
}

/// `links` are those that were changed before.
fn carry_out<'a>(
    network: &Network,
    fault: &'a Fault,
    links: &mut BTreeMap<&'a str, Impairment>,
) -> anyhow::Result<()> {
    let target = fault.target();
    match fault.what.get_ref() {
        What::Cut => network.switch.cut(target, true),
        What::Restore => network.switch.cut(target, false),
        What::Impair => {
            let link = links.entry(target).or_insert_with(|| network.scenario.impairment(target));
            if let Some(values) = &fault.values {
                *link = values.get_ref().over(link);
            }
            network.switch.impair(target, link.clone())
        }
        What::Kill => network.kill(target, libc::SIGKILL),
        What::Start => network.start_daemon(target),
        What::Stop => network.kill(target, libc::SIGSTOP),
        What::Continue => network.kill(target, libc::SIGCONT),
    }
}
