//! Turns what the TOML and serde libraries say into what a person can act on, without repeating the value.

/// A fault of the TOML syntax.
pub(super) fn syntax(message: &str) -> String {
    if message.starts_with("duplicate key") {
        "this key stands here twice".to_owned()
    } else {
        format!("this is not valid TOML: {message}")
    }
}

/// A fault of a key or value.
pub(super) fn value(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        unknown_key(rest)
    } else if let Some(rest) = message.strip_prefix("unknown variant ") {
        let (found, allowed) = name_and_allowed(rest);
        format!("\"{found}\" is not allowed: {}", one_of(&allowed))
    } else if message.starts_with("invalid type: ") || message.starts_with("invalid value: ") {
        invalid(message)
    } else if message.contains("IPv4 address") {
        "expected an IPv4 address, as in \"10.11.1.2\"".to_owned()
    } else if message.contains("socket address") {
        "expected an address with a port, as in \"10.11.1.3:7443\"".to_owned()
    } else {
        message.to_owned()
    }
}

/// The name of the key whose absence `message` tells.
pub(super) fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field ").map(|name| name.trim_matches('`'))
}

fn unknown_key(rest: &str) -> String {
    let (found, allowed) = name_and_allowed(rest);
    if allowed.is_empty() {
        return "this key is not known here".to_owned();
    }
    let hint = allowed
        .iter()
        .map(|name| (distance(&found, name), name))
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map_or(String::new(), |(_, name)| format!("did you mean {name}? "));
    let separator = if hint.is_empty() { "allowed" } else { "Allowed" };
    format!("this key is not known here: {hint}{separator} are: {}", allowed.join(", "))
}

/// From "`x`, expected one of `a`, `b`": x and [a, b].
fn name_and_allowed(rest: &str) -> (String, Vec<String>) {
    let mut names = rest.split('`').skip(1).step_by(2).map(str::to_owned);
    let found = names.next().unwrap_or_default();
    (found, names.collect())
}

fn one_of(names: &[String]) -> String {
    match names.split_last() {
        None => "nothing is".to_owned(),
        Some((last, [])) => format!("only {last}"),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// "invalid type: string "x", expected u16", said without the x.
fn invalid(message: &str) -> String {
    let (_, found) = message.split_once(": ").unwrap_or_default();
    // The value may itself contain the word: what serde expects stands last.
    let expected = found.rsplit_once(", expected ").map_or("something else", |(_, expected)| expected);
    format!("expected {}, found {}", expected_words(expected), found_words(found))
}

fn found_words(found: &str) -> &str {
    let kinds = [
        ("string", "text"),
        ("integer", "a whole number"),
        ("floating point", "a number with a fraction"),
        ("boolean", "true or false"),
        ("map", "a table"),
        ("sequence", "a list"),
        ("datetime", "a date"),
    ];
    kinds.iter().find(|(kind, _)| found.starts_with(kind)).map_or("something else", |(_, words)| words)
}

fn expected_words(expected: &str) -> String {
    let words = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number of at least 0",
        "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "str" => "text in quotes",
        "path string" => "a path in quotes",
        "IPv4 address" => "an IPv4 address in quotes, as in \"10.11.1.2\"",
        "a sequence" => "a list in brackets",
        other => other.strip_prefix("struct ").map_or(other, |_| "a table"),
    };
    words.to_owned()
}

/// Single-character edits between two names.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_repeated() {
        let secret = "000102, expected nothing";
        for kind in ["string \"{}\"", "integer `{}`"] {
            let text = format!("invalid type: {}, expected u16", kind.replace("{}", secret));
            assert!(!value(&text).contains("000102"), "{}", value(&text));
        }
    }

    #[test]
    fn the_nearest_name_is_proposed_only_if_near() {
        assert!(value("unknown field `spy`, expected one of `spi`, `key`").contains("did you mean spi?"));
        let far = value("unknown field `lifetime`, expected one of `spi`, `key`");
        assert_eq!(far, "this key is not known here: allowed are: spi, key");
        assert_eq!(value("unknown field `x`, there are no fields"), "this key is not known here");
    }

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
