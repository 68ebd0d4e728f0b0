//! What a new TLS connection costs a manager, beside nginx: the same certificate, the same client
//! (`openssl s_time`), the same processor, in turn.
//!
//! Nothing is asked over the connections, and no session is taken up again: what is measured is the
//! handshake of TLS 1.3 alone, with the accept before and the close behind it.

use std::fmt;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::children::{self, Child};
use crate::exchanges::{cpu_time, pin};
use crate::fleet::{Fleet, Manager};
use crate::gateway::DEADLINE;
use crate::socket::free_addresses;
use crate::torture::{Peer, percentile};
use crate::wait;

/// What a manager's handshake may cost, of what nginx's does.
const SHARE_MAX: f64 = 1.0;

/// Compares what a handshake costs a manager and nginx.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// How long each measurement takes
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,

    /// Rounds, in each of which both have their turn; the medians are shown
    #[arg(long, default_value_t = 5)]
    pub rounds: u32,

    /// Clients at a time
    #[arg(long, default_value_t = 2)]
    pub clients: usize,

    /// The processor of whoever has its turn; clients are on the other ones
    #[arg(long, default_value_t = 1)]
    pub cpu: usize,

    /// The processor of the clients
    #[arg(long, default_value_t = 0)]
    pub client_cpu: usize,
}

/// What one of them did in one round.
#[derive(Clone, Copy, Debug)]
struct Sample {
    a_second: f64,
    cpu: Duration,
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    options: Options,
    /// Of manager and nginx, a pair for each round.
    rounds: Vec<[Sample; 2]>,
}

/// Runs, prints what was seen, and fails if it is not what was promised.
#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
pub fn run(options: &Options) -> anyhow::Result<()> {
    let seen = observe(options)?;
    println!("{seen}");
    let ratio = seen.ratio();
    ensure!(ratio <= SHARE_MAX, "a handshake costs {ratio:.2} of nginx's");
    Ok(())
}

/// Runs; returns what was seen.
pub fn observe(options: &Options) -> anyhow::Result<Seen> {
    let fleet = Fleet::init(&[])?;
    fleet.set_first("threads = 1")?;
    let manager: Manager = fleet.serve()?;
    let nginx = Nginx::start(&fleet)?;
    let servers = [(manager.agents, manager.process().pid()), (nginx.address, nginx.worker()?)];
    for (_, pid) in servers {
        pin(pid, options.cpu)?;
    }
    // What is done once is not counted.
    for (address, _) in servers {
        connect_for(address, 1, options)?;
    }
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        let measure = |place: usize| measure(servers[place], options);
        // By turns, so that neither always comes first.
        let pair = if round.is_multiple_of(2) {
            [measure(0)?, measure(1)?]
        } else {
            let second = measure(1)?;
            [measure(0)?, second]
        };
        rounds.push(pair);
    }
    manager.stop()?;
    Ok(Seen { options: options.clone(), rounds })
}

fn measure((address, pid): (SocketAddr, u32), options: &Options) -> anyhow::Result<Sample> {
    let before = cpu_time(pid)?;
    let count = connect_for(address, options.seconds, options)?;
    let used = cpu_time(pid)? - before;
    ensure!(count > 0, "no connection was made");
    let a_second = f64::from(count) / options.seconds as f64;
    Ok(Sample { a_second, cpu: used / count })
}

/// New connections, one after the other by each client; returns how many.
fn connect_for(address: SocketAddr, seconds: u64, options: &Options) -> anyhow::Result<u32> {
    let dir = tempfile::tempdir()?;
    let mut clients = Vec::new();
    for number in 0..options.clients {
        let said = dir.path().join(number.to_string());
        let output = File::create(&said)?;
        let mut command = Command::new("taskset");
        command.args(["-c", &options.client_cpu.to_string(), "openssl", "s_time", "-new"]);
        command.args(["-tls1_3", "-connect", &address.to_string()]);
        command.args(["-time", &seconds.to_string()]);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        clients.push((children::spawn(&mut command)?, said));
    }
    let mut total = 0;
    for (client, said) in clients {
        let ended = client.wait(Duration::from_secs(seconds) + DEADLINE);
        let said = fs::read_to_string(&said)?;
        ensure!(ended.is_some_and(|ended| ended.exit_status() == Some(0)), "s_time: {said}");
        total += connections(&said).with_context(|| said.clone())?;
    }
    Ok(total)
}

/// From its last but one line: `9876 connections in 6 real seconds, 0 bytes read per connection`.
fn connections(said: &str) -> Option<u32> {
    let line = said.lines().find(|line| line.contains(" real seconds"))?;
    line.split(' ').next()?.parse().ok()
}

