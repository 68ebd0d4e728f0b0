//! A PostgreSQL server of one test: Debian's program, a directory of its own, a Unix socket.
//!
//! The server runs as `postgres`, because it refuses root, and dies with the thread that
//! started it, so nothing is left behind by a test that is killed. What `initdb` makes is kept
//! beside the tests' programs and copied, which is ten times as fast as making it.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a harness fails by panicking")]

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

/// How long any step of a server may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// The user that Debian made for it.
const USER: &str = "postgres";

/// What the log says when clients are let in.
const READY: &str = "database system is ready to accept";

/// Settings of every server here. What a test kills are processes, which lose nothing that was
/// written, so there is no need to wait for the disk.
const SETTINGS: [&str; 6] = [
    "listen_addresses=",
    "fsync=off",
    "shared_buffers=16MB",
    "wal_keep_size=256MB",
    "max_wal_senders=4",
    "logging_collector=off",
];

/// Who may come from other hosts.
const HOSTS: &[u8] = b"host all all all trust\n";

/// A server, running or not.
#[derive(Debug)]
pub struct Server {
    directory: TempDir,
    settings: Vec<String>,
    process: Option<Child>,
    /// Where it listens besides its Unix socket.
    address: Option<Ipv4Addr>,
}

/// What a server shows and proves to have the key of, as PEM.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    /// With what led to it.
    pub chain: &'a str,
    pub key: &'a str,
}

/// Who is let in from the loopback address: the user of the tests, and others with a password.
const ON_LOOPBACK: &str = "local all all trust\nKIND all postgres 127.0.0.0/8 trust\n\
                     KIND all all 127.0.0.0/8 scram-sha-256\n";

impl Server {
    /// A new, empty server that takes connections.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// The same, with further settings.
    pub fn with(settings: &[&str]) -> Self {
        let mut server = Self::stopped(settings);
        let copied = Command::new("cp").arg("-a").arg(template()).arg(server.data()).status();
        assert!(copied.unwrap().success(), "the template is copied");
        server.run();
        server
    }

    /// A new, empty server that listens at a loopback address of its own, too: to encrypted
    /// connections alone if it has a certificate, else to plain ones.
    pub fn on_loopback(certificate: Option<Certificate<'_>>) -> Self {
        let mut server = Self::stopped(&[]);
        let copied = Command::new("cp").arg("-a").arg(template()).arg(server.data()).status();
        assert!(copied.unwrap().success(), "the template is copied");
        let address = loopback();
        let folder = server.directory.path().to_owned();
        let kind = if certificate.is_some() { "hostssl" } else { "host" };
        let hosts = folder.join("hosts");
        fs::write(&hosts, ON_LOOPBACK.replace("KIND", kind)).unwrap();
        server.settings.push(format!("listen_addresses={address}"));
        server.settings.push(format!("hba_file={}", hosts.display()));
        if let Some(Certificate { chain, key }) = certificate {
            let files = [("ssl_cert_file", chain), ("ssl_key_file", key)];
            server.settings.push("ssl=on".to_owned());
            for (setting, content) in files {
                let file = folder.join(setting);
                fs::write(&file, content).unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
                server.settings.push(format!("{setting}={}", file.display()));
            }
        }
        own(&folder);
        server.address = Some(address);
        server.run();
        server
    }

    /// Where it listens besides its Unix socket.
    pub fn loopback(&self) -> Ipv4Addr {
        self.address.expect("it was started with `on_loopback`")
    }

    /// A standby that has all that `primary` has and follows it.
    pub fn standby(primary: &Self, settings: &[&str]) -> Self {
        let mut server = Self::stopped(settings);
        let from = format!("{} application_name=standby", primary.words());
        let copied = as_postgres("pg_basebackup")
            .args([
                "--wal-method=stream",
                "--checkpoint=fast",
                "--write-recovery-conf",
                "--no-sync",
            ])
            .args(["--dbname", &from])
            .arg("--pgdata")
            .arg(server.data())
            .status();
        assert!(copied.unwrap().success(), "the primary is copied");
        server.run();
        server
    }

