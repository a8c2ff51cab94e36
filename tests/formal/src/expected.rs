//! `NAME.expected`: a line for each query of the model, in its order, where one is expected to fail.

use anyhow::{Context as _, bail, ensure};

use crate::Verdict;

/// What is expected of one query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// As the tool writes it.
    pub query: String,
    /// No attack is found.
    pub holds: bool,
    /// Why an attack is found, and what keeps it off; empty where none is.
    pub reason: String,
}

/// What is expected of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected(Vec<Expectation>);

impl Expected {
    /// Reads lines `pass QUERY` and `fail QUERY # REASON`; empty ones and those that begin with `#` mean nothing.
    ///
    /// # Errors
    /// If a line is neither, a `fail` has no reason, or nothing is expected to fail: then no file should be there.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lines = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            if !line.starts_with('#') {
                lines.push(expectation(line).with_context(|| format!("line {}: {line:?}", number + 1))?);
            }
        }
        ensure!(lines.iter().any(|line| !line.holds), "no query is expected to fail: take the file away");
        Ok(Self(lines))
    }

    /// Where the verdicts are not these; empty if all are.
    #[must_use]
    pub fn differences(&self, verdicts: &[Verdict]) -> Vec<String> {
        let mut different = Vec::new();
        for (expected, verdict) in self.0.iter().zip(verdicts) {
            if expected.query != verdict.query {
                different
                    .push(format!("{:?} expected here, the model asks {:?}", expected.query, verdict.query));
            } else if expected.holds && !verdict.holds {
                different.push(format!("fails: {verdict}"));
            } else if verdict.holds && !expected.holds {
                different.push(format!("passes: {} (expected to fail: {})", verdict.query, expected.reason));
            }
        }
        if self.0.len() != verdicts.len() {
            different.push(format!("{} queries expected, {} asked", self.0.len(), verdicts.len()));
        }
        different
    }
}

fn expectation(line: &str) -> anyhow::Result<Expectation> {
    let (verdict, rest) = line.split_once(' ').context("\"pass QUERY\" or \"fail QUERY # REASON\"")?;
    let (query, reason) = rest.split_once(" # ").unwrap_or((rest, ""));
    let (query, reason) = (query.trim().to_owned(), reason.trim().to_owned());
    ensure!(query.contains('?'), "a query has a question mark");
    let holds = match verdict {
        "pass" => true,
        "fail" => false,
        other => bail!("{other:?} is neither \"pass\" nor \"fail\""),
    };
    ensure!(holds || !reason.is_empty(), "a query that fails needs a reason behind \" # \"");
    Ok(Expectation { query, holds, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(query: &str, holds: bool) -> Verdict {
        Verdict { query: query.to_owned(), holds, attack: "attack".to_owned() }
    }

    fn sample() -> Expected {
        Expected::parse("# why\n\npass confidentiality? a\nfail freshness? b # no clock\n")
            .expect("well written")
    }

    #[test]
    fn the_expected_verdicts_differ_in_nothing() {
        let verdicts = [verdict("confidentiality? a", true), verdict("freshness? b", false)];
        assert_eq!(sample().differences(&verdicts), Vec::<String>::new());
    }

    #[test]
    fn each_other_verdict_is_told() {
        for verdicts in [
            vec![verdict("confidentiality? a", false), verdict("freshness? b", false)],
            vec![verdict("confidentiality? a", true), verdict("freshness? b", true)],
            vec![verdict("confidentiality? b", true), verdict("freshness? b", false)],
            vec![verdict("confidentiality? a", true)],
            vec![
                verdict("confidentiality? a", true),
                verdict("freshness? b", false),
                verdict("freshness? c", true),
            ],
            vec![verdict("freshness? b", false), verdict("confidentiality? a", true)],
            vec![],
        ] {
            assert!(!sample().differences(&verdicts).is_empty(), "{verdicts:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "",
            "# nothing",
            "pass confidentiality? a",
            "fail freshness? b",
            "fail freshness? b # ",
            "fail b # no query",
            "fails freshness? b # no clock",
            "freshness? b",
            "fail",
        ] {
            assert!(Expected::parse(text).is_err(), "{text:?}");
        }
    }
}
