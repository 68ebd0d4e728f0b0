//! A gateway as sections with keys, as an operator wrote it: names instead of indexes.
//!
//! No pattern has a `..`: whoever gives a section another key has to say here how it is shown.

use std::borrow::Cow;

use super::{Key, Kind, Sections, Value, Values};
use crate::apply::{Apply, Probe, Watch};
use crate::gateway::{
    Accept, Access, AccessLog, BodyLimit, Forwarded, Gateway, Limits, Listener, Login, Route,
    Server, Service, Sessions, Tcp, Timeouts, Upstream,
};
use crate::scalar::{show_duration, show_percent, show_size};

pub(super) fn describe(gateway: &Gateway) -> Sections<'_> {
    let Gateway {
        listeners,
        upstreams,
        services,
        sessions,
        tcp,
        timeouts,
        limits,
        access_log,
        apply,
    } = gateway;
    let mut sections = Sections::new();
    sections.extend(listeners.iter().map(listener));
    sections.extend(upstreams.iter().map(upstream));
    for one in services {
        sections.extend([service(one, gateway)]);
        sections.extend(one.routes.iter().map(|route| self::route(&one.name, route, gateway)));
    }
    sections.extend(sessions.iter().map(|one| (key(Kind::Session, ""), self::sessions(one))));
    sections.extend(tcp.iter().map(|one| self::tcp(one, gateway)));
    sections.extend([
        (key(Kind::Timeouts, ""), self::timeouts(timeouts)),
        (key(Kind::Limits, ""), self::limits(limits)),
        (key(Kind::AccessLog, ""), self::access_log(access_log)),
        (key(Kind::Apply, ""), self::apply(apply, gateway)),
    ]);
    sections
}

const fn key(kind: Kind, name: &str) -> Key<'_> {
    Key { kind, name, route: None }
}

fn listener(listener: &Listener) -> (Key<'_>, Values<'_>) {
    let Listener { name, address, accept, backlog, forwarded } = listener;
    let accept = match accept {
        Accept::Active => "active",
        Accept::Master => "master",
    };
    let forwarded = match forwarded {
        Forwarded::Replace => "replace",
        Forwarded::Append => "append",
    };
    let values = vec![
        ("address", shown(address)),
        ("accept", word(accept)),
        ("backlog", shown(backlog)),
        ("forwarded", word(forwarded)),
    ];
    (key(Kind::Listener, name), values)
}

fn upstream(upstream: &Upstream) -> (Key<'_>, Values<'_>) {
    let Upstream { name, servers, keepalive } = upstream;
    let server = |server: &Server| {
        // The text says the address.
        let Server { address: _, weight, text } = server;
        match weight {
            1 => text.clone(),
            weight => format!("{text}(weight {weight})"),
        }
    };
    let servers = servers.iter().map(server).map(Cow::Owned).collect();
    let values = vec![("servers", Value::Set(servers)), ("keepalive", shown(keepalive))];
    (key(Kind::Upstream, name), values)
}

fn service<'a>(service: &'a Service, gateway: &'a Gateway) -> (Key<'a>, Values<'a>) {
    let Service { name, listeners, hosts, routes } = service;
    let listeners = listeners.iter().map(|&index| listener_name(gateway, index).into()).collect();
    let hosts = hosts.iter().map(|host| Cow::Borrowed(host.as_str())).collect();
    let values = vec![
        ("listeners", Value::Set(listeners)),
        ("hosts", Value::Set(hosts)),
        ("routes", Value::Parts(routes.len())),
    ];
    (key(Kind::Service, name), values)
}

fn route<'a>(service: &'a str, route: &'a Route, gateway: &'a Gateway) -> (Key<'a>, Values<'a>) {
    let Route { path, upstream, access } = route;
    let access = match access {
        Access::Open => "open",
        Access::Session => "session",
    };
    let upstream = upstream_name(gateway, *upstream);
    let key = Key { kind: Kind::Service, name: service, route: Some(path) };
    (key, vec![("upstream", word(upstream)), ("access", word(access))])
}

