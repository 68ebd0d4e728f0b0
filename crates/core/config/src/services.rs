//! What listeners are for: services with their routes, and plain TCP.
//!
//! # Invariants
//!
//! 1. A listener is used, and either by services or by exactly one `[[tcp]]`.
//! 2. On one listener a host belongs to one service; in one service a path belongs to one
//!    route.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use crate::entry::{Entry, Form, Text};
use crate::hostname::read_pattern;
use crate::names::Names;
use crate::section::Section;

/// Longest path of a route.
const PATH_BYTES_MAX: usize = 4096;

/// A web site: some hosts on some listeners, and where its requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    /// Indexes of listeners. At least one.
    pub listeners: Vec<usize>,
    /// In lower case: `shop.example.com`, `*.example.com`, or `*` for any. At least one.
    pub hosts: Vec<String>,
    /// In the order of the file. At least one.
    pub routes: Vec<Route>,
}

/// Requests for a path, and the upstream that answers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub path: RoutePath,
    /// Index of an upstream.
    pub upstream: usize,
    pub access: Access,
}

/// Whom a route lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Open,
    /// Whoever has a session.
    Session,
}

/// What `access` may be.
const ACCESS: [(&str, Access); 2] = [("open", Access::Open), ("session", Access::Session)];

/// The paths of a route. Each begins with `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoutePath {
    /// Whole segments: `/a` is the prefix of `/a` and `/a/b`, not of `/ab`; `/a/` is the
    /// prefix of `/a/b`.
    Prefix(String),
    Exact(String),
}

/// Connections that are tunnelled from a listener to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    pub name: String,
    /// Index of a listener.
    pub listener: usize,
    /// Index of an upstream.
    pub upstream: usize,
}

/// The index of the service that answers for `host`, in lower case and without a port, where
/// the service at `index` answers: on the first of its listeners.
pub(crate) fn asked(services: &[Service], index: usize, host: &str) -> Option<usize> {
    let listener = services.get(index)?.listeners.first()?;
    let beside = services.iter().enumerate().filter(|(_, one)| one.listeners.contains(listener));
    let matches = beside.flat_map(|(index, one)| {
        let closest = one.hosts.iter().filter_map(|pattern| closeness(pattern, host)).max();
        closest.map(|closeness| (closeness, index))
    });
    matches.max().map(|(_, index)| index)
}

/// How closely a pattern fits a host, if it does: itself, a longer suffix, a shorter one, any.
fn closeness(pattern: &str, host: &str) -> Option<(bool, usize)> {
    match pattern.strip_prefix('*') {
        None => (pattern == host).then_some((true, 0)),
        Some(suffix) => {
            let fits = host.len() > suffix.len() && host.ends_with(suffix);
            fits.then_some((false, suffix.len()))
        }
    }
}

/// Reads `[[service]]` and `[[tcp]]`, which call listeners and upstreams by name.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    listeners: Names<'a>,
    upstreams: Names<'a>,
    /// What each listener is used by.
    uses: Vec<Use>,
    /// Whether `uses` is the whole truth: not when what a section uses could not be read.
    uses_known: UsesKnown,
    /// The service that has a host on a listener.
    hosts: BTreeMap<(usize, String), String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UsesKnown {
    All,
    NotAll,
}

/// What a listener is used by.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Use {
    Nothing,
    /// The first of them.
    Service(String),
    Tcp(String),
}

impl<'a> Reader<'a> {
    pub(crate) fn new(listeners: Names<'a>, upstreams: Names<'a>) -> Self {
        let uses = vec![Use::Nothing; listeners.len()];
        Self { listeners, upstreams, uses, uses_known: UsesKnown::All, hosts: BTreeMap::new() }
    }

