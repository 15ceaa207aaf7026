//! Private PostgreSQL servers, and fresh databases on them or on a shared one.
use std::os::unix::process::CommandExt as _;
use std::{
    env, fs,
    net::Ipv4Addr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak, mpsc},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::free_port;

const INSTALL: &str = "apt-get install --yes postgresql";
/// The URL of a shared server, which tests use instead of starting one each.
const SHARED_URL: &str = "DEED_TEST_POSTGRES_URL";
/// The user that runs the server when the tests run as root, which PostgreSQL refuses.
const USER: &str = "postgres";
/// The oldest supported version.
const OLDEST_VERSION: u32 = 14;
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// The server that this process shares while it is in use.
static SHARED_SERVER: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

/// A server. A private one is stopped on drop, and with the process in any case.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
}

#[derive(Debug)]
enum Server {
    Private(Box<Private>),
    /// An external server, by its URL.
    Shared(String),
}

#[derive(Debug)]
struct Private {
    folder: PathBuf,
    port: u16,
    durable: bool,
    running: Mutex<Option<ServerProcess>>,
    _temporary: Option<TempDir>,
}

/// The server process. Its parent-death signal is bound to the thread that started it, so that thread lives
/// as long as the server.
#[derive(Debug)]
struct ServerProcess {
    child: Child,
    _keeper: mpsc::Sender<()>,
}

/// An empty database of its own. It is not dropped, because dropping takes longer than leaving it.
#[derive(Debug, Clone)]
pub struct Database {
    url: String,
}

impl Postgres {
    /// Starts a server without durability, which is the fastest.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start; the message contains its log.
    pub fn start() -> Self {
        Self::private(false)
    }

    /// Starts a server with full durability, for measurements and drills.
    ///
    /// # Panics
    /// As [`start`](Self::start) does.
    pub fn start_durable() -> Self {
        Self::private(true)
    }

    /// Starts a server with its data in an empty or new folder, on a given port. The folder is kept.
    ///
    /// # Panics
    /// As [`start`](Self::start) does.
    pub fn start_in(folder: &Path, port: u16) -> Self {
        fs::create_dir_all(folder).expect("the folder is made");
        let private = Private::new(folder.to_owned(), port, false, None);
        private.init_database();
        private.launch().unwrap_or_else(|log| panic!("postgres does not come up:\n{log}"));
        Self { server: Server::Private(Box::new(private)) }
    }

    /// Starts a durable server on data that was restored into `data` of a folder, on a free port. The folder
    /// is kept.
    ///
    /// # Panics
    /// As [`start`](Self::start) does.
    pub fn start_restored(folder: &Path) -> Self {
        let private = Private::new(folder.to_owned(), free_port(&[Ipv4Addr::LOCALHOST]), true, None);
        private.chown_to_server_user();
        private.launch().unwrap_or_else(|log| panic!("postgres does not come up:\n{log}"));
        Self { server: Server::Private(Box::new(private)) }
    }

    /// The shared server: that of `DEED_TEST_POSTGRES_URL`, or one for this process.
    ///
    /// # Panics
    /// As [`start`](Self::start) does.
    pub fn shared() -> Arc<Self> {
        if let Ok(url) = env::var(SHARED_URL) {
            return Arc::new(Self { server: Server::Shared(url) });
        }
        let mut ours = SHARED_SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = ours.upgrade() {
            return running;
        }
        let started = Arc::new(Self::start());
        *ours = Arc::downgrade(&started);
        started
    }

    fn private(durable: bool) -> Self {
        let mut log = String::new();
        // Another process may take the port first.
        for _ in 0..5 {
            let folder = TempDir::with_prefix("deed-postgres-").expect("a temporary folder");
            let (path, port) = (folder.path().to_owned(), free_port(&[Ipv4Addr::LOCALHOST]));
            let private = Private::new(path, port, durable, Some(folder));
            private.init_database();
            match private.launch() {
                Ok(()) => return Self { server: Server::Private(Box::new(private)) },
                Err(stderr) => log = stderr,
            }
            if !log.contains("Address already in use") {
                break;
            }
        }
        panic!("postgres does not come up:\n{log}");
    }

    /// The URL of the maintenance database.
    pub fn url(&self) -> String {
        match &self.server {
            Server::Private(private) => private.url(),
            Server::Shared(url) => url.clone(),
        }
    }

    /// A fresh database.
    ///
    /// # Panics
    /// When the server cannot create it.
    pub async fn database(&self) -> Database {
        let id = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel gives an id");
        let name = format!("deed_{}", id.trim().replace('-', ""));
        let server = Database { url: self.url() };
        server.sql(&format!("CREATE DATABASE {name}")).await;
        Database { url: with_database(&server.url, &name) }
    }