fn sessions(sessions: &Sessions) -> Values<'_> {
    let Sessions { cookie, login, subject_header, finish_timeout } = sessions;
    let login = match login {
        Login::None => "none",
        Login::Path(address) | Login::Url(address) => address,
    };
    vec![
        ("cookie", word(cookie)),
        ("login", word(login)),
        ("subject_header", word(subject_header)),
        ("finish_timeout", Value::One(show_duration(*finish_timeout).into())),
    ]
}

fn tcp<'a>(tcp: &'a Tcp, gateway: &'a Gateway) -> (Key<'a>, Values<'a>) {
    let Tcp { name, listener, upstream } = tcp;
    let values = vec![
        ("listener", word(listener_name(gateway, *listener))),
        ("upstream", word(upstream_name(gateway, *upstream))),
    ];
    (key(Kind::Tcp, name), values)
}

fn timeouts(timeouts: &Timeouts) -> Values<'static> {
    let Timeouts {
        request_head,
        keepalive,
        client_read,
        client_write,
        connect,
        response_head,
        upstream_read,
        upstream_write,
        upstream_idle,
        tunnel_idle,
        linger,
        server_retry,
    } = *timeouts;
    let all = [
        ("request_head", request_head),
        ("keepalive", keepalive),
        ("client_read", client_read),
        ("client_write", client_write),
        ("connect", connect),
        ("response_head", response_head),
        ("upstream_read", upstream_read),
        ("upstream_write", upstream_write),
        ("upstream_idle", upstream_idle),
        ("tunnel_idle", tunnel_idle),
        ("linger", linger),
        ("server_retry", server_retry),
    ];
    all.map(|(key, duration)| (key, Value::One(show_duration(duration).into()))).to_vec()
}

fn limits(limits: &Limits) -> Values<'static> {
    let Limits { connections, head_bytes, fields, target_bytes, body_bytes, pipes } = limits;
    let size = |bytes: usize| Value::One(show_size(bytes as u64).into());
    let body_bytes = match body_bytes {
        BodyLimit::Unlimited => word("unlimited"),
        BodyLimit::Bytes(bytes) => Value::One(show_size(*bytes).into()),
    };
    vec![
        ("connections", shown(connections)),
        ("head_bytes", size(*head_bytes)),
        ("fields", shown(fields)),
        ("target_bytes", size(*target_bytes)),
        ("body_bytes", body_bytes),
        ("pipes", shown(pipes)),
    ]
}

fn access_log(access_log: &AccessLog) -> Values<'_> {
    let path = match access_log {
        AccessLog::File(path) => Value::One(path.to_string_lossy()),
        AccessLog::Off => word("off"),
    };
    vec![("path", path)]
}

fn apply<'a>(apply: &'a Apply, gateway: &'a Gateway) -> Values<'a> {
    let Apply { watch, probes } = apply;
    let Watch { confirm, failures, failures_least } = watch;
    let probe = |probe: &Probe| {
        let Probe { service, host, path, expect, timeout } = probe;
        let service = gateway.services.get(*service).map_or("", |service| service.name.as_str());
        let timeout = show_duration(*timeout);
        Cow::Owned(format!("{host}{path}({service}, expect {expect}, timeout {timeout})"))
    };
    vec![
        ("confirm", Value::One(show_duration(*confirm).into())),
        ("failures", Value::One(show_percent(*failures).into())),
        ("failures_least", shown(failures_least)),
        ("probes", Value::Set(probes.iter().map(probe).collect())),
    ]
}

const fn word(word: &str) -> Value<'_> {
    Value::One(Cow::Borrowed(word))
}

fn shown(value: &impl ToString) -> Value<'static> {
    Value::One(Cow::Owned(value.to_string()))
}

fn listener_name(gateway: &Gateway, index: usize) -> &str {
    gateway.listeners.get(index).map_or("", |listener| &listener.name)
}

fn upstream_name(gateway: &Gateway, index: usize) -> &str {
    gateway.upstreams.get(index).map_or("", |upstream| &upstream.name)
}
