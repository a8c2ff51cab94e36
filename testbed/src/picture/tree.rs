//! The network as a tree: from each home link over routers and agents to the links behind them.

use std::collections::BTreeSet;

use crate::{network::Role, report::Topology};

/// Draws links and nodes; a link that no home link leads to begins a tree of its own.
pub(crate) fn draw(topology: &Topology) -> String {
    let mut tree = Tree { topology, seen: BTreeSet::new(), out: String::new() };
    let home_first = |kind: &str| if kind == "home" { 0 } else { 1 };
    let mut links: Vec<_> = topology.links.iter().collect();
    links.sort_by_key(|link| home_first(&link.kind));
    for link in links {
        if tree.seen.insert(&link.name) {
            tree.link(&link.name, "  ", "  ");
        }
    }
    tree.out
}

struct Tree<'a> {
    topology: &'a Topology,
    /// Links and nodes that stand somewhere already.
    seen: BTreeSet<&'a str>,
    out: String,
}

impl<'a> Tree<'a> {
    /// A link with its hosts on the line, and below it the nodes that lead on.
    fn link(&mut self, name: &'a str, first: &str, rest: &str) {
        let topology = self.topology;
        let on_link: Vec<_> = topology
            .nodes
            .iter()
            .filter(|node| node.interfaces.iter().any(|interface| interface.link == name))
            .filter(|node| self.seen.insert(&node.name))
            .collect();
        let (ways, hosts): (Vec<_>, Vec<_>) = on_link.into_iter().partition(|node| node.interfaces.len() > 1);
        let prefix = topology.links.iter().find(|link| link.name == name).map_or("", |link| &link.prefix);
        let hosts: Vec<String> = hosts
            .iter()
            .map(|node| match node.interfaces.first().and_then(|interface| interface.address.as_deref()) {
                Some(address) => format!("{} {address}", node.name),
                None if node.role == Role::MobileNode.word() => format!("[{}]", node.name),
                None => node.name.clone(),
            })
            .collect();
        self.out += format!("{first}{name:<10} {prefix:<16} {}", hosts.join("   ")).trim_end();
        self.out.push('\n');
        for (number, node) in ways.iter().enumerate() {
            let last = number + 1 == ways.len();
            self.node(node, name, &format!("{rest}{}", branch(last)), &format!("{rest}{}", trunk(last)));
        }
    }

    /// A router or agent, and below it the links that it leads to.
    fn node(&mut self, node: &'a crate::report::Node, from: &str, first: &str, rest: &str) {
        let address = node
            .interfaces
            .iter()
            .find(|interface| interface.link == from)
            .and_then(|interface| interface.address.as_deref())
            .unwrap_or_default();
        self.out += &format!("{first}{} {address}   {}\n", node.name, node.role.replace('-', " "));
        let onward: Vec<&'a str> = node
            .interfaces
            .iter()
            .map(|interface| interface.link.as_str())
            .filter(|link| self.seen.insert(link))
            .collect();
        for (number, link) in onward.iter().enumerate() {
            let last = number + 1 == onward.len();
            self.link(link, &format!("{rest}{}", branch(last)), &format!("{rest}{}", trunk(last)));
        }
    }
}

fn branch(last: bool) -> &'static str {
    if last { "└─ " } else { "├─ " }
}

fn trunk(last: bool) -> &'static str {
    if last { "   " } else { "│  " }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Interface, Link, Node};

    #[test]
    fn every_link_and_node_stands_in_the_tree_once() {
        let link = |name: &str, kind: &str| Link {
            name: name.into(),
            kind: kind.into(),
            prefix: "10.0.0.0/24".into(),
        };
        let node = |name: &str, role: &str, links: &[&str]| Node {
            name: name.into(),
            role: role.into(),
            interfaces: links
                .iter()
                .map(|link| Interface {
                    name: "eth0".into(),
                    link: (*link).into(),
                    address: Some("10.0.0.1".into()),
                    link_address: String::new(),
                })
                .collect(),
        };
        let topology = Topology {
            scenario: String::new(),
            links: vec![
                link("core", "core"),
                link("home", "home"),
                link("guest", "visited"),
                link("alone", "core"),
            ],
            nodes: vec![
                node("router", "router", &["home", "core"]),
                node("agent", "foreign-agent", &["core", "guest"]),
                node("ha", "home-agent", &["home"]),
            ],
        };
        let drawn = draw(&topology);
        let wanted = "  home       10.0.0.0/24      ha 10.0.0.1
  └─ router 10.0.0.1   router
     └─ core       10.0.0.0/24
        └─ agent 10.0.0.1   foreign agent
           └─ guest      10.0.0.0/24
  alone      10.0.0.0/24
";
        assert_eq!(drawn, wanted);
    }
}
