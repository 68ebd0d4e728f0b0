//! Configurations that are valid and bad: an upstream that is not there, and one that fails.
//!
//! What is promised: the former one serves again within five seconds of the swap, at most one
//! request in a hundred is hurt in ten seconds, and the answer says why.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::Operator;
use super::operator::Said;
use crate::client::Client;
use crate::wait::Stop;

/// How long requests are counted for each configuration.
const COUNTED: Duration = Duration::from_secs(10);

/// How soon the former configuration has to serve again.
const BACK_MAX: Duration = Duration::from_secs(5);

/// Requests in a hundred that may be hurt.
const HURT_PERCENT_MAX: f64 = 1.0;

/// Clients on connections that stay, and as many that connect for each request.
const CLIENTS: usize = 4;

/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(4);

/// What a client does after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Stay,
    ConnectAnew,
}

/// What clients got.
#[derive(Debug, Default)]
struct Tally {
    well: AtomicU64,
    hurt: AtomicU64,
}

/// Applies both, one after the other.
pub(super) fn perform(operator: &Operator<'_>, report: &mut String) -> anyhow::Result<()> {
    writeln!(report, "\n{:24} {:>10} {:>8} {:>6} {:>8}", "", "back ms", "requests", "hurt", "%")?;
    let dead = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let failing = serve_failures()?;
    for (name, server) in [("upstream is not there", dead), ("upstream answers 500", failing)] {
        one(operator, name, server, report).with_context(|| name.to_owned())?;
    }
    Ok(())
}

fn one(
    operator: &Operator<'_>,
    name: &str,
    server: SocketAddr,
    report: &mut String,
) -> anyhow::Result<()> {
    let before = operator.wait_of_one_mind()?;
    operator.write(|text| with_server(text, server))?;
    let (tally, stop) = (Arc::new(Tally::default()), Arc::new(Stop::default()));
    let address = operator.gateway.address("web-active");
    let clients: Vec<_> = (0..2 * CLIENTS)
        .map(|number| {
            let (tally, stop) = (Arc::clone(&tally), Arc::clone(&stop));
            let after = if number % 2 == 0 { After::Stay } else { After::ConnectAnew };
            thread::spawn(move || ask_on(address, after, &tally, &stop))
        })
        .collect();
    let start = Instant::now();
    let answer = operator.apply(&["--confirm", "10s"])?;
    let back = start.elapsed();
    Stop::default().pause(COUNTED.saturating_sub(start.elapsed()));
    stop.stop();
    for client in clients {
        client.join().expect("a client does not panic");
    }
    let (well, hurt) = (tally.well.load(Ordering::Relaxed), tally.hurt.load(Ordering::Relaxed));
    let [share, back_ms] = [hurt as f64 * 100.0 / (well + hurt) as f64, back.as_secs_f64() * 1e3];
    writeln!(report, "{name:24} {back_ms:>10.0} {:>8} {hurt:>6} {share:>8.2}", well + hurt)?;
    let serves = operator.wait_of_one_mind()?;
    let said = Said::by(&answer)?;
    anyhow::ensure!(serves == before && said.is_true(serves, before), "{answer:?}");
    anyhow::ensure!(answer.err.contains("requests failed after the swap"), "{answer:?}");
    anyhow::ensure!(back <= BACK_MAX, "it took {back:?} to go back, the limit is {BACK_MAX:?}");
    anyhow::ensure!(share <= HURT_PERCENT_MAX, "{share:.2} % were hurt: {answer:?}");
    Ok(())
}

/// The first generation, with another server for HTTP.
fn with_server(text: &str, server: SocketAddr) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let servers = lines.iter_mut().find(|line| line.starts_with("servers = "));
    *servers.expect("the upstream of HTTP comes first") = format!("servers = [\"{server}\"]");
    lines.join("\n") + "\n"
}

/// Asks again and again, on one connection or on a new one each time.
fn ask_on(address: SocketAddr, after: After, tally: &Tally, stop: &Stop) {
    let mut connection = None;
    while !stop.is_over() {
        let answered = connection
            .take()
            .map_or_else(|| Client::connect(address), Ok)
            .and_then(|mut client: Client| Ok((client.get("/small")?, client)));
        match answered {
            Ok((response, client)) if response.head.status == 200 => {
                tally.well.fetch_add(1, Ordering::Relaxed);
                connection = (after == After::Stay).then_some(client);
            }
            Ok(_) | Err(_) => {
                tally.hurt.fetch_add(1, Ordering::Relaxed);
            }
        }
        stop.pause(PAUSE);
    }
}

/// A server that answers everything with 500, until this process ends.
fn serve_failures() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                while matches!(stream.read_line(&mut line), Ok(count) if count > 0) {
                    if line == "\r\n" {
                        let answer = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n";
                        if stream.get_mut().write_all(answer).is_err() {
                            return;
                        }
                    }
                    line.clear();
                }
            });
        }
    });
    Ok(address)
}
