//! Where a key stands in a TOML file, and which key stands at an offset.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A place in a text for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// From 1.
    pub(super) line: usize,
    /// In characters, from 1.
    pub(super) column: usize,
}

impl Position {
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1 }
    }
}

/// A file that is valid TOML, with the spans of its keys and values.
pub(super) struct Document<'a> {
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

impl<'a> Document<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, toml::de::Error> {
        Ok(Self { text, root: DeTable::parse(text)? })
    }

    pub(super) fn position(&self, offset: usize) -> Position {
        Position::of(self.text, offset)
    }

    /// Where `key` stands; where its table begins if it stands nowhere, as a default does.
    pub(super) fn position_of(&self, key: &str) -> Position {
        let mut offset = 0;
        let mut value = None;
        for segment in key.split(['.', '[']) {
            let next = match segment.strip_suffix(']') {
                Some(number) => element(value, number).map(|element| (element.span(), element)),
                None => entry(self.root.get_ref(), value, segment),
            };
            let Some((span, found)) = next else { break };
            offset = span.start;
            value = Some(found);
        }
        self.position(offset)
    }

    /// Every key whose value is no table and no list of tables, in the order of the file.
    pub(super) fn leaves(&self) -> Vec<String> {
        let mut keys: Vec<(usize, String)> = Vec::new();
        walk(self.root.get_ref(), "", &mut |key, span| {
            // What holds another key is none: its own comes first.
            let holds = |one: &str, other: &str| {
                other.strip_prefix(one).is_some_and(|rest| rest.starts_with(['.', '[']))
            };
            keys.retain(|(_, known)| known != key && !holds(known, key));
            keys.push((span.start, key.to_owned()));
        });
        keys.sort();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// The key whose name or value begins `span`, the innermost one; empty if the whole file is meant.
    pub(super) fn key_at(&self, span: &Range<usize>) -> String {
        let mut best = (usize::MAX, String::new());
        if *span == self.root.span() {
            return best.1;
        }
        walk(self.root.get_ref(), "", &mut |key, candidate| {
            if candidate.contains(&span.start) && candidate.len() < best.0 {
                best = (candidate.len(), key.to_owned());
            }
        });
        best.1
    }
}

type Found<'d, 'a> = (Range<usize>, &'d Spanned<DeValue<'a>>);

fn entry<'d, 'a>(
    root: &'d DeTable<'a>,
    value: Option<&'d Spanned<DeValue<'a>>>,
    name: &str,
) -> Option<Found<'d, 'a>> {
    let table = match value {
        None => root,
        Some(value) => value.get_ref().as_table()?,
    };
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    Some((key.span(), value))
}

fn element<'d, 'a>(
    value: Option<&'d Spanned<DeValue<'a>>>,
    number: &str,
) -> Option<&'d Spanned<DeValue<'a>>> {
    value?.get_ref().as_array()?.get(number.parse::<usize>().ok()?)
}

fn walk(table: &DeTable<'_>, prefix: &str, visit: &mut dyn FnMut(&str, Range<usize>)) {
    for (key, value) in table {
        let name = key.get_ref();
        let path = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
        visit(&path, key.span());
        walk_value(value, &path, visit);
    }
}

fn walk_value(value: &Spanned<DeValue<'_>>, path: &str, visit: &mut dyn FnMut(&str, Range<usize>)) {
    visit(path, value.span());
    match value.get_ref() {
        DeValue::Table(table) => walk(table, path, visit),
        DeValue::Array(array) => {
            for (n, element) in array.iter().enumerate() {
                walk_value(element, &format!("{path}[{n}]"), visit);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a = 1\n[b]\nc = [1, { d = 2 }]\n[[e]]\nf = 1\n[[e]]\nf = 2\n";

    #[test]
    fn keys_are_found() {
        let document = Document::parse(TEXT).unwrap();
        let at = |key| {
            let position = document.position_of(key);
            (position.line, position.column)
        };
        assert_eq!(at("a"), (1, 1));
        assert_eq!(at("b.c"), (3, 1));
        assert_eq!(at("b.c[1].d"), (3, 11));
        assert_eq!(at("e[0].f"), (5, 1));
        assert_eq!(at("e[1].f"), (7, 1));
    }

    #[test]
    fn a_key_that_is_absent_is_where_its_table_is() {
        let document = Document::parse(TEXT).unwrap();
        assert_eq!(document.position_of("b.nothing").line, 2);
        assert_eq!(document.position_of("e[1].nothing").line, 6);
        assert_eq!(document.position_of("nothing").line, 1);
    }

    #[test]
    fn offsets_name_the_innermost_key() {
        let document = Document::parse(TEXT).unwrap();
        let at = |offset| document.key_at(&(offset..offset + 1));
        assert_eq!(at(0), "a");
        assert_eq!(at(TEXT.find("2 }").unwrap()), "b.c[1].d");
        assert_eq!(at(TEXT.rfind('2').unwrap()), "e[1].f");
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(Position::of("# \u{e9}\u{e9}x", 6), Position { line: 1, column: 5 });
        assert_eq!(Position::of("a\nb", 2), Position { line: 2, column: 1 });
    }
}
