//! The process that serves: from its directory to its last connection.

use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::{Either, join, select};
use mainstay_config::manager::{Manager, Tls};
use mainstay_database::Store;
use mainstay_model::Chain;
use mainstay_os::Signals;
use mainstay_trust::pin::server_config;
use mainstay_trust::shown::Shown;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, interval, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::crowd::Crowd;
use crate::directory::{Content, Directory, Number};
use crate::figures::Figures;
use crate::fleet::{self, Duty, Fleet};
use crate::offers::Offers;
use crate::{admin, agents, certificate, jobs};

/// How often a database that cannot be reached is tried.
const OPEN_INTERVAL: Duration = Duration::from_secs(1);

/// How long the last words to the database may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// What waits to be accepted.
const BACKLOG: u32 = 4096;

/// Descriptors beside those of connections: the database's, the listeners', the runtime's.
const DESCRIPTORS: u64 = 256;

/// Serves until it is asked to end.
pub(crate) fn serve(directory: &Directory) -> anyhow::Result<()> {
    let content = directory.read()?;
    let number = directory.lock()?;
    // Before any thread, so that all inherit the mask.
    let signals = Signals::take_over().context("cannot take over signals")?;
    let wanted = content.settings.agents.connections + content.settings.admin.connections;
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX).saturating_add(DESCRIPTORS);
    match mainstay_os::raise_descriptor_limit(wanted) {
        Ok(limit) if limit < wanted => {
            warn!(limit, wanted, "fewer connections than configured can be open");
        }
        Ok(_) => {}
        Err(error) => warn!(error = %Chain(&error), "cannot ask for more descriptors"),
    }
    let threads = content.settings.threads.unwrap_or_else(processors);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("manager")
        .enable_all()
        .build()
        .context("cannot make a runtime")?;
    runtime.block_on(run(directory, content, number, signals))
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

async fn run(
    directory: &Directory,
    content: Content,
    number: Number,
    signals: Signals,
) -> anyhow::Result<()> {
    let mut ending = until_asked_to_end(signals)?;
    let Some(store) = or_end(open(&content.settings, directory.path()), &mut ending).await else {
        return Ok(());
    };
    let fleet = Arc::new(assemble(&content, &number, store?).await?);
    // A crowd may wait at the door: how large it is must be known before the first is sent away.
    jobs::count(&fleet).await.context("cannot count the agents")?;
    let started_at = fleet.store.now().await?;
    let shown = Shown::new(&content.bundle.identity)?;
    let tls = |wanted| match wanted {
        Tls::On => server_config(&shown).map(|tls| Some(TlsAcceptor::from(tls))),
        Tls::Off => Ok(None),
    };
    let (agents_tls, admin_tls) =
        (tls(content.settings.agents.tls)?, tls(content.settings.admin.tls)?);
    let (agents_at, agents_listener) = listen(content.settings.agents.address)?;
    let (admin_at, admin_listener) = listen(content.settings.admin.address)?;
    let agents_tls_is_on = agents_tls.is_some();
    if !agents_tls_is_on {
        warn!("agents are served without TLS: they cannot know that it is this manager");
    }

    let (stop, stopped) = watch::channel(false);
    let agents = agents::serve(Arc::clone(&fleet), agents_listener, agents_tls, stopped.clone());
    let agents = tokio::spawn(agents);
    let admin = admin::serve(Arc::clone(&fleet), admin_listener, admin_tls, stopped.clone());
    let admin = tokio::spawn(admin);
    // Without TLS it shows nothing.
    let to_agents = agents_tls_is_on.then(|| Arc::clone(&shown));
    let says = jobs::Says { started_at, address: agents_at.to_string(), shown: to_agents };
    let beat = jobs::beat(Arc::clone(&fleet), says, stopped.clone());
    let beat = tokio::spawn(beat);
    let work = tokio::spawn(jobs::work(Arc::clone(&fleet)));
    drop(tokio::spawn(certificate::follow(directory.clone(), shown, stopped)));
    info!(
        agents = %agents_at, admin = %admin_at, manager = %fleet.id, database = fleet.database,
        "agents are served"
    );

    drop(ending.await);
    info!("asked to end, exchanges that have begun are finished");
    fleet.duty.stop();
    work.abort();
    stop.send_replace(true);
    let deadline = Instant::now() + content.settings.drain_timeout;
    if timeout_at(deadline, join(agents, admin)).await.is_err() {
        warn!("not every exchange was finished in time");
    }
    beat.abort();
    if timeout(FAREWELL, jobs::give_back(&fleet)).await.is_err() {
        warn!("the database was not told that this manager ends");
    }
    info!("stopped");
    Ok(())
}

/// What comes of `work`, unless the process is asked to end first.
async fn or_end<T>(work: impl Future<Output = T>, ending: &mut oneshot::Receiver<()>) -> Option<T> {
    match select(pin!(work), ending).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

/// Waits for SIGTERM or SIGINT, in a thread of its own: a descriptor that the runtime did not
/// make is not the runtime's to watch.
fn until_asked_to_end(signals: Signals) -> anyhow::Result<oneshot::Receiver<()>> {
    let (asked, ending) = oneshot::channel();
    let wait = move || match signals.wait() {
        // If nobody listens any more, the process ends anyway.
        Ok(_) => drop(asked.send(())),
        Err(error) => {
            warn!(%error, "signals cannot be waited for, only SIGKILL ends this process");
            std::thread::park();
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .context("cannot start a thread")?;
    Ok(ending)
}

/// Opens the database, however long that takes, unless it never will be there.
async fn open(settings: &Manager, directory: &Path) -> anyhow::Result<Arc<dyn Store>> {
    let mut ticks = interval(OPEN_INTERVAL);
    let mut told = false;
    loop {
        ticks.tick().await;
        match fleet::open_store(&settings.database, directory).await {
            Ok(store) => return Ok(store),
            Err(error) if error.may_pass() => {
                if !told {
                    warn!(error = %Chain(&error), "waiting for the database");
                    told = true;
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn assemble(
    content: &Content,
    number: &Number,
    store: Arc<dyn Store>,
) -> anyhow::Result<Fleet> {
    let settings = content.settings.clone();
    let own: String = content
        .bundle
        .agent_certificates
        .iter()
        .map(|der| mainstay_trust::certificate::to_pem("CERTIFICATE", der))
        .collect();
    let pins = fleet::pins(&*store, &own).await.context("cannot read the pins")?;
    let chain_key = fleet::chain_key(&*store).await.context("cannot read the fleet's key")?;
    fleet::first_group(&*store).await.context("cannot make the first group")?;
    Ok(Fleet {
        id: number.id,
        name: settings.name.clone().unwrap_or_else(mainstay_os::host_name),
        database: store.database_id().await?,
        chain_key,
        offers: Offers::new(&settings.agents, &pins),
        figures: Figures::default(),
        duty: Duty::default(),
        crowd: Crowd::new(&settings.agents),
        settings,
        store,
    })
}

/// Where it listens, which the kernel chose if the port is 0.
fn listen(address: SocketAddr) -> anyhow::Result<(SocketAddr, TcpListener)> {
    let bind = || -> std::io::Result<(SocketAddr, TcpListener)> {
        let socket = if address.is_ipv4() {
            tokio::net::TcpSocket::new_v4()?
        } else {
            tokio::net::TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        Ok((listener.local_addr()?, listener))
    };
    bind().with_context(|| format!("cannot listen at {address}"))
}
