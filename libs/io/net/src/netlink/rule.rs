//! Rules: which table a packet asks.

use std::net::{IpAddr, Ipv4Addr};

use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteHeader, RouteProtocol},
    rule::{RuleAction, RuleAttribute, RuleMessage},
};

use super::{Existing, Netlink, Owner, unless};
use crate::error::{Attempt, Error};

/// Which packets a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selector {
    /// Those that arrive on an interface.
    Interface(String),
    /// Those from one host that arrive on an interface.
    HostOn(Ipv4Addr, String),
    /// Those sent by sockets with a mark.
    Mark(u32),
}

/// An IPv4 rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Which packets.
    pub selector: Selector,
    /// The table that they ask.
    pub table: u32,
    /// Rules with a lower number are asked first; the main table is asked at 32,766.
    pub priority: u32,
    /// Who made it.
    pub owner: Owner,
}

impl Netlink {
    /// Adds a rule; no error if it is there.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn add_rule(&self, rule: &Rule) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRule(write(rule));
        let result = unless(self.make(message, Existing::Refuse).await, &[libc::EEXIST]);
        result.attempt(|| format!("add a rule for table {}", rule.table))
    }

    /// Deletes a rule; no error if it is gone.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn del_rule(&self, rule: &Rule) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelRule(write(rule));
        let result = unless(self.order(message, 0).await, &[libc::ENOENT]);
        result.attempt(|| format!("delete a rule for table {}", rule.table))
    }

    /// The rules that `owner` made.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn rules(&self, owner: Owner) -> Result<Vec<Rule>, Error> {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet;
        let dump = self.dump(RouteNetlinkMessage::GetRule(message)).await;
        let messages = dump.attempt(|| "list the rules")?;
        let rules = messages.iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewRule(message) => read(message),
            _ => None,
        });
        Ok(rules.filter(|rule| rule.owner == owner).collect())
    }

    /// Makes the rules of `owner` exactly `wanted`: first adds what is missing, then deletes the rest.
    ///
    /// # Errors
    /// The kernel refused one of them.
    pub(crate) async fn settle_rules(&self, owner: Owner, wanted: &[Rule]) -> Result<(), Error> {
        let present = self.rules(owner).await?;
        for rule in wanted.iter().filter(|rule| !present.contains(rule)) {
            self.add_rule(rule).await?;
        }
        for rule in present.iter().filter(|rule| !wanted.contains(rule)) {
            self.del_rule(rule).await?;
        }
        Ok(())
    }
}

fn write(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.action = RuleAction::ToTable;
    let attributes = &mut message.attributes;
    match u8::try_from(rule.table) {
        Ok(table) => message.header.table = table,
        Err(_) => {
            message.header.table = RouteHeader::RT_TABLE_UNSPEC;
            attributes.push(RuleAttribute::Table(rule.table));
        }
    }
    attributes.push(RuleAttribute::Priority(rule.priority));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::from(rule.owner.number())));
    match &rule.selector {
        Selector::Interface(name) => attributes.push(RuleAttribute::Iifname(name.clone())),
        Selector::HostOn(host, name) => {
            message.header.src_len = 32;
            attributes.push(RuleAttribute::Source(IpAddr::V4(*host)));
            attributes.push(RuleAttribute::Iifname(name.clone()));
        }
        Selector::Mark(mark) => attributes.push(RuleAttribute::FwMark(*mark)),
    }
    message
}

/// What a rule message says; none for a rule that none of our selectors describes.
fn read(message: &RuleMessage) -> Option<Rule> {
    let (mut interface, mut host, mut mark) = (None, None, None);
    let (mut table, mut priority, mut owner) = (message.header.table.into(), 0, Owner::Other(0));
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Iifname(name) => interface = Some(name.clone()),
            RuleAttribute::Source(IpAddr::V4(source)) if message.header.src_len == 32 => host = Some(*source),
            RuleAttribute::FwMark(value) => mark = Some(*value),
            RuleAttribute::Table(value) => table = *value,
            RuleAttribute::Priority(value) => priority = *value,
            RuleAttribute::Protocol(protocol) => owner = Owner::from_number((*protocol).into()),
            _ => {}
        }
    }
    let selector = match (interface, host, mark) {
        (Some(name), None, None) => Selector::Interface(name),
        (Some(name), Some(host), None) => Selector::HostOn(host, name),
        (None, None, Some(mark)) => Selector::Mark(mark),
        _ => return None,
    };
    Some(Rule { selector, table, priority, owner })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let selectors = [
            Selector::Interface("eth1".to_owned()),
            Selector::HostOn(Ipv4Addr::new(10, 11, 1, 50), "eth1".to_owned()),
            Selector::Mark(434),
        ];
        for selector in selectors {
            for table in [254, 434] {
                let rule =
                    Rule { selector: selector.clone(), table, priority: 434, owner: Owner::ForeignAgent };
                assert_eq!(read(&write(&rule)), Some(rule));
            }
        }
    }
}
