use std::{path::Path, process::Command};

use anyhow::{Context as _, ensure};

/// The dissector of Wireshark on the command line.
pub struct Tshark(());

/// Options of every run: no name lookups, checksums verified.
const OPTIONS: [&str; 9] = [
    "-n",
    "-o",
    "ip.check_checksum:TRUE",
    "-o",
    "udp.check_checksum:TRUE",
    "-T",
    "fields",
    "-E",
    "separator=/t",
];

impl Tshark {
    /// tshark, installed if need be, or `None` with a loud line on standard error.
    #[must_use]
    pub fn find() -> Option<Self> {
        let works = || Command::new("tshark").arg("--version").output().is_ok_and(|out| out.status.success());
        if !works() {
            super::install("tshark");
        }
        if works() {
            return Some(Self(()));
        }
        super::skipped("tshark");
        None
    }

    /// These fields of every packet that `filter` selects; all occurrences of a field in its packet, in order.
    ///
    /// # Errors
    /// If tshark cannot be started or refuses the file, the filter or a field.
    pub fn fields(
        &self,
        file: &Path,
        filter: &str,
        fields: &[&str],
    ) -> anyhow::Result<Vec<Vec<Vec<String>>>> {
        let mut command = Command::new("tshark");
        command.args(OPTIONS).args(["-E", "aggregator=|"]).arg("-r").arg(file);
        if !filter.is_empty() {
            command.args(["-Y", filter]);
        }
        for field in fields {
            command.args(["-e", field]);
        }
        let out = command.output().context("tshark")?;
        ensure!(out.status.success(), "tshark: {}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).context("output of tshark")?;
        let values = |cell: &str| match cell {
            "" => Vec::new(),
            cell => cell.split('|').map(str::to_owned).collect(),
        };
        Ok(text.lines().map(|line| line.split('\t').map(values).collect()).collect())
    }

    /// How many packets of the file are malformed in the eyes of any dissector.
    ///
    /// # Errors
    /// As [`fields`](Self::fields).
    pub fn malformed(&self, file: &Path) -> anyhow::Result<usize> {
        Ok(self.fields(file, "_ws.malformed", &["frame.number"])?.len())
    }
}