    fn stopped(settings: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        give(directory.path());
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        Self { directory, settings, process: None, address: None }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Starts it. A server that was killed may leave children that are still ending, and the
    /// next one refuses to start beside them: then it is started again.
    pub fn run(&mut self) {
        assert!(self.process.is_none(), "one process at a time");
        let deadline = Instant::now() + DEADLINE;
        loop {
            let mut process = self.spawn();
            let log = process.stderr.take().unwrap();
            if wait_until_ready(log) {
                self.process = Some(process);
                return;
            }
            process.wait().unwrap();
            assert!(Instant::now() < deadline, "the server does not start");
        }
    }

    fn spawn(&self) -> Child {
        let mut command = as_postgres("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.directory.path());
        let all = SETTINGS.into_iter().chain(self.settings.iter().map(String::as_str));
        command.args(all.flat_map(|setting| ["-c", setting]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Ends it without a word to anybody.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Stops its main process and whatever else it consists of, or lets all go on.
    pub fn signal_all(&self, signal: Signal) {
        let main = self.process.as_ref().expect("it runs").id();
        let children = format!("/proc/{main}/task/{main}/children");
        let children = fs::read_to_string(children).unwrap();
        let children = children.split_whitespace().map(|child| child.parse::<i32>().unwrap());
        for process in std::iter::once(i32::try_from(main).unwrap()).chain(children) {
            // A child may have ended by itself.
            let _gone = kill_process(Pid::from_raw(process).unwrap(), signal);
        }
    }

    /// Makes a standby a primary.
    pub fn promote(&self) {
        let promoted = as_postgres("pg_ctl").arg("promote").arg("-D").arg(self.data()).output();
        assert!(promoted.unwrap().status.success(), "the standby is promoted");
    }

    /// Runs statements beside all managers.
    pub fn sql(&self, statements: &str) {
        self.ask(statements);
    }

    /// The same; what they give, without any decoration.
    pub fn ask(&self, statements: &str) -> String {
        let words = self.words();
        let psql = ["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"];
        let psql = as_postgres("psql")
            .args(psql)
            .args(["--set", "ON_ERROR_STOP=1"])
            .args(["--dbname", &words, "--command", statements])
            .output();
        let done = psql.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// Where its database is, as a URL.
    pub fn address(&self) -> String {
        address(&[self])
    }

    /// The same for PostgreSQL's own programs.
    pub fn words(&self) -> String {
        format!("host={} user={USER} dbname=postgres", self.directory.path().display())
    }
}

/// The same of one database on several servers, of which one takes writes.
pub fn address(servers: &[&Server]) -> String {
    let host = |server: &&Server| {
        server.directory.path().to_str().expect("a temporary name is text").replace('/', "%2F")
    };
    let hosts: Vec<String> = servers.iter().map(host).collect();
    format!("postgres://{USER}@{}/postgres", hosts.join(","))
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(process) = &mut self.process else { return };
        let pid = Pid::from_child(process);
        // At once, with its children; and if they were stopped, they must go on to end.
        for signal in [Signal::QUIT, Signal::CONT] {
            let _gone = kill_process(pid, signal);
        }
        let _ended = process.wait();
    }
}

/// Reads the log to the line that says so; whether it came. What follows is read and dropped.
fn wait_until_ready(log: impl std::io::Read + Send + 'static) -> bool {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if line.contains(READY) {
                let _nobody_waits = sender.send(());
            }
        }
    });
    match receiver.recv_timeout(DEADLINE) {
        Ok(()) => true,
        // It has ended.
        Err(mpsc::RecvTimeoutError::Disconnected) => false,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the server is not ready in time"),
    }
}

/// The newest server that is installed.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let versions = versions.map(|version| version.unwrap().path());
    let newest = versions.max_by_key(|version| {
        version.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok())
    });
    newest.expect("PostgreSQL is installed").join("bin").join(name)
}

/// A program of PostgreSQL that ends with the thread that starts it.
fn as_postgres(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.current_dir("/").args(["--pdeathsig", "QUIT"]);
    if geteuid().is_root() {
        command.args(["--reuid", USER, "--regid", USER, "--init-groups"]);
    }
    command.arg("--").arg(program(name));
    command
}

/// An address that no other server of these tests has: the whole of 127/8 is this machine, so
/// nobody has to find a free port and lose it again.
fn loopback() -> Ipv4Addr {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    // A process number has 22 bits, which leaves two for the servers of one process.
    let numbered = std::process::id() << 2 | STARTED.fetch_add(1, Ordering::Relaxed) & 3;
    let [_, one, two, three] = numbered.to_be_bytes();
    Ipv4Addr::new(127, one, two, three)
}

/// Makes a directory the server's.
fn give(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    own(directory);
}

/// Makes the server the owner of everything in a directory.
fn own(directory: &Path) {
    if geteuid().is_root() {
        let given = Command::new("chown").arg("-R").arg(USER).arg(directory).status();
        assert!(given.unwrap().success(), "the directory is given to {USER}");
    }
}

/// What `initdb` makes, made once for all tests.
fn template() -> PathBuf {
    // The folder of the build for such things, from one of its programs.
    let program_here = std::env::current_exe().unwrap();
    let is_build = |folder: &&Path| {
        ["debug", "release"].iter().any(|profile| program_here.starts_with(folder.join(profile)))
    };
    let kept = program_here.ancestors().find(is_build).expect("cargo built it").join("tmp");
    fs::create_dir_all(&kept).unwrap();
    let version = program("initdb");
    let version = version.ancestors().nth(2).and_then(Path::file_name).unwrap().to_str().unwrap();
    let template = kept.join(format!("postgres-{version}-open"));
    let alone = File::create(kept.join("postgres.lock")).unwrap();
    alone.lock().unwrap();
    if !template.exists() {
        // The server's user may not be let into the folder of the build.
        let made = tempfile::tempdir_in("/tmp").unwrap();
        give(made.path());
        let data = made.path().join("data");
        let made = as_postgres("initdb")
            .args(["--no-sync", "--auth=trust", "--no-locale", "--encoding=UTF8"])
            .args(["--username", USER, "--pgdata"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // Whoever reaches an address that it was told to listen at is a test.
        let mut hosts = OpenOptions::new().append(true).open(data.join("pg_hba.conf")).unwrap();
        hosts.write_all(HOSTS).unwrap();
        let half = kept.join("postgres-half");
        let _nothing_there = fs::remove_dir_all(&half);
        let copied = Command::new("cp").arg("-a").arg(&data).arg(&half).status();
        assert!(copied.unwrap().success(), "the template is kept");
        fs::rename(&half, &template).unwrap();
    }
    template
}
