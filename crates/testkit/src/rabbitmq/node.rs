//! The broker process, its epmd, and a watchdog that kills both when the test process dies.
use std::os::unix::process::CommandExt as _;
use std::{
    fs::{self, File},
    io::Write,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::TIMEOUT;
use crate::free_port;

const INSTALL: &str = "apt-get install --yes --no-install-recommends rabbitmq-server";
const USER: &str = "guest";

/// The watchdog: reads process ids from standard input; at its end, which is the death of the test process,
/// kills them and removes the folder. It ignores the Ctrl-C that ends the tests.
const WATCHDOG: &str = r#"trap '' INT TERM HUP; pids=; while read -r line; do pids=$line; done
[ -n "$pids" ] && kill -KILL $pids; sleep 0.2; rm -rf "$1""#;

/// Before a kill, flushes the tables that map quorum queues to their logs. RabbitMQ 3.10 writes them half a
/// second late; a queue killed earlier would be restarted empty and without a leader (rabbitmq-server issues
/// 10070 and 15725), which these tests are not about.
const SYNC_TABLES: &str = "[dets:sync(T) || T <- dets:all()].";

/// A node: broker and epmd, with ports and files of their own.
#[derive(Debug)]
pub(super) struct Node {
    folder: TempDir,
    ports: Ports,
    broker: Option<Child>,
    mapper: Child,
    watchdog: Option<(Child, ChildStdin)>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    amqp: u16,
    management: u16,
    mapper: u16,
    distribution: u16,
}

fn program(name: &str) -> PathBuf {
    // Not the wrapper of Debian in /usr/sbin, which switches to the user rabbitmq.
    ["/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is not installed; `{INSTALL}` installs it"))
}

impl Node {
    pub fn start() -> Self {
        let folder = TempDir::with_prefix("deed-rabbitmq-").expect("a temporary folder");
        let port = || free_port(&[Ipv4Addr::LOCALHOST]);
        let ports = Ports { amqp: port(), management: port(), mapper: port(), distribution: port() };
        for (name, text) in [
            ("rabbitmq.conf", config(ports)),
            ("enabled_plugins", "[rabbitmq_management].\n".to_owned()),
            ("env.conf", String::new()),
        ] {
            fs::write(folder.path().join(name), text).expect("a file of the broker is written");
        }
        fs::create_dir(folder.path().join("home")).expect("a folder is made");
        let mapper = Command::new("epmd")
            .args(["-port", &ports.mapper.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|_| panic!("epmd is not installed; `{INSTALL}` installs it"));
        let mut node = Self { watchdog: Some(watchdog(folder.path())), folder, ports, broker: None, mapper };
        node.start_again();
        node
    }

    pub fn amqp_url(&self) -> String {
        format!("amqp://{USER}:{USER}@127.0.0.1:{}", self.ports.amqp)
    }

    pub fn management_url(&self) -> String {
        format!("http://{USER}:{USER}@127.0.0.1:{}", self.ports.management)
    }

    pub fn pid(&self) -> u32 {
        self.broker.as_ref().expect("the broker runs").id()
    }

    fn name(&self) -> String {
        format!("deed-test-{}@localhost", self.ports.amqp)
    }

    /// A command with an environment that confines it to this node.
    fn command(&self, program: &Path) -> Command {
        let at = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(program);
        command
            .env("HOME", at("home"))
            .env("ERL_EPMD_PORT", self.ports.mapper.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", self.name())
            .env("RABBITMQ_CONF_ENV_FILE", at("env.conf"))
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", at("config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", at("data"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("RABBITMQ_CTL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null());
        command
    }

    pub fn start_again(&mut self) {
        assert!(self.broker.is_none(), "the broker runs already");
        let log = File::options().create(true).append(true).open(self.log()).expect("a log file");
        // With "input allowed" the script execs the broker instead of staying its parent.
        let broker = self
            .command(&program("rabbitmq-server"))
            .env("RABBITMQ_ALLOW_INPUT", "true")
            .env("RABBITMQ_SERVER_START_ARGS", "-noinput")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+S 2:2 +SDio 2 +A 4 -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
            )
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("the broker's script starts");
        self.broker = Some(broker);
        self.update_watchdog();
        self.wait_until_ready();
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("broker.log")
    }

    fn update_watchdog(&mut self) {
        let broker = self.broker.as_ref().map(|child| child.id().to_string()).unwrap_or_default();
        let line = format!("{} {broker}\n", self.mapper.id());
        if let Some((_, pids)) = &mut self.watchdog {
            pids.write_all(line.as_bytes()).expect("the warden listens");
        }
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + TIMEOUT * 2;
        loop {
            let ended =
                self.broker.as_mut().is_none_or(|child| child.try_wait().is_ok_and(|end| end.is_some()));
            if ended || Instant::now() > deadline {
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                panic!("the broker does not come up:\n{log}");
            }
            let listens = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            if listens(self.ports.amqp) && listens(self.ports.management) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    pub fn signal(&self, signal: &str) {
        send_signal(signal, self.pid());
    }

    /// Kills the broker.
    pub fn kill(&mut self) {
        self.control(&["eval", SYNC_TABLES]);
        self.stop("-KILL");
    }

    /// Stops the broker by this signal, and kills it after the timeout.
    pub fn stop(&mut self, signal: &str) {
        let Some(mut broker) = self.broker.take() else { return };
        send_signal("-CONT", broker.id());
        send_signal(signal, broker.id());
        let deadline = Instant::now() + TIMEOUT;
        while broker.try_wait().is_ok_and(|end| end.is_none()) {
            if Instant::now() > deadline {
                let _ = broker.kill();
                let _ = broker.wait();
                break;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        self.update_watchdog();
    }

    /// Runs `rabbitmqctl`.
    pub fn control(&self, words: &[&str]) {
        let output = self
            .command(&program("rabbitmqctl"))
            .args(["--quiet", "--node", &self.name()])
            .args(words)
            .output()
            .expect("rabbitmqctl runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rabbitmqctl {words:?}: {stderr}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop("-KILL");
        let _ = self.mapper.kill();
        let _ = self.mapper.wait();
        // An empty list of ids: closing the input then ends the watchdog without a kill.
        if let Some((mut watchdog, mut pids)) = self.watchdog.take() {
            let _ = pids.write_all(b"\n");
            drop(pids);
            let _ = watchdog.wait();
        }
    }
}

fn send_signal(signal: &str, pid: u32) {
    let status = Command::new("kill").args([signal, &pid.to_string()]).stderr(Stdio::null()).status();
    let _ = status.expect("kill runs");
}

fn watchdog(folder: &Path) -> (Child, ChildStdin) {
    let mut child = Command::new("sh")
        .args(["-c", WATCHDOG, "warden"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("a shell starts");
    let input = child.stdin.take().expect("its input is a pipe");
    (child, input)
}

fn config(ports: Ports) -> String {
    let Ports { amqp, management, .. } = ports;
    format!(
        "listeners.tcp.1 = 127.0.0.1:{amqp}\nnum_acceptors.tcp = 2\nloopback_users = none\n\
         management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\ncollect_statistics_interval = 1000\n\
         disk_free_limit.absolute = 1MB\nlog.console = true\nlog.console.level = warning\nlog.file = false\n"
    )
}

#[cfg(test)]
impl Node {
    pub fn folder_path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}