/// nginx with one worker and the manager's certificate.
struct Nginx {
    master: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl Nginx {
    fn start(fleet: &Fleet) -> anyhow::Result<Self> {
        let program = Peer::Nginx.program().context("nginx is not installed")?;
        let dir = tempfile::tempdir()?;
        let [address] = free_addresses()?;
        let conf = dir.path().join("conf");
        // One file has both the certificate and its key.
        let pem = fleet.directory().join("server-cert.pem");
        fs::write(&conf, configuration(&dir.path().display(), address, &pem.display()))?;
        let log = File::create(dir.path().join("log"))?;
        let mut command = Command::new(program);
        command.arg("-p").arg(dir.path()).arg("-c").arg(&conf);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let nginx = Self { master: children::spawn(&mut command)?, address, dir };
        let ready =
            || (TcpStream::connect(address).is_ok() && nginx.worker().is_ok()).then_some(());
        let said = || fs::read_to_string(nginx.dir.path().join("log")).unwrap_or_default();
        wait::until("nginx to listen", DEADLINE, ready).with_context(said)?;
        Ok(nginx)
    }

    fn worker(&self) -> anyhow::Result<u32> {
        let workers = children::children_of(self.master.process().pid());
        Ok(workers.first().context("nginx has no worker")?.pid())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.master.process().signal(Signal::TERM).ok();
        self.master.wait(DEADLINE);
    }
}

/// The best that its manual offers for this: nothing is logged, nothing is kept for later.
fn configuration(dir: &impl fmt::Display, at: SocketAddr, pem: &impl fmt::Display) -> String {
    let user = if rustix::process::geteuid().is_root() { "user root root;\n" } else { "" };
    format!(
        "{user}daemon off;\nworker_processes 1;\npid {dir}/pid;\nerror_log {dir}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\naccess_log off;\n\
         client_body_temp_path {dir}/body;\nproxy_temp_path {dir}/proxy;\n\
         fastcgi_temp_path {dir}/f;\nuwsgi_temp_path {dir}/u;\nscgi_temp_path {dir}/s;\n\
         server {{\nlisten {at} ssl backlog=4096;\n\
         ssl_certificate {pem};\nssl_certificate_key {pem};\n\
         ssl_protocols TLSv1.3;\nssl_session_tickets off;\nssl_session_cache off;\n\
         return 204;\n}}\n}}\n"
    )
}

impl Seen {
    /// The median of what the manager's handshake costs of nginx's in the same round.
    fn ratio(&self) -> f64 {
        let ratio = |[manager, nginx]: &[Sample; 2]| {
            manager.cpu.as_secs_f64() / nginx.cpu.as_secs_f64().max(1e-9)
        };
        let mut ratios: Vec<f64> = self.rounds.iter().map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Medians of one of them: in a second, and processor time.
    fn medians(&self, place: usize) -> (f64, Duration) {
        let samples = || self.rounds.iter().map(|round| round[place]);
        let costs: Vec<Duration> = samples().map(|sample| sample.cpu).collect();
        let mut rates: Vec<f64> = samples().map(|sample| sample.a_second).collect();
        rates.sort_by(f64::total_cmp);
        (rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN), percentile(&costs, 50))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { seconds, rounds, clients, .. } = self.options;
        writeln!(
            f,
            "{clients} of `openssl s_time -new -tls1_3`, {rounds} rounds of {seconds} s\n"
        )?;
        writeln!(f, "| server | connections in a second | processor time for each, µs |")?;
        writeln!(f, "| --- | ---: | ---: |")?;
        for (place, name) in ["manager", "nginx"].into_iter().enumerate() {
            let (rate, cost) = self.medians(place);
            writeln!(f, "| {name} | {rate:.0} | {} |", cost.as_micros())?;
        }
        writeln!(f, "\nprocessor time × nginx, median of the rounds: {:.2}", self.ratio())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_handshakes_are_counted_and_cost_something() -> anyhow::Result<()> {
        let options = Options { seconds: 1, rounds: 1, clients: 1, cpu: 0, client_cpu: 0 };
        let seen = observe(&options)?;
        let [manager, nginx] = seen.rounds[0];
        assert!(manager.a_second > 1.0 && nginx.a_second > 1.0, "{seen}");
        assert!(!manager.cpu.is_zero() && !nginx.cpu.is_zero(), "{seen}");
        Ok(())
    }

    #[test]
    fn what_s_time_says_is_understood() {
        let said = "Collecting connection statistics for 1 seconds\n*****\n\n5 connections in 0.01s; \
                    500 connections/user sec, bytes read 0\n5 connections in 2 real seconds, 0 bytes \
                    read per connection\n";
        assert_eq!(connections(said), Some(5));
    }
}
