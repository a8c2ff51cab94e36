//! `testbed demo` and `testbed run`: a network for one walk.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    binaries::Binaries,
    directory::Directory,
    interrupt,
    network::Network,
    picture, privilege,
    report::{Report, topology},
    scenario::Scenario,
    terminal,
    timeline::Timeline,
    walk,
};

/// Where results go.
#[derive(Debug, Args)]
pub(crate) struct Results {
    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write one capture file per link into this directory
    #[arg(long, value_name = "DIR")]
    pcap: Option<PathBuf>,
    /// Keep configurations, databases and logs
    #[arg(long)]
    keep: bool,
}

/// Builds the network, walks, reports. Success means that nothing was lost that should not be.
pub(crate) fn run(scenario: Scenario, results: &Results) -> Result<ExitCode> {
    if let Some(path) = &results.report {
        // A report that cannot be written is better known before the walk than after it.
        File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let binaries = Binaries::find()?;
    let base = Directory::base();
    privilege::become_root()?;
    privilege::come_first();
    let directory = Directory::fresh(&base)?;
    let cleaning = if results.keep { None } else { Some(directory.path().to_owned()) };
    interrupt::guard(cleaning)?;
    let outcome = walk_once(scenario, directory.clone(), binaries, results.pcap.as_deref());
    let good = matches!(&outcome, Ok(report) if report.faults.is_empty());
    if let Ok(report) = &outcome {
        terminal::text(&picture::draw(report));
        if let Some(path) = &results.report {
            report.write(path)?;
            terminal::line(&format!("  report     {}", path.display()));
        }
    }
    if good && !results.keep {
        directory.remove()?;
    } else {
        terminal::line(&format!("  logs       {}/nodes", directory.path().display()));
    }
    outcome.map(|_| if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Draws a report that a run wrote.
pub(crate) fn report(file: &Path, output: Option<&Path>) -> Result<ExitCode> {
    let picture = Report::read(file)?.draw();
    match output {
        Some(path) => {
            fs::write(path, picture).with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => terminal::text(&picture),
    }
    Ok(ExitCode::SUCCESS)
}

fn walk_once(
    scenario: Scenario,
    directory: Directory,
    binaries: Binaries,
    pcap: Option<&Path>,
) -> Result<Report> {
    let planned = scenario.longest();
    let timeline = Timeline::start()?;
    timeline.note(format!("{}\n", scenario.title));
    let network = Network::up(scenario, directory, binaries, pcap, &|text| {
        timeline.note(format!("  {text}"));
    })?;
    timeline.note(format!("\n{}", picture::network(&topology(&network)?)));
    timeline.note(format!("The walk takes {} s.\n", planned.max(Duration::from_secs(1)).as_secs()));
    let walk = walk::walk(&network, &timeline);
    timeline.finish();
    let walk = walk?;
    network.end();
    let (captures, missing) = network.switch.end_record()?;
    Report::new(&network, &walk, &captures, missing)
}
