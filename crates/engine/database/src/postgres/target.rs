//! Reaching the host that takes writes.
//!
//! # Invariants
//!
//! 1. One host that says nothing does not keep anybody from the others: each has its own
//!    deadline, from the name to the first answer.
//! 2. A host that let a question wait too long is tried last from then on: it may still let
//!    clients in and never commit anything, like a primary that was cut off.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config};

use super::error::failed;
use super::tls::Tls;
use crate::error::StoreError;
use crate::limits::Limits;
use crate::location::PostgresLocation;
use crate::store::Stored;

/// How long data may be unacknowledged before a host counts as lost.
const SILENCE: Duration = Duration::from_secs(5);

/// An answer means that the commit is on a disk, whatever the database's default is. What
/// asks for more than that stays.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'";

/// What a connection begins with. Rows that a transaction locked are free again when its manager
/// has said nothing for so long.
fn settings(limits: &Limits) -> String {
    // Zero would be no limit.
    let idle = limits.transaction_timeout.as_millis().max(1);
    format!("{DURABLE}; SET idle_in_transaction_session_timeout = {idle}")
}

/// Where to connect to.
#[derive(Clone, Debug)]
pub(crate) struct Target(Arc<Hosts>);

#[derive(Debug)]
struct Hosts {
    /// One for each host.
    each: Vec<Config>,
    /// Which is tried first.
    first: AtomicUsize,
    tls: Tls,
    limit: Duration,
    settings: String,
    /// Whether it was said that a host is spoken to in plain text.
    warned: AtomicBool,
}

/// A connection.
pub(crate) struct Link {
    client: Client,
    host: usize,
    task: AbortHandle,
}

impl Target {
    /// Reads the certificates that vouch for the hosts'.
    pub(crate) fn new(location: &PostgresLocation, limits: &Limits) -> Stored<Self> {
        let config = &location.config;
        let tls = Tls::new(&location.verify)
            .map_err(|source| StoreError::Certificates { source: Box::new(source) })?;
        let limit = config.get_connect_timeout().copied().unwrap_or(limits.connect_timeout);
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
        let each = (0..hosts).map(|place| one_host(config, place)).collect();
        let (first, settings) = (AtomicUsize::new(0), settings(limits));
        let warned = AtomicBool::new(false);
        Ok(Self(Arc::new(Hosts { each, first, tls, limit, settings, warned })))
    }

    /// Connects to the first host that takes writes, the last one that did before all others.
    pub(crate) async fn connect(&self) -> Stored<Link> {
        let hosts = &*self.0;
        let first = hosts.first.load(Ordering::Relaxed);
        let mut last = late();
        for place in 0..hosts.each.len() {
            let host = (first + place) % hosts.each.len();
            let Some(config) = hosts.each.get(host) else { continue };
            match timeout(hosts.limit, hosts.connect(config, host)).await {
                Ok(Ok(link)) => {
                    hosts.first.store(host, Ordering::Relaxed);
                    return Ok(link);
                }
                Ok(Err(error)) => last = error,
                Err(_late) => last = late(),
            }
        }
        Err(last)
    }

    /// Waits for what `link` was asked, but not for ever.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        host: usize,
        answer: impl Future<Output = Stored<T>>,
    ) -> Stored<T> {
        let Ok(answered) = timeout(limit, answer).await else {
            self.avoid(host);
            return Err(late());
        };
        answered
    }

    /// Tries the next host first, unless somebody has found another one by now.
    fn avoid(&self, host: usize) {
        let next = (host + 1) % self.0.each.len().max(1);
        if self.0.first.compare_exchange(host, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(host, "the database gave no answer in time");
        }
    }
}

impl Hosts {
    async fn connect(&self, config: &Config, host: usize) -> Stored<Link> {
        let tls = self.tls.another();
        let connected = config.connect(tls.clone()).await;
        let (client, connection) =
            connected.map_err(|source| StoreError::Unavailable { source: Box::new(source) })?;
        if config.get_ssl_mode() == SslMode::Prefer && !tls.is_used() {
            self.warn_of_plain_text(host);
        }
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "a connection to the database was lost");
            }
        });
        let link = Link { client, host, task: task.abort_handle() };
        link.batch_execute(&self.settings).await.map_err(failed("connecting"))?;
        Ok(link)
    }

    /// Once is enough: another connection is no news.
    fn warn_of_plain_text(&self, host: usize) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                host,
                "the database offers no encryption and is spoken to in plain text"
            );
        }
    }
}

