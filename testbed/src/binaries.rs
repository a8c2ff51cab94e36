//! The daemons that the testbed starts: those that stand beside it, built first if they are missing.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::terminal;

/// Program and package names.
const PROGRAMS: [(&str, &str); 5] = [
    ("home-agent", "home-agent"),
    ("foreign-agent", "foreign-agent"),
    ("mobile-node", "mobile-node"),
    ("kdc", "kdc"),
    ("sojourn", "ctl"),
];

/// The directory of the programs.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    /// Finds the programs beside the testbed. In a checkout, missing ones are built with the testbed's own
    /// profile, and the build is shown.
    pub(crate) fn find() -> Result<Self> {
        Self::find_some(|_| true)
    }

    /// The same for those alone whose names are `wanted`.
    pub(crate) fn find_some(wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let own = env::current_exe().context("cannot tell where the testbed's own program is")?;
        let directory = own.parent().context("the testbed's program has no directory")?.to_owned();
        let binaries = Self { directory };
        let missing = binaries.missing(&wanted);
        if missing.is_empty() {
            return Ok(binaries);
        }
        build(&own, &missing)?;
        let missing = binaries.missing(&wanted);
        if let Some((program, _)) = missing.first() {
            bail!("the build left no {program} in {}", binaries.directory.display());
        }
        Ok(binaries)
    }

    /// The path of a program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A search path on which the programs come first.
    pub(crate) fn search_path(&self) -> OsString {
        let mut path = self.directory.clone().into_os_string();
        if let Some(old) = env::var_os("PATH") {
            path.push(":");
            path.push(old);
        }
        path
    }

    fn missing(&self, wanted: impl Fn(&str) -> bool) -> Vec<(&'static str, &'static str)> {
        let lacks = |program: &str| wanted(program) && !self.program(program).is_file();
        PROGRAMS.into_iter().filter(|(program, _)| lacks(program)).collect()
    }
}

/// Runs cargo on the missing packages with its output shown.
fn build(own: &Path, missing: &[(&str, &str)]) -> Result<()> {
    let names = missing.iter().map(|(program, _)| *program).collect::<Vec<_>>().join(", ");
    let Some(checkout) = checkout(own) else {
        bail!("{names} not found beside {}, and this is no checkout to build them from", own.display());
    };
    terminal::line(&format!("Building what is not there yet: {names}"));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&checkout).arg("build").args(place(own)?);
    for (_, package) in missing {
        command.args(["-p", package]);
    }
    let status = command.status().context("cannot run cargo to build the daemons")?;
    if !status.success() {
        bail!("cargo could not build {names}");
    }
    Ok(())
}

/// The checkout that the testbed was built in, or stands in.
fn checkout(own: &Path) -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    own.ancestors()
        .skip(1)
        .chain(built)
        .find(|directory| directory.join("home-agent/Cargo.toml").is_file())
        .map(Path::to_owned)
}

/// Cargo's options for the profile and target directory of the testbed's own program.
fn place(own: &Path) -> Result<Vec<OsString>> {
    let directory = own.parent().context("the testbed's program has no directory")?;
    let profile = directory.file_name().unwrap_or_default();
    let profile = if profile == "debug" { "dev".into() } else { profile.to_owned() };
    let target = directory.parent().context("the testbed's program has no target directory")?;
    Ok(vec!["--profile".into(), profile, "--target-dir".into(), target.into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_uses_the_profile_of_the_testbed() {
        let options = |path: &str| {
            let options = place(Path::new(path)).unwrap();
            options.into_iter().map(|option| option.into_string().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(options("/x/target/release/testbed"), "--profile release --target-dir /x/target");
        assert_eq!(options("/x/target/debug/testbed"), "--profile dev --target-dir /x/target");
    }

    #[test]
    fn this_checkout_is_found() {
        let own = env::current_exe().unwrap();
        assert!(checkout(&own).unwrap().join("testbed/Cargo.toml").is_file());
    }
}
