//! Man pages out of the command line itself, so that they never say something else.

use std::{env, ffi::OsStr, io, path::Path, process::ExitCode};

use clap::{Command, CommandFactory};

/// Writes the pages of a program and of its subcommands into a folder: `NAME.1` and `NAME-SUBCOMMAND.1`.
///
/// # Errors
/// What the disk says; a folder that is missing is not made.
pub fn write(command: Command, folder: &Path) -> io::Result<()> {
    clap_mangen::generate_to(command, folder)
}

/// For a daemon without subcommands: with the two arguments `man DIR` it writes its page there, and this is the exit
/// code to end with. Packages ask for it; nobody who runs a daemon needs it.
#[must_use]
pub fn asked<C: CommandFactory>() -> Option<ExitCode> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [word, folder] = &arguments[..] else { return None };
    if word.as_os_str() != OsStr::new("man") {
        return None;
    }
    Some(match write(C::command(), Path::new(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::say(&format!("{}: {error}", Path::new(folder).display()));
            ExitCode::FAILURE
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_program_and_its_subcommands_have_pages() {
        let folder = tempfile::tempdir().unwrap();
        let command = Command::new("tool").about("Does things.").subcommands([
            Command::new("walk").about("Walks.").subcommand(Command::new("far").about("Walks far.")),
            Command::new("secret").hide(true),
        ]);
        write(command, folder.path()).unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["tool-walk-far.1", "tool-walk.1", "tool.1"]);
        let page = fs::read_to_string(folder.path().join("tool-walk-far.1")).unwrap();
        assert!(page.contains("Walks far.") && page.starts_with(".ie"), "{page}");
    }

    #[test]
    fn a_missing_folder_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        assert!(write(Command::new("tool"), &missing).is_err());
        assert!(!missing.exists());
    }
}
