//! Security associations for people.

use proto::agent::Association;

use crate::{
    output::{Table, facts},
    time::span,
};

/// As in "aes-256-gcm, hmac-sha-256, stateless by x25519".
pub(super) fn algorithms(of: &Association) -> String {
    format!("{}, {}, {}", of.encryption, of.integrity, way(of))
}

fn way(of: &Association) -> String {
    if of.group.is_empty() { of.mode.clone() } else { format!("{} by {}", of.mode, of.group) }
}

fn left(of: &Association) -> String {
    // An infinite lifetime is a number that no clock reaches.
    if of.lifetime_left_s == u32::MAX { "for ever".to_owned() } else { span(of.lifetime_left_s.into()) }
}

pub(crate) fn list(rows: &[Association]) {
    let mut table = Table::new(&[
        "SPI IN",
        "SPI OUT",
        "KEY",
        "HOME ADDRESS",
        "PEER",
        "ENCRYPTION",
        "INTEGRITY",
        "MODE",
        "AGE",
        "LEFT",
        "STATE",
    ]);
    for row in rows {
        table.row(vec![
            row.inbound_spi.to_string(),
            row.outbound_spi.to_string(),
            row.kind.clone(),
            row.home_address.clone(),
            row.peer_name.clone(),
            row.encryption.clone(),
            row.integrity.clone(),
            way(row),
            span(row.age_s.into()),
            left(row),
            row.state.clone(),
        ]);
    }
    table.print("There are no security associations.");
}

/// Between whom a key is.
fn ends(kind: &str) -> &'static str {
    match kind {
        "KEY 1" => "mobile node and home agent",
        "KEY 2" => "foreign agent and home agent",
        _ => "mobile node and foreign agent",
    }
}

pub(super) fn one(row: &Association) {
    facts(&[
        ("key", format!("{}, of {}", row.kind, ends(&row.kind))),
        ("home address", row.home_address.clone()),
        ("own name", row.own_name.clone()),
        ("peer", row.peer_name.clone()),
        ("receives under", row.inbound_spi.to_string()),
        ("sends under", row.outbound_spi.to_string()),
        ("encryption", row.encryption.clone()),
        ("integrity", row.integrity.clone()),
        ("key made", way(row)),
        ("age", span(row.age_s.into())),
        ("left", left(row)),
        ("state", row.state.clone()),
        ("fingerprint", row.fingerprint.clone()),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_named_where_there_is_one() {
        let mut of = Association {
            encryption: "aes-256-gcm".to_owned(),
            integrity: "hmac-sha-256".to_owned(),
            mode: "stateful".to_owned(),
            ..Association::default()
        };
        assert_eq!(algorithms(&of), "aes-256-gcm, hmac-sha-256, stateful");
        (of.mode, of.group) = ("stateless".to_owned(), "modp-2048".to_owned());
        assert_eq!(algorithms(&of), "aes-256-gcm, hmac-sha-256, stateless by modp-2048");
    }
}
