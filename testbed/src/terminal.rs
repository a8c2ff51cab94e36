//! Lines on standard output. Writing fails silently when nobody reads any more: the run goes on.

use std::io::{self, Write};

/// Writes one line.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Writes text that ends its own lines.
pub(crate) fn text(text: &str) {
    let mut out = io::stdout().lock();
    let _ = write!(out, "{text}");
    let _ = out.flush();
}

/// Writes one line to standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
