//! A configuration as the data path uses it: names are indexes, host names are addresses,
//! routes are a table.

use std::collections::BTreeMap;
use std::io;
use std::net::ToSocketAddrs;

use mainstay_config::Gateway;
use mainstay_config::gateway::{
    Accept, Access, Address, BodyLimit, Forwarded, Listener as Configured, RoutePath,
    ServerAddress, Service, Timeouts,
};
use mainstay_http::{HeadLimits, PathPattern, RouteEntry, RouteId, RouteProblem, Routes};
use mainstay_ledger::Record;
use mainstay_model::ListenerId;
use mainstay_os::Endpoint;

use crate::accept::Lease;
use crate::access::Known;

/// Of connections for which there is nothing any more.
const NO_SERVICE: u32 = u32::MAX;

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
    /// Nothing where there are no sessions.
    pub(crate) sessions: Option<Known>,
    pub(crate) head: HeadLimits,
    pub(crate) body_bytes: u64,
    /// Connections of each lane.
    pub(crate) connections: usize,
    /// Pipes of each lane.
    pub(crate) pipes: usize,
    pub(crate) drills: Drills,
    /// The number of the configuration that they are made of; 0 for none.
    pub(crate) configuration: u64,
}

/// Requests that hurt on purpose, by their paths.
#[derive(Clone, Debug, Default)]
pub struct Drills {
    /// Ends the process by its own fault.
    pub abort: Option<String>,
    /// Takes memory without end.
    pub hoard: Option<String>,
}

/// A listener, by its place in the configuration. Those of the former one that are no more come
/// after them: their clients go on being served.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) accept: Accept,
    pub(crate) serves: Serves,
    pub(crate) tenure: Tenure,
}

/// Whether clients are still to come to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tenure {
    Current,
    /// It is of the former configuration, and closed when ours is confirmed.
    Former,
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
    pub(crate) access: Access,
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
    /// Makes them of a valid configuration, and of the one that was served before it. Asks the
    /// system's resolver for host names.
    pub fn build(gateway: &Gateway, former: Option<&Gateway>) -> Result<Self, BuildError> {
        let upstreams =
            gateway.upstreams.iter().map(upstream).collect::<Result<Vec<_>, BuildError>>()?;
        let former = former.map(|former| formers(gateway, former)).unwrap_or_default();
        let (routes, targets) = routes(gateway, &former)?;
        let listeners = listeners(gateway).chain(former.into_iter().map(|former| former.listener));
        Ok(Self {
            listeners: listeners.collect(),
            routes,
            targets,
            tcp: gateway
                .tcp
                .iter()
                .map(|tcp| Target {
                    service: tcp.name.clone(),
                    upstream: tcp.upstream,
                    access: Access::Open,
                })
                .collect(),
            upstreams,
            timeouts: gateway.timeouts.clone(),
            sessions: gateway.sessions.as_ref().map(Known::new),
            head: HeadLimits {
                head_bytes: gateway.limits.head_bytes,
                fields: gateway.limits.fields,
                target_bytes: gateway.limits.target_bytes,
            },
            body_bytes: match gateway.limits.body_bytes {
                BodyLimit::Unlimited => u64::MAX,
                BodyLimit::Bytes(bytes) => bytes,
            },
            connections: gateway.limits.connections,
            pipes: gateway.limits.pipes,
            drills: Drills::default(),
            configuration: 0,
        })
    }
}

impl Settings {
    /// The place of a listener that is bound to `endpoint` and called `name`, and who accepts
    /// from it.
    pub fn place_of(&self, name: &str, endpoint: &Endpoint) -> Option<(ListenerId, Lease)> {
        let is_it = |listener: &Listener| match (&listener.endpoint, endpoint) {
            // Whatever port the kernel chose for that name.
            (Endpoint::Tcp(wanted), Endpoint::Tcp(bound)) if wanted.port() == 0 => {
                wanted.ip() == bound.ip() && listener.name == name
            }
            (wanted, bound) => wanted == bound,
        };
        let index = self.listeners.iter().position(is_it)?;
        let lease = match self.listeners.get(index)?.accept {
            Accept::Active => Lease::Ours,
            Accept::Master => Lease::None,
        };
        Some((ListenerId(u16::try_from(index).ok()?), lease))
    }

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

