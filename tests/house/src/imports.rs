//! What a Rust file names of the standard library, well enough to catch a slip; clippy catches the rest.

/// The code without comments and without the content of string literals.
#[must_use]
pub fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = match next {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => string_length(rest),
            // A character literal may hold a quotation mark; a lifetime has no second quote so near.
            '\'' if rest.starts_with("'\"'") => 3,
            '\'' if rest.starts_with("'\\\"'") => 4,
            _ => 0,
        };
        if skipped == 0 {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    code
}

/// Length of the string literal that `text` begins with.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Every path that begins with `std`, `core` or `alloc`, imports in braces written out.
#[must_use]
pub fn standard_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for crate_name in ["std", "core", "alloc"] {
        let start = format!("{crate_name}::");
        for (at, _) in code.match_indices(&start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|it| it.is_alphanumeric() || it == '_' || it == ':') {
                continue;
            }
            expand(crate_name, code[at + start.len()..].trim_start(), &mut paths);
        }
    }
    paths
}

/// Adds `prefix::…` for the path or braced group that `rest` begins with, and returns what follows it.
fn expand<'a>(prefix: &str, rest: &'a str, paths: &mut Vec<String>) -> &'a str {
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            inside = inside.trim_start();
            if let Some(after) = inside.strip_prefix('}') {
                return after;
            }
            let after = expand(prefix, inside, paths).trim_start();
            inside = after.strip_prefix(',').unwrap_or(after);
            if inside.len() == after.len() && !inside.starts_with('}') {
                return inside;
            }
        }
    }
    let end = rest.find(|it: char| !(it.is_alphanumeric() || it == '_' || it == '*')).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    let path = format!("{prefix}::{name}");
    if let Some(deeper) = after.strip_prefix("::") {
        return expand(&path, deeper.trim_start(), paths);
    }
    paths.push(path);
    // "as other" renames what was named already.
    let trimmed = after.trim_start();
    match trimmed.strip_prefix("as ") {
        None => after,
        Some(renamed) => {
            renamed.trim_start().trim_start_matches(|it: char| it.is_alphanumeric() || it == '_')
        }
    }
}

/// True if `word` stands in `code` as a word of its own.
#[must_use]
pub fn has_word(code: &str, word: &str) -> bool {
    let part = |it: char| it.is_alphanumeric() || it == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_no_code() {
        let text = "a // std::fs\n/* std::env */ \"std::net \\\" x\" b '\"' c \"d\"";
        let code = code(text);
        assert!(standard_paths(&code).is_empty(), "{code}");
        for word in ["a", "b", "c"] {
            assert!(has_word(&code, word), "{code}");
        }
        assert!(!has_word(&code, "d"), "{code}");
    }

    #[test]
    fn grouped_imports_are_written_out() {
        let code = "use std::{\n    fs::{self, File},\n    io as stream,\n    net::*,\n    time::Duration,\n};\nfn f() { std::env::args(); }";
        assert_eq!(
            standard_paths(code),
            [
                "std::fs::self",
                "std::fs::File",
                "std::io",
                "std::net::*",
                "std::time::Duration",
                "std::env::args"
            ]
        );
    }

    #[test]
    fn other_names_are_left_alone() {
        assert!(standard_paths("use my_std::fs; use a::std::fs; nostd::x").is_empty());
        assert!(!has_word("forbid(unsafe_code)", "unsafe"));
        assert!(has_word("unsafe { }", "unsafe"));
    }
}