    /// Stops the server in immediate mode, like a crash: connections break, and the next start recovers.
    ///
    /// # Panics
    /// When the server is shared, or does not stop.
    pub fn stop_immediate(&self) {
        self.private_server().stop("immediate");
    }

    /// Restarts the server with the same data and port.
    ///
    /// # Panics
    /// When the server is shared, or does not start.
    pub fn restart(&self) {
        let private = self.private_server();
        private.stop("fast");
        private.launch().unwrap_or_else(|log| panic!("postgres does not come up again:\n{log}"));
    }

    /// The process id of the postmaster.
    ///
    /// # Panics
    /// When the server is shared, or does not run.
    pub fn pid(&self) -> u32 {
        let running = self.private_server().running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().expect("the server runs").child.id()
    }

    /// The port on 127.0.0.1.
    ///
    /// # Panics
    /// When the server is shared.
    pub fn port(&self) -> u16 {
        self.private_server().port
    }

    /// The folder of data, log and socket.
    ///
    /// # Panics
    /// When the server is shared.
    pub fn folder(&self) -> &Path {
        &self.private_server().folder
    }

    fn private_server(&self) -> &Private {
        match &self.server {
            Server::Private(private) => private,
            Server::Shared(_) => panic!("the server is shared: start one that is your own"),
        }
    }
}

impl Database {
    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs SQL with psql; returns one line per row with `|` between columns.
    ///
    /// # Panics
    /// When the SQL fails; the message has the error.
    pub async fn sql(&self, sql: &str) -> String {
        let mut psql = clean_command(&program("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"])
            .args(["--dbname", &self.url, "--command", sql])
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || psql.output()).await;
        let output = output.expect("psql is waited for").expect("psql runs");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

impl Private {
    fn new(folder: PathBuf, port: u16, durable: bool, temporary: Option<TempDir>) -> Self {
        Self { folder, port, durable, running: Mutex::new(None), _temporary: temporary }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("postgres.log")
    }

    fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/postgres", self.port)
    }

    /// Changes the owner of the folder to the user of the server.
    fn chown_to_server_user(&self) {
        if is_root() {
            let (user, group) = user();
            let mut chown = clean_command(Path::new("chown"));
            chown.args(["--recursive", &format!("{user}:{group}")]).arg(&self.folder);
            assert_success("chown", &chown.output().expect("chown runs"));
        }
    }

    fn init_database(&self) {
        self.chown_to_server_user();
        let mut initdb = as_user(&program("initdb"));
        initdb.arg("--pgdata").arg(self.data()).args([
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--no-instructions",
        ]);
        if !self.durable {
            initdb.arg("--no-sync");
        }
        assert_success("initdb", &initdb.output().expect("initdb runs"));
    }

    /// Starts the server and waits until it accepts connections; the error is its log.
    fn launch(&self) -> Result<(), String> {
        let log = fs::File::create(self.log()).expect("a log file");
        let mut postgres = as_user(&program("postgres"));
        postgres
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .args(settings(&self.folder, self.durable))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log);
        let mut running = spawn_with_keeper(postgres);
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let ended = running.child.try_wait().expect("the child can be asked").is_some();
            if ended || Instant::now() > deadline {
                let _ = running.child.kill();
                let _ = running.child.wait();
                return Err(fs::read_to_string(self.log()).unwrap_or_default());
            }
            if self.takes_connections(running.child.id()) {
                break;
            }
            thread::park_timeout(Duration::from_millis(10));
        }
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        Ok(())
    }

    /// Reads the lock file: the process id is in line 1, the state in line 8.
    fn takes_connections(&self, pid: u32) -> bool {
        let lock = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let lines: Vec<_> = lock.lines().map(str::trim).collect();
        lines.first() == Some(&pid.to_string().as_str()) && lines.get(7) == Some(&"ready")
    }

    fn stop(&self, mode: &str) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut running) = running else { return };
        let mut control = as_user(&program("pg_ctl"));
        control.arg("stop").arg("--pgdata").arg(self.data()).args([
            "--mode",
            mode,
            "--silent",
            "--timeout=60",
        ]);
        let stopped = control.output().expect("pg_ctl runs");
        if !stopped.status.success() {
            let _ = running.child.kill();
        }
        let _ = running.child.wait();
        assert_success("pg_ctl stop", &stopped);
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if self.running.get_mut().unwrap_or_else(PoisonError::into_inner).is_some() && !thread::panicking() {
            self.stop("immediate");
        } else if let Some(mut running) =
            self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take()
        {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

fn settings(folder: &Path, durable: bool) -> Vec<String> {
    let mut settings = vec![
        format!("unix_socket_directories={}", folder.display()),
        "listen_addresses=127.0.0.1".to_owned(),
        "max_connections=300".to_owned(),
        "shared_buffers=128MB".to_owned(),
        "log_min_messages=warning".to_owned(),
    ];
    if durable {
        settings.push("max_wal_size=4GB".to_owned());
    } else {
        settings.extend(["fsync=off", "full_page_writes=off"].map(str::to_owned));
    }
    settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]).collect()
}

