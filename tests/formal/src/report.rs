//! The report of the tool: JSON of one model.

use std::fmt;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

/// What the tool says of one query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// As the tool writes it.
    pub query: String,
    /// No attack was found, and the search was not cut short.
    pub holds: bool,
    /// The attack in the tool's words, a step a line; empty where there is none.
    pub attack: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.query, if self.attack.is_empty() { "" } else { "\n" }, self.attack)
    }
}

// Fields that this page does not name may come and go with versions of the tool; these may not.
#[derive(Deserialize)]
struct Run {
    models: Vec<ModelReport>,
}

#[derive(Deserialize)]
struct ModelReport {
    ok: bool,
    error: Option<String>,
    analysis: Option<Analysis>,
}

#[derive(Deserialize)]
struct Analysis {
    sessions: u8,
    queries: Vec<QueryReport>,
}

#[derive(Deserialize)]
struct QueryReport {
    query: String,
    resolved: bool,
    envelope: Envelope,
    conclusion: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Envelope {
    exhausted: bool,
    summary: String,
}

#[derive(Deserialize)]
struct Step {
    text: String,
}

/// The verdicts of a report about one model, in the order of its queries.
///
/// # Errors
/// If the report has another shape, is about another number of models, sessions or no query, says that the model is
/// faulty, or reports a search that found nothing but was cut short.
pub fn verdicts(json: &str, sessions: u8) -> anyhow::Result<Vec<Verdict>> {
    let run: Run = serde_json::from_str(json).context("the tool's report is not understood")?;
    let [model] = <[ModelReport; 1]>::try_from(run.models).ok().context("not a report about one model")?;
    if let Some(error) = model.error {
        anyhow::bail!("the tool refuses the model: {error}");
    }
    let analysis = model.analysis.filter(|_| model.ok).context("neither an analysis nor an error")?;
    ensure!(analysis.sessions == sessions, "{} sessions were looked at, not {sessions}", analysis.sessions);
    ensure!(!analysis.queries.is_empty(), "no query was answered");
    analysis.queries.into_iter().map(verdict).collect()
}

fn verdict(report: QueryReport) -> anyhow::Result<Verdict> {
    let QueryReport { query, resolved, envelope, conclusion, steps } = report;
    ensure!(resolved || envelope.exhausted, "{query}: {}", envelope.summary);
    let mut attack: Vec<String> = steps.into_iter().map(|step| format!("    {}", step.text)).collect();
    if resolved {
        attack.push(format!("    {conclusion}"));
    }
    Ok(Verdict { query, holds: !resolved, attack: attack.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"version":"1.4.2","ok":true,"models":[{"file":"a.vp","ok":true,"analysis":{
        "sessions":2,"queries":[
        {"query":"confidentiality? a","resolved":false,"conclusion":"","steps":[],
         "envelope":{"sessions":2,"truncations":[],"exhausted":true,"summary":"search exhausted"}},
        {"query":"confidentiality? b","resolved":true,"conclusion":"b is obtained.","steps":[{"kind":"leak","text":"b leaks."}],
         "envelope":{"sessions":2,"truncations":[],"exhausted":true,"summary":"search exhausted"}}]}}]}"#;

    #[test]
    fn a_report_gives_a_verdict_a_query() {
        let verdicts = verdicts(REPORT, 2).expect("well formed");
        let told: Vec<(&str, bool)> = verdicts.iter().map(|it| (it.query.as_str(), it.holds)).collect();
        assert_eq!(told, [("confidentiality? a", true), ("confidentiality? b", false)]);
        assert_eq!(verdicts[1].attack, "    b leaks.\n    b is obtained.");
    }

    #[test]
    fn what_is_not_understood_is_no_pass() {
        assert!(verdicts(REPORT, 1).is_err(), "another number of sessions");
        for (is, becomes) in [
            ("\"resolved\":false", "\"verdict\":false"),
            ("\"resolved\":false", "\"resolved\":\"no\""),
            ("\"exhausted\":true", "\"exhausted\":false"),
            ("\"queries\":[", "\"queries\":[],\"others\":["),
            ("\"ok\":true,\"analysis\"", "\"ok\":false,\"analysis\""),
            ("\"analysis\"", "\"error\":\"no\",\"analysis\""),
            ("\"analysis\"", "\"analyses\""),
            ("\"models\":[", "\"models\":[],\"others\":["),
            ("\"version\"", "version"),
        ] {
            let changed = REPORT.replace(is, becomes);
            assert_ne!(changed, REPORT, "{is}");
            assert!(verdicts(&changed, 2).is_err(), "{becomes}");
        }
        assert!(verdicts("", 2).is_err());
    }
}
