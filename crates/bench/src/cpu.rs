//! Processor time of processes, process trees and threads, from /proc.
use std::{collections::HashMap, fs};

/// Ticks per second of processor time in /proc.
const TICKS: f64 = 100.0;

/// Processor time in seconds, by name.
pub type CpuTimes = Vec<(String, f64)>;

/// A process or thread whose processor time is measured.
#[derive(Debug, Clone, Copy)]
pub enum CpuUser {
    /// A process with its descendants, including those that have exited.
    Family(u32),
    /// The threads of a process whose names have this prefix.
    Threads(u32, &'static str),
    /// A thread of this process.
    Thread(u32),
    /// This process without the measured threads.
    OwnProcess,
}

/// The processor time of each since its start.
pub fn used(cpu_users: &[(String, CpuUser)]) -> CpuTimes {
    let children = children();
    let threads: f64 = cpu_users
        .iter()
        .filter_map(|(_, who)| if let CpuUser::Thread(id) = who { Some(thread(*id)) } else { None })
        .sum();
    let seconds = |who: CpuUser| match who {
        CpuUser::Family(pid) => family(pid, &children),
        CpuUser::Threads(pid, name) => named(pid, name),
        CpuUser::Thread(id) => thread(id),
        CpuUser::OwnProcess => times("/proc/self/stat").map_or(0.0, |times| times.own) - threads,
    };
    cpu_users.iter().map(|(name, who)| (name.clone(), seconds(*who))).collect()
}

/// The resident memory of a process in KiB.
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

struct ProcStat {
    parent: u32,
    own: f64,
    /// Of exited children.
    of_ended: f64,
}

fn thread(id: u32) -> f64 {
    times(&format!("/proc/self/task/{id}/stat")).map_or(0.0, |times| times.own)
}

fn named(pid: u32, name: &str) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs").flatten();
    let is_one = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.starts_with(name))
    };
    let own = |task: fs::DirEntry| times(task.path().join("stat").to_str()?).map(|times| times.own);
    tasks.filter(is_one).filter_map(own).sum()
}

fn family(pid: u32, children: &HashMap<u32, Vec<u32>>) -> f64 {
    let own = times(&format!("/proc/{pid}/stat")).map_or(0.0, |times| times.own + times.of_ended);
    own + children.get(&pid).into_iter().flatten().map(|child| family(*child, children)).sum::<f64>()
}

fn children() -> HashMap<u32, Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").expect("there is /proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(times) = times(&format!("/proc/{pid}/stat")) {
            children.entry(times.parent).or_default().push(pid);
        }
    }
    children
}

/// Parses stat (proc(5)): the name in parentheses may contain anything; the other fields follow.
fn times(path: &str) -> Option<ProcStat> {
    let text = fs::read_to_string(path).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some(ProcStat {
        parent: fields.get(1)?.parse().ok()?,
        own: (ticks(11)? + ticks(12)?) / TICKS,
        of_ended: (ticks(13)? + ticks(14)?) / TICKS,
    })
}