    pub(crate) fn services(&mut self, file: &mut Section<'a>) -> (Names<'a>, Vec<Service>) {
        let mut names = Names::new("service");
        let mut services = Vec::new();
        for mut section in file.tables("service", "[[service]]").unwrap_or_default() {
            let name = names.read(&mut section);
            let problems = section.problems().len();
            let listeners = self.service_listeners(&mut section, &name);
            self.note_uses_known(&section, problems);
            let hosts = self.service_hosts(&mut section, &name, &listeners);
            let routes = self.routes(&mut section);
            section.finish();
            services.push(Service { name, listeners, hosts, routes });
        }
        (names, services)
    }

    pub(crate) fn tcp(&mut self, file: &mut Section<'a>) -> Vec<Tcp> {
        let mut names = Names::new("tcp");
        let mut all = Vec::new();
        for mut section in file.tables("tcp", "[[tcp]]").unwrap_or_default() {
            let name = names.read(&mut section);
            let problems = section.problems().len();
            let listener = self.tcp_listener(&mut section, &name);
            self.note_uses_known(&section, problems);
            let upstream = self.upstream(&mut section);
            section.finish();
            all.push(Tcp { name, listener, upstream });
        }
        all
    }

    /// To be called last.
    pub(crate) fn check_every_listener_is_used(&self, file: &Section<'a>) {
        if self.uses_known == UsesKnown::NotAll || !self.listeners.are_all_known() {
            // The mistyped name may well be the use that seems to be missing.
            return;
        }
        for (index, used) in self.uses.iter().enumerate() {
            if let (Use::Nothing, Some(name)) = (used, self.listeners.text(index)) {
                let sentence =
                    format!("listener {:?} is used by no service and no tcp", name.get_ref());
                file.problems().add(name.span(), sentence);
            }
        }
    }

    /// To be called after a section's uses were read; before, there were so many problems.
    fn note_uses_known(&mut self, section: &Section<'a>, problems_before: usize) {
        if section.problems().len() > problems_before {
            self.uses_known = UsesKnown::NotAll;
        }
    }

    fn service_listeners(&mut self, section: &mut Section<'a>, service: &str) -> Vec<usize> {
        let mut listeners = Vec::new();
        for text in section.texts("listeners") {
            let Some(index) = self.listeners.resolve(&text, section) else { continue };
            if listeners.contains(&index) {
                let sentence = format!("listener {:?} is listed twice", text.get_ref());
                section.problems().add(text.span(), sentence);
                continue;
            }
            listeners.push(index);
            // Those of `[[tcp]]` are read later.
            if let Some(used @ Use::Nothing) = self.uses.get_mut(index) {
                *used = Use::Service(service.to_owned());
            }
        }
        listeners
    }

    fn service_hosts(
        &mut self,
        section: &mut Section<'a>,
        service: &str,
        listeners: &[usize],
    ) -> Vec<String> {
        let mut hosts = Vec::new();
        let mut seen = BTreeSet::new();
        for text in section.texts("hosts") {
            let host = match read_pattern(text.get_ref()) {
                Ok(host) => host,
                Err(error) => {
                    let sentence = format!("host {:?} {error}", text.get_ref());
                    section.problems().add(text.span(), sentence);
                    continue;
                }
            };
            if !seen.insert(host.clone()) {
                section.problems().add(text.span(), format!("host {host:?} is listed twice"));
                continue;
            }
            self.claim_host(section, &text, &host, (service, listeners));
            hosts.push(host);
        }
        hosts
    }

    /// Notes whose a host is. It is one problem however many listeners two services share.
    fn claim_host(
        &mut self,
        section: &Section<'a>,
        text: &Text<'a>,
        host: &str,
        (service, listeners): (&str, &[usize]),
    ) {
        let mut taken = None;
        for &listener in listeners {
            let key = (listener, host.to_owned());
            let owner = self.hosts.entry(key).or_insert_with(|| service.to_owned());
            if owner != service && taken.is_none() {
                taken = Some((listener, owner.clone()));
            }
        }
        if let Some((listener, owner)) = taken {
            let listener = self.listeners.text(listener).map(|name| name.get_ref().as_ref());
            let sentence = format!(
                "host {host:?} is service {owner:?}'s already on listener {:?}",
                listener.unwrap_or_default()
            );
            section.problems().add(text.span(), sentence);
        }
    }

