//! Processor time and memory of processes, from /proc.
use std::fmt;
use std::time::Duration;

/// The unit of processor time in /proc: 1/100 s (proc(5)).
const TICK: Duration = Duration::from_millis(10);

/// The usage of one or more processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time since their start.
    pub processor: Duration,
    /// The peak memory of any of them.
    pub memory_kib: u64,
}

impl Usage {
    /// The usage of a running process; zero for one that is gone.
    pub fn of(pid: u32) -> Self {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        Self { processor: processor(&read("stat")), memory_kib: memory(&read("status")) }
    }

    pub fn and(self, other: Self) -> Self {
        Self {
            processor: self.processor + other.processor,
            memory_kib: self.memory_kib.max(other.memory_kib),
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, mib) = (self.processor.as_secs_f64(), self.memory_kib / 1024);
        write!(f, "{seconds:.2} s of processor time, {mib} MiB at most")
    }
}

/// Fields 14 and 15; field 2 may contain anything in parentheses.
fn processor(stat: &str) -> Duration {
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u32 = fields.skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    TICK * ticks
}

fn memory(status: &str) -> u64 {
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    most.and_then(|most| most.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_proc_files() {
        assert_eq!(
            processor("7 (a) b) S 1 7 7 0 -1 4194560 900 0 0 0 120 30 0 0 20"),
            Duration::from_millis(1500)
        );
        assert_eq!(memory("Name:\tdeed\nVmHWM:\t   40960 kB\n"), 40960);
        let own = Usage::of(std::process::id());
        assert!(own.memory_kib > 0);
    }
}
