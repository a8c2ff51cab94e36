//! Every model of `formal/` gives the verdicts expected of it, and nothing else is taken for that.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use formal_tests::{Model, Verifpal, folder, models, verdicts};

/// The longest a model may take. They take seconds to a minute; this is for a machine that is busy with other things.
const LIMIT: Duration = Duration::from_secs(300);

/// What is wrong with a model, one line a fault.
fn faults(tool: &Verifpal, model: &Model) -> Vec<String> {
    let report = tool.report(&model.path, model.sessions, LIMIT);
    match report.and_then(|report| verdicts(&report, model.sessions)) {
        Ok(verdicts) => model.differences(&verdicts),
        Err(error) => vec![format!("{error:#}")],
    }
}

#[test]
fn every_model_gives_the_verdicts_expected_of_it() {
    let models = models().expect("readable models and expectations");
    let Some(tool) = Verifpal::find().expect("the tool") else { return };
    let mut wrong = Vec::new();
    for model in &models {
        let begun = Instant::now();
        let faults = faults(&tool, model);
        let verdict = if faults.is_empty() { "as expected" } else { "WRONG" };
        // Past the capture of the test harness: the lines are what somebody who waits looks at.
        let mut err = std::io::stderr();
        let _ = writeln!(err, "formal/{}.vp: {verdict}, {:.1} s", model.name, begun.elapsed().as_secs_f64());
        wrong.extend(faults.into_iter().map(|fault| format!("{}: {fault}", model.name)));
    }
    assert!(wrong.is_empty(), "models with other verdicts than expected:\n{}", wrong.join("\n"));
}

/// A small model whose first query holds and whose second fails.
const SOUND: &str = "// sessions: 1
attacker[active]
principal A[
	knows private k
	generates m, n
	tag = MAC(k, m)
]
A -> B: m, tag, n
principal B[
	knows private k
	_ = ASSERT(MAC(k, m), tag)?
	_ = HASH(n)
]
queries[
	authentication? A -> B: m
	authentication? A -> B: n
]
";

const EXPECTED: &str =
    "pass authentication? A -> B: m\nfail authentication? A -> B: n # nothing protects it\n";

fn written(folder: &Path, model: &str, expected: Option<&str>) -> Model {
    let path: PathBuf = folder.join("small.vp");
    std::fs::write(&path, model).expect("a file in a folder of ours");
    let beside = path.with_extension("expected");
    match expected {
        Some(expected) => std::fs::write(beside, expected).expect("a file in a folder of ours"),
        None => drop(std::fs::remove_file(beside)),
    }
    Model::read(&path).expect("well written")
}

#[test]
fn a_model_that_is_broken_or_differs_never_passes() {
    let Some(tool) = Verifpal::find().expect("the tool") else { return };
    let folder = tempfile::tempdir().expect("a folder of ours");
    let faults =
        |model: &str, expected: Option<&str>| faults(&tool, &written(folder.path(), model, expected));

    assert_eq!(faults(SOUND, Some(EXPECTED)), Vec::<String>::new());

    let without_check = SOUND.replace(")?", ")");
    let without_queries = SOUND.split("queries").next().expect("the first part").to_owned();
    for (broken, expected, why) in [
        (SOUND, None, "an unexpected failure"),
        (without_check.as_str(), Some(EXPECTED), "a check is gone"),
        (
            &SOUND.replace("A -> B: m, tag, n", "A -> B: m, tag, [n]"),
            Some(EXPECTED),
            "an expected failure is gone",
        ),
        (&SOUND.replace("MAC(k, m)\n", "MAC(k, m\n"), Some(EXPECTED), "a parenthesis is gone"),
        (&SOUND.replace("HASH(n)", "CRUSH(n)"), Some(EXPECTED), "an unknown primitive"),
        (&SOUND.replace("\tauthentication? A -> B: m\n", ""), Some(EXPECTED), "a query is gone"),
        (&without_queries, Some(EXPECTED), "all queries are gone"),
        ("// sessions: 1\n", Some(EXPECTED), "nothing is there"),
    ] {
        assert!(!faults(broken, expected).is_empty(), "{why}");
    }
}

#[test]
fn a_model_that_takes_too_long_is_ended() {
    let Some(tool) = Verifpal::find().expect("the tool") else { return };
    let model = models().expect("readable models").into_iter().next().expect("at least one");
    assert!(tool.report(&model.path, model.sessions, Duration::ZERO).is_err());
}

#[test]
fn the_page_lists_every_model() {
    let page = std::fs::read_to_string(folder().join("README.md")).expect("formal/README.md");
    for model in models().expect("readable models and expectations") {
        assert!(
            page.contains(&format!("`{}.vp`", model.name)),
            "formal/README.md says nothing of {}.vp",
            model.name
        );
    }
}