    /// The same, of the configuration with this number.
    #[must_use]
    pub fn with_configuration(self, configuration: u64) -> Self {
        Self { configuration, ..self }
    }
}

fn listeners(gateway: &Gateway) -> impl Iterator<Item = Listener> {
    gateway.listeners.iter().enumerate().map(|(index, listener)| {
        let serves = match tcp_of(gateway, index) {
            Some(service) => Serves::Tcp { service },
            None => Serves::Http { forwarded: forwarded(listener) },
        };
        Listener::new(listener, serves, Tenure::Current)
    })
}

impl Listener {
    fn new(listener: &Configured, serves: Serves, tenure: Tenure) -> Self {
        let endpoint = match &listener.address {
            Address::Tcp(address) => Endpoint::Tcp(*address),
            Address::Unix(path) => Endpoint::Unix(path.clone()),
        };
        let (name, accept) = (listener.name.clone(), listener.accept);
        Self { name, endpoint, accept, serves, tenure }
    }
}

const fn forwarded(listener: &Configured) -> mainstay_http::Forwarded {
    match listener.forwarded {
        Forwarded::Replace => mainstay_http::Forwarded::Replace,
        Forwarded::Append => mainstay_http::Forwarded::Append,
    }
}

/// The TCP service of a listener.
fn tcp_of(gateway: &Gateway, listener: usize) -> Option<u32> {
    let found = gateway.tcp.iter().position(|tcp| tcp.listener == listener);
    found.map(|service| u32::try_from(service).expect("fewer services than listeners"))
}

/// A listener of the former configuration that is no more.
struct Former {
    listener: Listener,
    /// Indexes of services that go on serving whoever came to it.
    services: Vec<usize>,
}

/// The listeners of `former` that `gateway` does not have, and what serves their clients now: what
/// the listener of that name does, if there is one, for then it has moved; else the services that
/// did, by their names, as they are now.
fn formers(gateway: &Gateway, former: &Gateway) -> Vec<Former> {
    let is_gone = |old: &&Configured| {
        !gateway.listeners.iter().any(|listener| listener.is_at_the_place_of(old))
    };
    let gone = former.listeners.iter().enumerate().filter(|(_, old)| is_gone(old));
    gone.map(|(index, old)| {
        let moved = gateway.listeners.iter().position(|listener| listener.name == old.name);
        let named = |name: &str| gateway.tcp.iter().position(|tcp| tcp.name == name);
        let was_tcp = former.tcp.iter().find(|tcp| tcp.listener == index);
        let tcp = match moved {
            Some(moved) => tcp_of(gateway, moved),
            None => was_tcp.and_then(|tcp| named(&tcp.name)).and_then(|at| u32::try_from(at).ok()),
        };
        let heir = moved.and_then(|moved| gateway.listeners.get(moved)).unwrap_or(old);
        let serves = match (tcp, was_tcp, moved) {
            (Some(service), _, _) => Serves::Tcp { service },
            (None, Some(_), None) => Serves::Tcp { service: NO_SERVICE },
            (None, _, _) => Serves::Http { forwarded: forwarded(heir) },
        };
        let served = |service: &Service| match moved {
            Some(moved) => service.listeners.contains(&moved),
            None => former
                .services
                .iter()
                .any(|was| was.name == service.name && was.listeners.contains(&index)),
        };
        let services = gateway.services.iter().enumerate().filter(|(_, one)| served(one));
        Former {
            listener: Listener::new(old, serves, Tenure::Former),
            services: services.map(|(index, _)| index).collect(),
        }
    })
    .collect()
}

