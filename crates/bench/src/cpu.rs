//! Who has used the processors: processes with all their threads, families of processes, single threads.
use std::{collections::HashMap, fs};

/// The kernel counts in hundredths of a second, on every Linux.
const TICKS: f64 = 100.0;

/// Processor time in seconds, by whom it is used.
pub type Used = Vec<(String, f64)>;

/// Somebody whose processor time is told apart.
#[derive(Debug, Clone, Copy)]
pub enum Who {
    /// A process and those that it has started, the ended ones included.
    Family(u32),
    /// The threads of a process whose names begin so, and those alone.
    Threads(u32, &'static str),
    /// A thread of this process.
    Thread(u32),
    /// This process without these threads.
    Ourselves,
}

/// What each has used since it began.
pub fn used(whom: &[(String, Who)]) -> Used {
    let children = children();
    let threads: f64 = whom
        .iter()
        .filter_map(|(_, who)| if let Who::Thread(id) = who { Some(thread(*id)) } else { None })
        .sum();
    let seconds = |who: Who| match who {
        Who::Family(pid) => family(pid, &children),
        Who::Threads(pid, name) => named(pid, name),
        Who::Thread(id) => thread(id),
        Who::Ourselves => times("/proc/self/stat").map_or(0.0, |times| times.own) - threads,
    };
    whom.iter().map(|(name, who)| (name.clone(), seconds(*who))).collect()
}

/// Kibibytes of memory that a process has in use.
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

struct Times {
    parent: u32,
    own: f64,
    /// Of children that have ended and were waited for.
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

/// proc(5): the name in parentheses may hold anything; state, parent and so on stand behind it.
fn times(path: &str) -> Option<Times> {
    let text = fs::read_to_string(path).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some(Times {
        parent: fields.get(1)?.parse().ok()?,
        own: (ticks(11)? + ticks(12)?) / TICKS,
        of_ended: (ticks(13)? + ticks(14)?) / TICKS,
    })
}