/// Spawns a process from a thread that lives until the returned value is dropped.
fn spawn_with_keeper(mut command: Command) -> ServerProcess {
    let (keeper, kept) = mpsc::channel::<()>();
    let (started, start) = mpsc::channel();
    thread::spawn(move || {
        // A process group of its own, so that Ctrl-C reaches only the command that uses the server.
        let _ = started.send(command.process_group(0).spawn());
        // Returns when the sender is dropped; nothing is ever sent.
        let _ = kept.recv();
    });
    let child = start.recv().expect("the thread answers").expect("postgres starts");
    ServerProcess { child, _keeper: keeper }
}

fn assert_success(what: &str, output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {stderr}{}", String::from_utf8_lossy(&output.stdout));
}

/// A command without environment variables that libpq reads.
fn clean_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    command.env_clear().env("PATH", path).env("LC_ALL", "C");
    command
}

/// A command that runs as the user of the server and gets SIGQUIT when its parent dies, at which the server
/// stops all its processes and frees shared memory.
fn as_user(program: &Path) -> Command {
    let mut command = clean_command(Path::new("setpriv"));
    command.args(["--pdeathsig", "QUIT"]).current_dir("/");
    if is_root() {
        let (user, group) = user();
        command.args([format!("--reuid={user}"), format!("--regid={group}"), "--init-groups".to_owned()]);
    }
    command.arg("--").arg(program);
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The ids of the user and its group.
fn user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("the list of users");
    let user = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = user.into_iter().find(|fields| fields.first() == Some(&USER));
    let user = user.unwrap_or_else(|| panic!("there is no user {USER}; `{INSTALL}` makes it"));
    let number =
        |field: usize| user.get(field).and_then(|id| id.parse().ok()).expect("a number in /etc/passwd");
    (number(2), number(3))
}

/// A program of the newest PostgreSQL in the folders of Debian, or in the search path.
fn program(name: &str) -> PathBuf {
    let folders = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<u32>().ok());
    let mut versions: Vec<u32> = versions.filter(|version| *version >= OLDEST_VERSION).collect();
    versions.sort_unstable();
    let debian = versions.into_iter().rev().map(|v| PathBuf::from(format!("/usr/lib/postgresql/{v}/bin")));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut candidates = debian.chain(env::split_paths(&path)).map(|folder| folder.join(name));
    candidates
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("{name} of PostgreSQL is not installed; `{INSTALL}` installs it"))
}

/// The URL with another database.
fn with_database(url: &str, name: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let authority = address.find("://").map_or(0, |at| at + 3);
    let server = address[authority..].find('/').map_or(address, |at| &address[..authority + at]);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{server}/{name}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_database_in_url() {
        for (url, expected) in [
            ("postgres://u:p@h:5432/postgres", "postgres://u:p@h:5432/x"),
            ("postgres://h", "postgres://h/x"),
            ("postgres://h/a?sslmode=disable", "postgres://h/x?sslmode=disable"),
        ] {
            assert_eq!(with_database(url, "x"), expected);
        }
    }

    #[tokio::test]
    async fn databases_survive_a_crash() {
        let postgres = Postgres::start();
        let (one, two) = (postgres.database().await, postgres.database().await);
        one.sql("CREATE TABLE lines (line text)").await;
        one.sql("INSERT INTO lines VALUES ('a line')").await;
        assert_eq!(two.sql("SELECT to_regclass('lines') IS NULL").await, "t");
        let pid = postgres.pid();
        postgres.stop_immediate();
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        postgres.restart();
        assert_eq!(one.sql("SELECT line FROM lines").await, "a line");
    }

    #[test]
    fn server_stops_on_drop() {
        let postgres = Postgres::start();
        let (pid, folder) = (postgres.pid(), postgres.folder().to_owned());
        drop(postgres);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        assert!(!folder.exists());
    }
}
