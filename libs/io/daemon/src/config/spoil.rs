//! Spoils a right configuration key by key, for the tests of the daemons: each fault has to be told by its line
//! and key.

/// A configuration with one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoiled {
    /// The whole text.
    pub text: String,
    /// Where the fault is, from 1.
    pub line: usize,
    /// The last part of the key that is wrong, as it stands in the text.
    pub key: String,
}

/// Every key of `text` misspelt in turn, tables included, and every value replaced by one of another type.
///
/// `text` has one key a line, as the examples of the daemons have.
#[must_use]
pub fn spoil(text: &str) -> Vec<Spoiled> {
    let lines: Vec<&str> = text.lines().collect();
    let mut spoiled = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        for (key, replacement) in faults(line) {
            let mut with_fault = lines.clone();
            with_fault[n] = &replacement;
            spoiled.push(Spoiled { text: with_fault.join("\n"), line: n + 1, key });
        }
    }
    spoiled
}

/// Key and replacement of each fault that a line can have.
fn faults(line: &str) -> Vec<(String, String)> {
    let code = line.split('#').next().unwrap_or_default().trim();
    if let Some(name) = code.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
        return vec![(format!("{name}_"), format!("[[{name}_]]"))];
    }
    if let Some(name) = code.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return vec![(format!("{name}_"), format!("[{name}_]"))];
    }
    let Some((name, value)) = code.split_once('=') else {
        return Vec::new();
    };
    let (name, value) = (name.trim(), value.trim());
    // No key takes both a list and a table.
    let other = if value.starts_with('[') { "{}" } else { "[]" };
    vec![(format!("{name}_"), format!("{name}_ = {value}")), (name.to_owned(), format!("{name} = {other}"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_and_table_is_spoiled() {
        let spoiled = spoil("# a comment = 1\na = \"x\" # why\n\n[b]\n[[c]]\nd = [1]");
        let brief: Vec<(usize, &str, &str)> = spoiled
            .iter()
            .map(|it| (it.line, it.key.as_str(), it.text.lines().nth(it.line - 1).unwrap()))
            .collect();
        assert_eq!(
            brief,
            [
                (2, "a_", "a_ = \"x\""),
                (2, "a", "a = []"),
                (4, "b_", "[b_]"),
                (5, "c_", "[[c_]]"),
                (6, "d_", "d_ = [1]"),
                (6, "d", "d = {}"),
            ]
        );
    }
}
