//! Whether a daemon works: its checks by name, each with the reason why not.

use std::fmt;

use serde_json::{Value, json};

use crate::{AgentSnapshot, metrics::store::Commits};

/// One thing that must be so before the daemon does its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, one word.
    pub name: &'static str,
    /// Why it is not so, for a person and without secrets; `None` if it is.
    pub why_not: Option<String>,
}

impl Check {
    /// Fails with this reason, if there is one.
    #[must_use]
    pub const fn new(name: &'static str, why_not: Option<String>) -> Self {
        Self { name, why_not }
    }

    /// The sockets are open and the state is loaded: the first snapshot was published then.
    #[must_use]
    pub fn started(snapshot: &AgentSnapshot) -> Self {
        let early = snapshot.status_at(0).role() == proto::agent::Role::Unspecified;
        Self::new("started", early.then(|| "still starting".to_owned()))
    }

    /// The last transaction of the store was committed.
    #[must_use]
    pub fn store(commits: &Commits) -> Self {
        Self::new("store", commits.trouble.as_ref().map(|why| format!("the last commit failed: {why}")))
    }

    /// A home agent is told of subscribers, and can ask for keys.
    #[must_use]
    pub fn kdc(snapshot: &AgentSnapshot) -> Self {
        let state = snapshot.status_at(0).kdc;
        Self::new("key_distribution_centre", (state != "connected").then_some(state))
    }

    /// A mobile node is reachable under its home address.
    #[must_use]
    pub fn reachable(snapshot: &AgentSnapshot) -> Self {
        let state = snapshot.status_at(0).mobile_node.unwrap_or_default().state;
        let reachable = state == "registered" || state == "at home";
        Self::new("registered", (!reachable).then_some(state))
    }
}

/// The answer to a question for health.
#[derive(Debug)]
pub(crate) struct Report {
    /// All checks hold.
    pub(crate) good: bool,
    body: Value,
}

impl Report {
    /// Of these checks; `good` and `bad` are what the whole is called.
    pub(crate) fn of(checks: &[Check], good: &str, bad: &str) -> Self {
        let holds = checks.iter().all(|check| check.why_not.is_none());
        let shown = checks.iter().map(|check| match &check.why_not {
            None => json!({ "name": check.name, "ok": true }),
            Some(why) => json!({ "name": check.name, "ok": false, "why": why }),
        });
        let shown: Vec<Value> = shown.collect();
        Self { good: holds, body: json!({ "status": if holds { good } else { bad }, "checks": shown }) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.body)
    }
}

#[cfg(test)]
mod tests {
    use proto::agent::{MobileNode, Role, StatusReply};

    use super::*;

    #[test]
    fn one_check_that_fails_is_named_with_its_reason() {
        let full = Commits { trouble: Some("the disk is full".to_owned()), ..Commits::default() };
        let checks = [Check::new("started", None), Check::store(&full)];
        let report = Report::of(&checks, "ready", "not ready");
        assert!(!report.good);
        let body: Value = serde_json::from_str(&report.to_string()).unwrap();
        assert_eq!(body["status"], "not ready");
        assert_eq!(body["checks"][0], json!({ "name": "started", "ok": true }));
        assert_eq!(body["checks"][1]["why"], "the last commit failed: the disk is full");
        assert!(Report::of(&checks[..1], "ready", "not ready").good);
    }

    #[test]
    fn agents_are_judged_by_what_they_published() {
        let empty = AgentSnapshot::default();
        assert!(Check::started(&empty).why_not.is_some());
        let home = |kdc: &str| {
            let status =
                StatusReply { role: Role::HomeAgent.into(), kdc: kdc.to_owned(), ..Default::default() };
            AgentSnapshot::new(status)
        };
        assert_eq!(Check::started(&home("connected")).why_not, None);
        assert_eq!(Check::kdc(&home("connected")).why_not, None);
        assert_eq!(Check::kdc(&home("it ended")).why_not.as_deref(), Some("it ended"));
        let node = |state: &str| {
            let node = MobileNode { state: state.to_owned(), ..MobileNode::default() };
            AgentSnapshot::new(StatusReply { mobile_node: Some(node), ..Default::default() })
        };
        assert_eq!(Check::reachable(&node("at home")).why_not, None);
        assert_eq!(Check::reachable(&node("registered")).why_not, None);
        assert_eq!(Check::reachable(&node("discovering")).why_not.as_deref(), Some("discovering"));
    }
}
