//! What the same clients see when a worker of nginx or HAProxy is killed.
//!
//! Each with its best settings for this: long timeouts, kept connections to the server, no
//! buffering of uploads. nginx's master starts a new worker; HAProxy's ends when a worker dies
//! and is started again here, as systemd does it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::Origin;
use crate::children::{self, Child};
use crate::gateway::DEADLINE;
use crate::traffic::{Target, Trailers};
use crate::wait;

/// Another proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Nginx,
    Haproxy,
}

/// Where Debian's nginx has its module for plain TCP, if it is installed.
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Between the end of a service and its next start, as systemd does by default.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

impl Peer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Nginx, Self::Haproxy];

    /// For tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
        }
    }

    /// Its program, if it is installed.
    pub fn program(self) -> Option<PathBuf> {
        let path = match self {
            Self::Nginx => "/usr/sbin/nginx",
            Self::Haproxy => "/usr/sbin/haproxy",
        };
        Some(PathBuf::from(path)).filter(|path| path.is_file())
    }

    const fn workers(self) -> usize {
        match self {
            Self::Nginx => 2,
            // One process with two threads: it has no other way any more.
            Self::Haproxy => 1,
        }
    }
}

/// A peer that is running. Ends with its value.
#[derive(Debug)]
pub struct Running {
    peer: Peer,
    dir: TempDir,
    master: Child,
    http: SocketAddr,
    tcp: Option<SocketAddr>,
}

impl Running {
    /// Starts it in front of `origin`.
    pub fn start(peer: Peer, origin: &Origin) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("mainstay-peer-").tempdir()?;
        let free = [
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
        ];
        let (http, tcp) = (free[0].local_addr()?, free[1].local_addr()?);
        drop(free);
        let (text, tcp) = match peer {
            Peer::Nginx => nginx_configuration(dir.path(), origin, http, tcp),
            Peer::Haproxy => (haproxy_configuration(origin, http, tcp), Some(tcp)),
        };
        fs::write(dir.path().join("conf"), text)?;
        let master = spawn(peer, dir.path())?;
        let running = Self { peer, dir, master, http, tcp };
        running.wait_whole()?;
        Ok(running)
    }

    /// Where its traffic goes.
    pub fn target(&self) -> Target {
        let name = self.peer.name().to_owned();
        Target { name, http: self.http, tcp: self.tcp, trailers: Trailers::Dropped }
    }

    /// Kills one worker, and starts the whole again if its master ends of that.
    pub fn kill_worker(&mut self, choice: u64) -> anyhow::Result<()> {
        let workers = children::children_of(self.master.process().pid());
        let place = usize::try_from(choice).unwrap_or(0) % workers.len().max(1);
        let victim = workers.get(place).context("it has no worker")?;
        victim.signal(Signal::KILL)?;
        victim.ends_within(DEADLINE);
        if self.peer == Peer::Haproxy {
            self.master.wait(DEADLINE).context("HAProxy outlived its worker")?;
            std::thread::sleep(RESTART_PAUSE);
            self.master = spawn(self.peer, self.dir.path())?;
        }
        self.wait_whole()
    }

    fn wait_whole(&self) -> anyhow::Result<()> {
        let name = format!("{} to be whole", self.peer.name());
        let is_whole = || {
            let workers = children::children_of(self.master.process().pid());
            workers.len() >= self.peer.workers() && TcpStream::connect(self.http).is_ok()
        };
        let whole = wait::until(&name, DEADLINE, || is_whole().then_some(()));
        let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        whole.with_context(log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let workers = children::children_of(self.master.process().pid());
        self.master.process().signal(Signal::TERM).ok();
        if self.master.wait(Duration::from_secs(2)).is_none() {
            self.master.process().signal(Signal::KILL).ok();
            self.master.wait(Duration::from_secs(2));
        }
        for worker in workers {
            worker.signal(Signal::KILL).ok();
        }
    }
}

fn spawn(peer: Peer, dir: &Path) -> anyhow::Result<Child> {
    let Some(program) = peer.program() else { bail!("{} is not installed", peer.name()) };
    let log = fs::File::options().create(true).append(true).open(dir.join("log"))?;
    let mut command = Command::new(program);
    match peer {
        Peer::Nginx => command.arg("-p").arg(dir).arg("-c").arg(dir.join("conf")),
        Peer::Haproxy => command.args(["-W", "-db", "-f"]).arg(dir.join("conf")),
    };
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(children::spawn(&mut command)?)
}

