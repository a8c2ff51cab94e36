//! Runs worlds by their seeds and prints what happened in them.

use std::{io::Write as _, process::ExitCode};

const HELP: &str = "\
Runs simulated worlds: real machines, virtual time, faults and an attacker.

  sim --seed N          run the world of seed N and print its trace
  sim --from N --to M   run the worlds of seeds N to M-1, print the broken ones
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::stdout().lock();
    let number = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let broken = match (number("--seed"), number("--from"), number("--to")) {
        (Some(seed), _, _) => one(seed, &mut out),
        (None, Some(from), Some(to)) => (from..to).filter(|seed| silent(*seed, &mut out)).count() > 0,
        _ => {
            let _ = out.write_all(HELP.as_bytes());
            return ExitCode::from(2);
        }
    };
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn one(seed: u64, out: &mut impl std::io::Write) -> bool {
    let _ = writeln!(out, "seed {seed}: {:#?}", sim::Plan::draw(seed));
    let outcome = sim::run(seed, true);
    for line in &outcome.trace {
        let _ = writeln!(out, "{line}");
    }
    let _ = match &outcome.violation {
        Some(words) => writeln!(out, "seed {seed} is broken {words}"),
        None => writeln!(out, "seed {seed}: all promises held, {} registrations", outcome.registrations),
    };
    outcome.violation.is_some()
}

fn silent(seed: u64, out: &mut impl std::io::Write) -> bool {
    let violation = sim::run(seed, false).violation;
    if let Some(words) = &violation {
        let _ = writeln!(out, "seed {seed} is broken {words}");
    }
    violation.is_some()
}