fn routes(gateway: &Gateway, former: &[Former]) -> Result<(Routes, Vec<Target>), BuildError> {
    let mut targets = Vec::new();
    let mut entries = Vec::new();
    // Services that share a former listener may share a host by now: the first has it.
    let mut taken = BTreeMap::new();
    for (index, service) in gateway.services.iter().enumerate() {
        let formers = former.iter().enumerate().filter(|(_, one)| one.services.contains(&index));
        let formers: Vec<usize> = formers.map(|(at, _)| gateway.listeners.len() + at).collect();
        for route in &service.routes {
            let id = RouteId(u32::try_from(targets.len()).expect("far fewer routes"));
            targets.push(Target {
                service: service.name.clone(),
                upstream: route.upstream,
                access: route.access,
            });
            let path = match &route.path {
                RoutePath::Prefix(path) => PathPattern::Prefix(path),
                RoutePath::Exact(path) => PathPattern::Exact(path),
            };
            for host in &service.hosts {
                for &listener in &service.listeners {
                    entries.push(RouteEntry { listener, host, path, id });
                }
                for &listener in &formers {
                    if *taken.entry((listener, host)).or_insert(index) == index {
                        entries.push(RouteEntry { listener, host, path, id });
                    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(listeners: &[(&str, u16)], rest: &str) -> Gateway {
        let tables = listeners.iter().map(|(name, port)| {
            format!("[[listener]]\nname = {name:?}\naddress = \"127.0.0.1:{port}\"\n")
        });
        let upstream = "[[upstream]]\nname = \"u\"\nservers = [\"127.0.0.1:9\"]\n";
        let text = tables.collect::<String>() + upstream + rest;
        mainstay_config::gateway::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn service(name: &str, listeners: &str, host: &str) -> String {
        format!(
            "[[service]]\nname = {name:?}\nlisteners = {listeners}\nhosts = [{host:?}]\n\
             [[service.route]]\npath = \"/\"\nupstream = \"u\"\n"
        )
    }

    fn tcp(name: &str, listener: &str) -> String {
        format!("[[tcp]]\nname = {name:?}\nlistener = {listener:?}\nupstream = \"u\"\n")
    }

    /// Who answers a request for `host` that came to this port; the name of a listener in front.
    fn answers(settings: &Settings, port: u16, host: &str) -> Option<String> {
        let endpoint = Endpoint::Tcp(([127, 0, 0, 1], port).into());
        let (ListenerId(index), _) = settings.place_of("any", &endpoint)?;
        let listener = &settings.listeners[usize::from(index)];
        let service = match listener.serves {
            Serves::Tcp { service } => settings.tcp.get(service as usize),
            Serves::Http { .. } => {
                let route = settings.routes.find(index.into(), host, "/").ok();
                route.and_then(|RouteId(id)| settings.targets.get(id as usize))
            }
        };
        let service = service.map_or("nobody", |target| &target.service);
        Some(format!("{}: {service}", listener.name))
    }

    #[test]
    fn clients_of_a_listener_that_is_no_more_are_served_by_what_its_services_are_now() {
        let before = gateway(
            &[("web", 1), ("old", 2), ("raw", 3), ("mail", 4), ("gone", 5)],
            &[
                service("shop", "[\"web\", \"old\"]", "shop.test"),
                service("blog", "[\"old\"]", "blog.test"),
                service("past", "[\"gone\"]", "*"),
                tcp("raw", "raw"),
                tcp("mail", "mail"),
            ]
            .concat(),
        );
        // One has moved, three are gone, one of them with its service; the names of hosts changed.
        let now = gateway(
            &[("web", 11), ("new", 12), ("mail", 14), ("also", 15)],
            &[
                service("shop", "[\"web\"]", "same.test"),
                service("blog", "[\"new\"]", "same.test"),
                tcp("raw", "also"),
                tcp("mail", "mail"),
            ]
            .concat(),
        );
        let settings = Settings::build(&now, Some(&before)).unwrap();
        for (port, host, expected) in [
            (11, "same.test", Some("web: shop")),
            (1, "same.test", Some("web: shop")),
            (1, "shop.test", Some("web: nobody")),
            // Two services that were there have the same host now: the first of them.
            (2, "same.test", Some("old: shop")),
            (3, "", Some("raw: raw")),
            (4, "", Some("mail: mail")),
            (5, "past.test", Some("gone: nobody")),
            (6, "same.test", None),
        ] {
            let found = answers(&settings, port, host);
            assert_eq!(found.as_deref(), expected, "{port} {host}");
        }
        let alone = Settings::build(&now, None).unwrap();
        assert_eq!(answers(&alone, 1, "same.test"), None);
    }

    #[test]
    fn a_listener_that_keeps_its_address_is_the_same_one() {
        let before = gateway(&[("web", 1)], &service("shop", "[\"web\"]", "*"));
        let now = gateway(&[("renamed", 1)], &service("blog", "[\"renamed\"]", "*"));
        let settings = Settings::build(&now, Some(&before)).unwrap();
        assert_eq!(settings.listeners.len(), 1);
        assert_eq!(answers(&settings, 1, "any.test").as_deref(), Some("renamed: blog"));
    }
}
