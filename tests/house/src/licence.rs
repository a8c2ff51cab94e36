//! Licence expressions as crates declare them (SPDX): names joined by `AND` and `OR`, with parentheses; the
//! older `/` means `OR`.

use std::collections::BTreeSet;

/// True if the terms of `expression` can be met with licences from `allowed` alone.
///
/// `None` if the expression is malformed.
#[must_use]
pub fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let verdict = any(&mut rest, allowed)?;
    rest.is_empty().then_some(verdict)
}

/// `OR` binds weaker than `AND`.
fn any(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    let mut verdict = all(rest, allowed)?;
    while let ["OR", after @ ..] = *rest {
        *rest = after;
        verdict |= all(rest, allowed)?;
    }
    Some(verdict)
}

fn all(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    let mut verdict = one(rest, allowed)?;
    while let ["AND", after @ ..] = *rest {
        *rest = after;
        verdict &= one(rest, allowed)?;
    }
    Some(verdict)
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    match **rest {
        ["(", ref inside @ ..] => {
            *rest = inside;
            let verdict = any(rest, allowed)?;
            let [")", after @ ..] = *rest else { return None };
            *rest = after;
            Some(verdict)
        }
        [name, "WITH", exception, ref after @ ..] => {
            *rest = after;
            Some(allowed.contains(&format!("{name} WITH {exception}")))
        }
        [name, ref after @ ..] if ![")", "AND", "OR", "WITH"].contains(&name) => {
            *rest = after;
            Some(allowed.contains(name))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let allowed: BTreeSet<String> =
            ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "ISC"].map(str::to_owned).into();
        for (expression, verdict) in [
            ("MIT", Some(true)),
            ("GPL-3.0", Some(false)),
            ("GPL-3.0 OR MIT", Some(true)),
            ("GPL-3.0/MIT", Some(true)),
            ("GPL-3.0 AND MIT", Some(false)),
            ("MIT OR GPL-3.0 AND GPL-2.0", Some(true)),
            ("(MIT OR GPL-3.0) AND ISC", Some(true)),
            ("(MIT OR GPL-3.0) AND BSD-4-Clause", Some(false)),
            ("ISC AND (Apache-2.0 OR ISC) AND (MIT OR MIT-0)", Some(true)),
            ("Apache-2.0 WITH LLVM-exception", Some(true)),
            ("MIT WITH something", Some(false)),
            ("", None),
            ("MIT AND", None),
            ("(MIT", None),
            ("MIT ISC", None),
        ] {
            assert_eq!(satisfied(expression, &allowed), verdict, "{expression}");
        }
    }
}
