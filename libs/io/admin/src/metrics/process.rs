//! The process itself, under the names that dashboards know.

use std::fs;

use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage},
    time::TimeValLike as _,
};

use super::Page;

/// What the operating system knows; what it does not tell is 0.
pub(super) fn add(page: &mut Page, program: &str, started: f64) {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let labels = vec![("program", program.to_owned()), ("version", version)];
    page.info("build", "The program and its version", labels);
    page.named("process");
    page.gauge_of_seconds("start_time", "When the process began to serve, since 1970", started);
    let used = getrusage(UsageWho::RUSAGE_SELF)
        .map_or(0, |usage| usage.user_time().num_microseconds() + usage.system_time().num_microseconds());
    #[expect(clippy::cast_precision_loss, reason = "microseconds of years fit")]
    page.counter_of_seconds("cpu", "Processor time used, by it and the kernel for it", used as f64 / 1e6);
    page.gauge_of_bytes("resident_memory", "Memory in use that is not swapped out", resident());
    let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    page.gauge("open_fds", "Open files and sockets", files as u64);
    let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    page.gauge("max_fds", "Most that may be open", most);
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_memory_files_and_time() {
        let text = Page::of_process("test", 1.5).text();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0, "{text}");
        assert!(value("process_open_fds") > 2.0 && value("process_max_fds") > 2.0);
        assert!(value("process_cpu_seconds_total") > 0.0);
        assert!((value("process_start_time_seconds") - 1.5).abs() < 1e-9);
        assert!(text.contains("sojourn_build_info{program=\"test\",version=\""), "{text}");
    }
}
