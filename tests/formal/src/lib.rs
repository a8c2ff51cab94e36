//! The models in `formal/` and what is expected of them: reading both, running the tool, comparing.
//!
//! Everything that is not understood is a fault, never a pass: a model that does not parse, a query that the
//! expectation does not have or has in another place, a search that was cut short, a report of another shape.

mod expected;
mod report;
mod tool;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

pub use expected::{Expectation, Expected};
pub use report::{Verdict, verdicts};
pub use tool::Verifpal;

/// The folder with the models.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../formal")
}

/// One model and what is expected of it.
#[derive(Debug)]
pub struct Model {
    /// `NAME` of `formal/NAME.vp`.
    pub name: String,
    /// The model itself.
    pub path: PathBuf,
    /// Sessions of every principal: what the line `// sessions: N` of the model says.
    pub sessions: u8,
    /// `None` where every query must pass.
    pub expected: Option<Expected>,
}

impl Model {
    /// Reads `NAME.vp` and, where it is there, `NAME.expected`.
    ///
    /// # Errors
    /// If a file cannot be read, the model does not say how many sessions it wants, or the expectation is faulty.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.file_stem().and_then(|name| name.to_str()).context("a name in UTF-8")?.to_owned();
        let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        let sessions = text.lines().find_map(|line| line.strip_prefix("// sessions: "));
        let sessions =
            sessions.and_then(|number| number.parse().ok()).filter(|number| (1..=4).contains(number));
        let sessions =
            sessions.with_context(|| format!("{name}.vp has no line \"// sessions: N\", N from 1 to 4"))?;
        let beside = path.with_extension("expected");
        let expected = if beside.exists() {
            let text = std::fs::read_to_string(&beside).with_context(|| format!("{}", beside.display()))?;
            Some(Expected::parse(&text).with_context(|| format!("{name}.expected"))?)
        } else {
            None
        };
        Ok(Self { name, path: path.to_owned(), sessions, expected })
    }

    /// Where the verdicts are not those expected; empty if all are.
    #[must_use]
    pub fn differences(&self, verdicts: &[Verdict]) -> Vec<String> {
        match &self.expected {
            Some(expected) => expected.differences(verdicts),
            None => verdicts.iter().filter(|it| !it.holds).map(|it| format!("fails: {it}")).collect(),
        }
    }
}

/// Every model of the folder, by name.
///
/// # Errors
/// If there is none, one cannot be read, or an expectation has no model.
pub fn models() -> anyhow::Result<Vec<Model>> {
    let (mut models, mut expectations) = (Vec::new(), BTreeSet::new());
    for entry in std::fs::read_dir(folder()).context("formal/")? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("vp") => models.push(Model::read(&path)?),
            Some("expected") => {
                expectations.insert(path.with_extension("vp"));
            }
            _ => {}
        }
    }
    ensure!(!models.is_empty(), "no model in {}", folder().display());
    for model in &models {
        expectations.remove(&model.path);
    }
    ensure!(expectations.is_empty(), "expectations without a model: {expectations:?}");
    models.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(models)
}
