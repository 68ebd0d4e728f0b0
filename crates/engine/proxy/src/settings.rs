//! A configuration as the data path uses it: names are indexes, host names are addresses,
//! routes are a table.

use std::io;
use std::net::ToSocketAddrs;

use mainstay_config::Gateway;
use mainstay_config::gateway::{
    Accept, Address, BodyLimit, Forwarded, RoutePath, ServerAddress, Timeouts,
};
use mainstay_http::{HeadLimits, PathPattern, RouteEntry, RouteId, RouteProblem, Routes};
use mainstay_ledger::Record;
use mainstay_os::Endpoint;

/// What the data path is to do.
#[derive(Debug)]
pub struct Settings {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) routes: Routes,
    /// By [`RouteId`].
    pub(crate) targets: Vec<Target>,
    pub(crate) tcp: Vec<Target>,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) timeouts: Timeouts,
    pub(crate) head: HeadLimits,
    pub(crate) body_bytes: u64,
    /// Pipes of each lane.
    pub(crate) pipes: usize,
    pub(crate) drills: Drills,
}

/// Requests that hurt on purpose, by their paths.
#[derive(Clone, Debug, Default)]
pub struct Drills {
    /// Ends the process by its own fault.
    pub abort: Option<String>,
    /// Takes memory without end.
    pub hoard: Option<String>,
}

/// A listener, by its place in the configuration.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) accept: Accept,
    pub(crate) serves: Serves,
}

/// What comes in at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Serves {
    Http {
        forwarded: mainstay_http::Forwarded,
    },
    /// Bytes, for the TCP service with this index.
    Tcp {
        service: u32,
    },
}

/// Where requests of a route, or connections of a TCP service, go.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) service: String,
    pub(crate) upstream: usize,
}

#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) servers: Vec<Server>,
    /// Idle connections that each lane keeps, over all servers.
    pub(crate) keepalive: usize,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) endpoint: Endpoint,
    pub(crate) weight: u32,
    /// As the configuration has it, for people.
    pub(crate) text: String,
}

/// Why a configuration that is valid cannot be used here.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("cannot find the address of {host}:{port}, a server of upstream {upstream:?}")]
    Resolve { host: String, port: u16, upstream: String, source: io::Error },

    #[error("{host}:{port}, a server of upstream {upstream:?}, has no address")]
    NoAddress { host: String, port: u16, upstream: String },

    #[error("the routes do not make a table")]
    Routes { source: RouteProblem },
}

impl Settings {
    /// Makes them of a valid configuration. Asks the system's resolver for host names.
    pub fn build(gateway: &Gateway) -> Result<Self, BuildError> {
        let upstreams =
            gateway.upstreams.iter().map(upstream).collect::<Result<Vec<_>, BuildError>>()?;
        let (routes, targets) = routes(gateway)?;
        Ok(Self {
            listeners: listeners(gateway),
            routes,
            targets,
            tcp: gateway
                .tcp
                .iter()
                .map(|tcp| Target { service: tcp.name.clone(), upstream: tcp.upstream })
                .collect(),
            upstreams,
            timeouts: gateway.timeouts.clone(),
            head: HeadLimits {
                head_bytes: gateway.limits.head_bytes,
                fields: gateway.limits.fields,
                target_bytes: gateway.limits.target_bytes,
            },
            body_bytes: match gateway.limits.body_bytes {
                BodyLimit::Unlimited => u64::MAX,
                BodyLimit::Bytes(bytes) => bytes,
            },
            pipes: gateway.limits.pipes,
            drills: Drills::default(),
        })
    }
}

impl Settings {
    /// Which route or TCP service a record belongs to.
    pub(crate) fn target_of(&self, record: &Record) -> Option<&Target> {
        let listener = self.listeners.get(usize::from(record.listener));
        match listener.map(|listener| listener.serves) {
            Some(Serves::Tcp { service }) => self.tcp.get(service as usize),
            Some(Serves::Http { .. }) | None => self.targets.get(record.route as usize),
        }
    }

    /// Which upstream its exchange goes to: one that is not there, if it has none.
    pub(crate) fn upstream_of(&self, record: &Record) -> usize {
        self.target_of(record).map_or(usize::MAX, |target| target.upstream)
    }
}

impl Settings {
    /// The same, with requests that hurt on purpose.
    #[must_use]
    pub fn with_drills(self, drills: Drills) -> Self {
        Self { drills, ..self }
    }
}

fn listeners(gateway: &Gateway) -> Vec<Listener> {
    let serves = |index: usize, forwarded: Forwarded| match gateway
        .tcp
        .iter()
        .position(|tcp| tcp.listener == index)
    {
        Some(service) => {
            Serves::Tcp { service: u32::try_from(service).expect("fewer services than listeners") }
        }
        None => Serves::Http {
            forwarded: match forwarded {
                Forwarded::Replace => mainstay_http::Forwarded::Replace,
                Forwarded::Append => mainstay_http::Forwarded::Append,
            },
        },
    };
    gateway
        .listeners
        .iter()
        .enumerate()
        .map(|(index, listener)| Listener {
            name: listener.name.clone(),
            endpoint: match &listener.address {
                Address::Tcp(address) => Endpoint::Tcp(*address),
                Address::Unix(path) => Endpoint::Unix(path.clone()),
            },
            accept: listener.accept,
            serves: serves(index, listener.forwarded),
        })
        .collect()
}

fn routes(gateway: &Gateway) -> Result<(Routes, Vec<Target>), BuildError> {
    let mut targets = Vec::new();
    let mut entries = Vec::new();
    for service in &gateway.services {
        for route in &service.routes {
            let id = RouteId(u32::try_from(targets.len()).expect("far fewer routes"));
            targets.push(Target { service: service.name.clone(), upstream: route.upstream });
            let path = match &route.path {
                RoutePath::Prefix(path) => PathPattern::Prefix(path),
                RoutePath::Exact(path) => PathPattern::Exact(path),
            };
            for &listener in &service.listeners {
                for host in &service.hosts {
                    entries.push(RouteEntry { listener, host, path, id });
                }
            }
        }
    }
    let routes = Routes::build(&entries).map_err(|problems| BuildError::Routes {
        source: problems.into_iter().next().expect("a failure has a problem"),
    })?;
    Ok((routes, targets))
}

fn upstream(upstream: &mainstay_config::gateway::Upstream) -> Result<Upstream, BuildError> {
    let servers = upstream.servers.iter().map(|server| {
        let endpoint = match &server.address {
            ServerAddress::Ip(address) => Endpoint::Tcp(*address),
            ServerAddress::Unix(path) => Endpoint::Unix(path.clone()),
            ServerAddress::Name { host, port } => resolve(host, *port, &upstream.name)?,
        };
        Ok(Server { endpoint, weight: server.weight, text: server.text.clone() })
    });
    Ok(Upstream {
        servers: servers.collect::<Result<_, BuildError>>()?,
        keepalive: upstream.keepalive,
    })
}

fn resolve(host: &str, port: u16, upstream: &str) -> Result<Endpoint, BuildError> {
    let mut addresses = (host, port).to_socket_addrs().map_err(|source| BuildError::Resolve {
        host: host.to_owned(),
        port,
        upstream: upstream.to_owned(),
        source,
    })?;
    addresses.next().map(Endpoint::Tcp).ok_or_else(|| BuildError::NoAddress {
        host: host.to_owned(),
        port,
        upstream: upstream.to_owned(),
    })
}