/// No answer came in time.
fn late() -> StoreError {
    let source = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
    StoreError::Unavailable { source: Box::new(source) }
}

/// The settings of a connection to one of the hosts.
fn one_host(config: &Config, place: usize) -> Config {
    let mut one = Config::new();
    one.application_name(config.get_application_name().unwrap_or("mainstay"))
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .channel_binding(config.get_channel_binding())
        .tcp_user_timeout(config.get_tcp_user_timeout().copied().unwrap_or(SILENCE))
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle());
    config.get_user().map(|user| one.user(user));
    config.get_password().map(|password| one.password(password));
    config.get_dbname().map(|name| one.dbname(name));
    config.get_options().map(|options| one.options(options));
    config.get_keepalives_interval().map(|interval| one.keepalives_interval(interval));
    config.get_keepalives_retries().map(|retries| one.keepalives_retries(retries));
    match config.get_hosts().get(place) {
        Some(Host::Tcp(name)) => {
            one.host(name);
        }
        Some(Host::Unix(path)) => {
            // No network: the server offers no encryption here.
            one.host_path(path).ssl_mode(SslMode::Disable);
        }
        None => {}
    }
    if let Some(&address) = config.get_hostaddrs().get(place) {
        one.hostaddr(address);
        if one.get_hosts().is_empty() {
            // What a certificate must say, then.
            one.host(address.to_string());
        }
    }
    // One for each, or one for all.
    let port = config.get_ports().get(place).or_else(|| config.get_ports().first());
    port.map(|&port| one.port(port));
    // Of several hosts, standbys are of no use.
    let asked = config.get_target_session_attrs();
    let several = config.get_hosts().len() > 1 || config.get_hostaddrs().len() > 1;
    one.target_session_attrs(match asked {
        TargetSessionAttrs::Any if several => TargetSessionAttrs::ReadWrite,
        asked => asked,
    });
    one
}

impl Link {
    pub(crate) const fn host(&self) -> usize {
        self.host
    }
}

impl Deref for Link {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Link {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for Link {
    /// Whatever was asked and not answered is not waited for.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("host", &self.host).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        Target::new(&text.parse().unwrap(), &Limits::default()).unwrap()
    }

    #[test]
    fn each_host_has_its_own_settings() {
        let target =
            target("postgres://me:secret@one:5433,%2Frun%2Fpg:5434/fleet?keepalives_idle=7");
        let [one, two] = &target.0.each[..] else { panic!("two hosts") };
        for (host, name, port) in
            [(one, Host::Tcp("one".into()), 5433), (two, Host::Unix("/run/pg".into()), 5434)]
        {
            assert_eq!((host.get_hosts(), host.get_ports()), (&[name][..], &[port][..]));
            assert_eq!((host.get_user(), host.get_dbname()), (Some("me"), Some("fleet")));
            assert_eq!(host.get_password(), Some(&b"secret"[..]));
            assert_eq!(host.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
            assert_eq!(host.get_keepalives_idle(), Duration::from_secs(7));
        }
        let modes = [one, two].map(Config::get_ssl_mode);
        assert_eq!(modes, [SslMode::Prefer, SslMode::Disable], "a Unix socket is no network");
        let target = self::target("postgres://one/fleet");
        assert_eq!(target.0.each[0].get_target_session_attrs(), TargetSessionAttrs::Any);
    }

    #[test]
    fn a_host_that_does_not_answer_is_tried_last() {
        let target = target("postgres://one,two,three/fleet");
        let first = || target.0.first.load(Ordering::Relaxed);
        target.avoid(0);
        assert_eq!(first(), 1);
        target.avoid(0);
        assert_eq!(first(), 1, "somebody else had noticed before");
        target.avoid(1);
        target.avoid(2);
        assert_eq!(first(), 0);
    }
}
