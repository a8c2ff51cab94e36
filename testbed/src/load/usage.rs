//! What a process has used, from /proc.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};
use serde::Serialize;

/// Of one process.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Usage {
    /// Seconds of processor time, all threads, user and system.
    pub(crate) cpu_s: f64,
    /// Memory in RAM, in octets.
    pub(crate) rss_bytes: u64,
}

impl Usage {
    /// Of a process by number; zeros if it is gone.
    pub(crate) fn of(process: u32) -> Self {
        let read = |what: &str| fs::read_to_string(format!("/proc/{process}/{what}")).unwrap_or_default();
        Self { cpu_s: cpu(&read("stat")), rss_bytes: resident(&read("status")) }
    }

    /// What was used since an earlier time; the memory is that of now.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { cpu_s: (self.cpu_s - before.cpu_s).max(0.0), ..self }
    }
}

/// Fields 14 and 15 of `stat`; the name in field 2 may have spaces.
fn cpu(stat: &str) -> f64 {
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 =
        behind_name.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum();
    let each = sysconf(SysconfVar::CLK_TCK).ok().flatten().filter(|ticks| *ticks > 0).unwrap_or(100);
    ticks / each as f64
}

fn resident(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_spaces_and_brackets_do_not_matter() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        let each = sysconf(SysconfVar::CLK_TCK).unwrap().unwrap() as f64;
        assert!((cpu(stat) - 200.0 / each).abs() < 1e-9);
        assert_eq!(resident("Name:\tx\nVmRSS:\t    12 kB\n"), 12 * 1024);
        assert_eq!((cpu(""), resident("")), (0.0, 0));
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(Usage::of(std::process::id()).rss_bytes > 100_000);
        assert_eq!(Usage::of(u32::MAX).rss_bytes, 0);
    }
}