fn nginx_configuration(
    dir: &Path,
    origin: &Origin,
    http: SocketAddr,
    tcp: SocketAddr,
) -> (String, Option<SocketAddr>) {
    let (dir, http_server, tcp_server) = (dir.display(), origin.http(), origin.tcp());
    let has_stream = Path::new(NGINX_STREAM).is_file();
    let load = if has_stream { format!("load_module {NGINX_STREAM};\n") } else { String::new() };
    let stream = format!(
        "stream {{ server {{ listen {tcp}; proxy_timeout 1h; proxy_pass {tcp_server}; }} }}\n"
    );
    // Its workers must be able to enter the directory, which is ours alone.
    let user = if rustix::process::geteuid().is_root() { "user root root;\n" } else { "" };
    let text = format!(
        "{load}{user}daemon off;\nworker_processes 2;\npid {dir}/pid;\nerror_log {dir}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n\
         access_log off;\n\
         client_body_temp_path {dir}/body;\nproxy_temp_path {dir}/proxy;\n\
         fastcgi_temp_path {dir}/f;\nuwsgi_temp_path {dir}/u;\nscgi_temp_path {dir}/s;\n\
         client_max_body_size 0;\nkeepalive_timeout 1h;\nkeepalive_requests 1000000000;\n\
         proxy_read_timeout 1h;\nproxy_request_buffering off;\nproxy_max_temp_file_size 0;\n\
         map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
         upstream web {{ server {http_server}; keepalive 64; }}\n\
         server {{\nlisten {http};\nlocation / {{\n\
         proxy_pass http://web;\nproxy_http_version 1.1;\nproxy_set_header Host $host;\n\
         proxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection $connection_upgrade;\n}}\n}}\n}}\n{}",
        if has_stream { &stream } else { "" },
    );
    (text, has_stream.then_some(tcp))
}

fn haproxy_configuration(origin: &Origin, http: SocketAddr, tcp: SocketAddr) -> String {
    let (http_server, tcp_server) = (origin.http(), origin.tcp());
    format!(
        "global\n  maxconn 4096\n  nbthread 2\n\
         defaults\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n  \
         timeout tunnel 1h\n  timeout http-keep-alive 1h\n\
         listen web\n  mode http\n  bind {http}\n  http-reuse always\n  server one {http_server}\n\
         listen raw\n  mode tcp\n  bind {tcp}\n  server one {tcp_server}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;
    use crate::luck::Luck;
    use crate::traffic::{Plan, Traffic};

    #[test]
    fn a_peer_serves_again_after_the_death_of_a_worker() -> anyhow::Result<()> {
        let origin = Origin::start()?;
        for peer in Peer::ALL.into_iter().filter(|peer| peer.program().is_some()) {
            let mut running = Running::start(peer, &origin)?;
            for choice in 0..3 {
                let response = Client::connect(running.http)?.get("/small")?;
                assert_eq!(response.head.status, 200, "{}", peer.name());
                running.kill_worker(choice)?;
            }
        }
        Ok(())
    }

    #[test]
    fn traffic_is_content_until_a_worker_is_killed() -> anyhow::Result<()> {
        let plan = Plan {
            transfer_bytes: 1_000_000,
            transfer_time: Duration::from_secs(1),
            idle: 4,
            idle_time: Duration::from_secs(1),
            threads: 1,
        };
        for peer in Peer::ALL.into_iter().filter(|peer| peer.program().is_some()) {
            let origin = Origin::start()?;
            let mut running = Running::start(peer, &origin)?;
            let traffic = Traffic::start(plan, &[running.target()], &Luck::new(1));
            let answered = || traffic.recorder().elapsed() > Duration::from_secs(3);
            wait::until("three seconds of traffic", DEADLINE, || answered().then_some(()))?;
            let before = traffic.recorder().faults();
            // Both, for one may carry nothing.
            running.kill_worker(0)?;
            running.kill_worker(1)?;
            let report = traffic.stop(&origin);
            assert_eq!(before, 0, "{}: {report}", peer.name());
            assert!(!report.is_clean(), "{}: {report}", peer.name());
        }
        Ok(())
    }
}
