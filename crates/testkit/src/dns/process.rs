//! The process of a name server, with its own folder and log; killed on drop.
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{soa_query::SoaQuery, zone::ZoneText};

/// A running server.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    folder: TempDir,
    what: &'static str,
}

/// Where Debian puts the programs of servers.
const PROGRAM_FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];

/// The path of an installed program.
pub(super) fn program(name: &str, packages: &str) -> PathBuf {
    PROGRAM_FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is not installed; `apt-get install --yes {packages}` installs it"))
}

/// Runs a program to its end and returns its output.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

impl Process {
    pub fn start(what: &'static str, folder: TempDir, command: &mut Command) -> Self {
        let log = fs::File::create(folder.path().join("log")).expect("a log file");
        let child = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{what} does not start: {error}"));
        Self { child, folder, what }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until the server answers for each of these zones; for zones in `broken` any answer will do.
    ///
    /// # Panics
    /// When it exits or does not answer in time; the message contains its log.
    pub fn wait_for(&mut self, at: std::net::SocketAddr, zones: &[ZoneText], broken: &[&str]) {
        let answers = |zone: &ZoneText| {
            let answer = SoaQuery::of(&zone.origin).ask(at);
            answer.is_some_and(|rcode| rcode == 0 || broken.contains(&zone.origin.as_str()))
        };
        let mut left: Vec<&ZoneText> = zones.iter().collect();
        self.wait("an answer for each zone", |_| {
            left.retain(|zone| !answers(zone));
            left.is_empty()
        });
    }

    /// Waits for a condition, which may depend on the log.
    pub fn wait(&mut self, what: &str, mut is_so: impl FnMut(&str) -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let ended = self.child.try_wait().expect("the child can be asked").is_some();
            if !ended && is_so(&log) {
                return;
            }
            assert!(!ended && Instant::now() < deadline, "{} does not give {what}:\n{log}", self.what);
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The child may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
