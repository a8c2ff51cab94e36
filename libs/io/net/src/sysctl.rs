//! Kernel parameters under `/proc/sys`, those of the calling thread's network namespace.

use std::{fs, io};

use crate::error::{Attempt, Error};

/// Writes `value` to the parameter at `path`, as in `net/ipv4/conf/eth0/arp_ignore`.
///
/// # Errors
/// The parameter does not exist or may not be written.
pub fn set(path: &str, value: &str) -> Result<(), Error> {
    // The right value may already stand there while writing is forbidden, as in a container.
    if read(path).is_ok_and(|present| present == value) {
        return Ok(());
    }
    fs::write(full(path), value).attempt(|| format!("set kernel parameter {path} to {value}"))
}

/// Like [`set`], but a parameter that this kernel does not have is no error.
///
/// # Errors
/// The parameter exists and may not be written.
pub fn set_if_present(path: &str, value: &str) -> Result<(), Error> {
    match set(path, value) {
        Err(Error::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Reads the parameter at `path`, without the newline.
///
/// # Errors
/// The parameter does not exist or may not be read.
pub fn read(path: &str) -> Result<String, Error> {
    let text = fs::read_to_string(full(path)).attempt(|| format!("read kernel parameter {path}"))?;
    Ok(text.trim_end().to_owned())
}

fn full(path: &str) -> String {
    format!("/proc/sys/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_parameter_is_named_in_the_error() {
        let error = set("net/ipv4/no_such_parameter", "1").unwrap_err();
        assert!(error.to_string().contains("net/ipv4/no_such_parameter"), "{error}");
        assert!(set_if_present("net/ipv4/no_such_parameter", "1").is_ok());
    }

    #[test]
    fn reads_without_the_newline() {
        let value = read("net/ipv4/ip_forward").unwrap();
        assert!(value == "0" || value == "1", "{value:?}");
    }
}