    fn routes(&self, section: &mut Section<'a>) -> Vec<Route> {
        let sections = section.tables("route", "[[service.route]]");
        if sections.as_ref().is_some_and(Vec::is_empty) {
            let sentence = "[[service]] needs at least one [[service.route]]".to_owned();
            section.problems().add(section.span(), sentence);
        }
        let mut seen = BTreeSet::new();
        let mut routes = Vec::new();
        for mut section in sections.unwrap_or_default() {
            let path = section.required("path").and_then(|entry| read_path(&section, entry));
            let upstream = self.upstream(&mut section);
            let access = section.choice("access", Access::Open, &ACCESS);
            if let Some(path) = &path
                && !seen.insert(path.get_ref().clone())
            {
                let (exact, text) = match path.get_ref() {
                    RoutePath::Prefix(text) => ("", text),
                    RoutePath::Exact(text) => ("exact ", text),
                };
                let sentence = format!("{exact}path {text:?} has a route in this service already");
                section.problems().add(path.span(), sentence);
            }
            section.finish();
            routes.extend(path.map(|path| Route { path: path.into_inner(), upstream, access }));
        }
        routes
    }

    fn tcp_listener(&mut self, section: &mut Section<'a>, tcp: &str) -> usize {
        let Some(text) = section.text("listener") else { return 0 };
        let Some(index) = self.listeners.resolve(&text, section) else { return 0 };
        let name = text.get_ref();
        match self.uses.get_mut(index) {
            Some(used @ Use::Nothing) => *used = Use::Tcp(tcp.to_owned()),
            Some(Use::Service(service)) => section.problems().add(
                text.span(),
                format!(
                    "listener {name:?} is used by service {service:?}: it cannot be a tcp's too"
                ),
            ),
            Some(Use::Tcp(other)) => section
                .problems()
                .add(text.span(), format!("listener {name:?} is tcp {other:?}'s already")),
            None => {}
        }
        index
    }

    fn upstream(&self, section: &mut Section<'a>) -> usize {
        let upstream = section.text("upstream");
        upstream.and_then(|text| self.upstreams.resolve(&text, section)).unwrap_or_default()
    }
}

/// `"/a/"` or `{ exact = "/x" }`.
fn read_path<'a>(section: &Section<'a>, entry: Entry<'a>) -> Option<Spanned<RoutePath>> {
    let expected = "a prefix such as \"/a/\" or { exact = \"/x\" }";
    let (text, path): (_, fn(String) -> RoutePath) = match entry.form("a path", expected)? {
        Form::Short(text) => (text, RoutePath::Prefix),
        Form::Long(mut form) => {
            let text = form.text("exact");
            form.finish();
            (text?, RoutePath::Exact)
        }
    };
    if let Some(reason) = path_problem(text.get_ref()) {
        section.problems().add(text.span(), format!("path {:?} {reason}", text.get_ref()));
        return None;
    }
    Some(Spanned::new(text.span(), path(text.into_inner().into_owned())))
}

/// What is wrong with the path of a route; the end of a sentence.
fn path_problem(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        Some("must begin with \"/\"")
    } else if path.len() > PATH_BYTES_MAX {
        Some("is longer than 4096 bytes")
    } else if path.contains(['?', '#']) {
        Some("must end before the query: no \"?\" and no \"#\"")
    } else if path.contains('*') {
        Some("must not have a wildcard: a path is a prefix by itself")
    } else if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some("must be percent-encoded, as in \"/caf%C3%A9\"")
    } else if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        Some("must not have a segment \".\" or \"..\"")
    } else {
        None
    }
}
