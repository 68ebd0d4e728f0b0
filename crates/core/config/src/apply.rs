//! `[apply]`: how a configuration proves itself on its way into service, and for how long it is
//! watched afterwards.
//!
//! A configuration speaks for itself: what it says here is used to put it into service.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::entry::{Entry, Text};
use crate::hostname;
use crate::names::Names;
use crate::problem::{Problem, Problems};
use crate::scalar::{Percent, show_duration};
use crate::section::Section;
use crate::services::{self, Service};

/// Most probes of a configuration: they are served one after the other, while an operator waits.
pub const PROBES_MAX: usize = 64;

/// How long all probes of a configuration may take together.
pub const PROBING_MAX: Duration = Duration::from_secs(60);

/// Longest path of a probe.
const PATH_BYTES_MAX: usize = 1024;

/// How long a watch may last. Zero: it is confirmed at once.
pub const CONFIRMS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);
const PROBE_TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);
const STATUSES: RangeInclusive<u16> = 200..=599;
const LEAST: RangeInclusive<u64> = 1..=1_000_000;
const SHARES: RangeInclusive<Percent> = Percent::new(0)..=Percent::new(100);

/// How a configuration is put into service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apply {
    pub watch: Watch,
    /// What it must answer before it serves; at most [`PROBES_MAX`].
    pub probes: Vec<Probe>,
}

/// The time after the swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// How long it lasts.
    pub confirm: Duration,
    /// The share of responses with a status of 500 or more, beyond that of the time before the
    /// swap, from which on the former configuration is better.
    pub failures: Percent,
    /// Fewer responses than this are not judged.
    pub failures_least: u64,
}

/// A request that a configuration must answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Index of a service.
    pub service: usize,
    /// A host of that service.
    pub host: String,
    /// Begins with `/`.
    pub path: String,
    /// The status that proves it.
    pub expect: u16,
    pub timeout: Duration,
}

/// Reads the watch and nothing else.
pub fn parse_watch(text: &str) -> Result<Watch, Vec<Problem>> {
    let problems = Problems::default();
    let mut file = Section::file(text, "gateway.toml", &problems)?;
    let watch = read_watch(&mut file.table("apply", "[apply]"));
    problems.check(watch)
}

pub(crate) fn read(file: &mut Section<'_>, names: &Names<'_>, services: &[Service]) -> Apply {
    let mut section = file.table("apply", "[apply]");
    let watch = read_watch(&mut section);
    let probes = section.optional("probes").and_then(Entry::array).unwrap_or_default();
    if let Some(first) = probes.first()
        && probes.len() > PROBES_MAX
    {
        let sentence = format!("there are {} probes, and may be {PROBES_MAX}", probes.len());
        section.problems().add(first.span(), sentence);
    }
    let mut read = Vec::new();
    let mut together = Duration::ZERO;
    for entry in probes {
        let span = entry.span();
        let was = together;
        let Some(probe) =
            entry.table("a probe").and_then(|probe| read_probe(probe, names, services))
        else {
            continue;
        };
        together += probe.timeout;
        if was <= PROBING_MAX && together > PROBING_MAX {
            let sentence = format!(
                "the timeouts of the probes up to this one add up to {}, and may be {}",
                show_duration(together),
                show_duration(PROBING_MAX)
            );
            section.problems().add(span, sentence);
        }
        read.push(probe);
    }
    section.finish();
    Apply { watch, probes: read }
}

fn read_watch(section: &mut Section<'_>) -> Watch {
    let percent = section.placed("failures", Percent::new(5), |entry| entry.percent(&SHARES));
    Watch {
        confirm: section.duration("confirm", Duration::from_secs(10), &CONFIRMS),
        failures: percent.map_or(Percent::new(5), toml::Spanned::into_inner),
        failures_least: section.integer("failures_least", 20, &LEAST),
    }
}

fn read_probe(mut section: Section<'_>, names: &Names<'_>, services: &[Service]) -> Option<Probe> {
    let service = section.text("service").and_then(|name| names.resolve(&name, &section));
    let host = section.optional("host").and_then(Entry::text);
    let path = section.text("path");
    let expect = section.integer("expect", 200, &STATUSES);
    let timeout = section.duration("timeout", Duration::from_secs(2), &PROBE_TIMEOUTS);
    if let Some(path) = &path {
        check_path(path, &section);
    }
    let service_index = service?;
    let host = match host {
        Some(host) => {
            check_host(&host, service_index, services, &section);
            host.get_ref().to_string()
        }
        None => default_host(service_index, services, &section)?,
    };
    section.finish();
    Some(Probe { service: service_index, host, path: path?.get_ref().to_string(), expect, timeout })
}

fn check_path(path: &Text<'_>, section: &Section<'_>) {
    let text = path.get_ref();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !text.starts_with('/') || !is_plain || text.len() > PATH_BYTES_MAX {
        let sentence = format!(
            "path {text:?} must begin with '/' and be at most {PATH_BYTES_MAX} visible ASCII characters"
        );
        section.problems().add(path.span(), sentence);
    }
}

/// A host that a client could ask the service for.
fn check_host(host: &Text<'_>, service: usize, services: &[Service], section: &Section<'_>) {
    let text = host.get_ref();
    let sentence = match hostname::read_host(text) {
        Err(error) => format!("host {text:?} {error}"),
        Ok(name) => match services::asked(services, service, &name) {
            Some(found) if found == service => return,
            Some(found) => {
                let found = services.get(found).map_or("", |service| service.name.as_str());
                format!("host {text:?} is service {found:?}'s")
            }
            None => format!("host {text:?} is no host of this service"),
        },
    };
    section.problems().add(host.span(), sentence);
}

/// The first host of the service; of a wildcard, one below it that no other service has.
fn default_host(service: usize, services: &[Service], section: &Section<'_>) -> Option<String> {
    let hosts = &services.get(service)?.hosts;
    let own = hosts
        .iter()
        .map(|pattern| pattern.replacen('*', "probe", 1))
        .find(|host| services::asked(services, service, host) == Some(service));
    // Without hosts there is another problem already.
    if own.is_none() && !hosts.is_empty() {
        let sentence = "this probe needs the key \"host\": what its service's wildcards would \
                        choose is another service's";
        section.problems().add(section.span(), sentence.to_owned());
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway;

    const BASE: &str = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:1\"\n\
        [[upstream]]\nname = \"up\"\nservers = [\"127.0.0.1:2\"]\n\
        [[service]]\nname = \"shop\"\nlisteners = [\"web\"]\nhosts = [\"*.shop.example\"]\n\
        [[service.route]]\npath = \"/\"\nupstream = \"up\"\n[apply]\n";

    #[test]
    fn what_is_not_said_has_a_default() {
        let gateway = gateway::parse(BASE).unwrap();
        let watch = Watch {
            confirm: Duration::from_secs(10),
            failures: Percent::new(5),
            failures_least: 20,
        };
        assert_eq!(gateway.apply, Apply { watch, probes: Vec::new() });
    }

    #[test]
    fn a_probe_asks_a_host_of_its_service() {
        let text = format!(
            "{BASE}confirm = \"0s\"\nfailures = \"0%\"\nfailures_least = 1\n\
             probes = [{{ service = \"shop\", path = \"/healthz\" }}, \
             {{ service = \"shop\", path = \"/a?b\", host = \"x.shop.example\", expect = 401, timeout = \"1s\" }}]\n"
        );
        let apply = gateway::parse(&text).unwrap().apply;
        assert_eq!(parse_watch(&text).unwrap(), apply.watch);
        assert_eq!(apply.watch.confirm, Duration::ZERO);
        let [one, two] = &apply.probes[..] else { panic!("two probes, not {apply:?}") };
        assert_eq!(
            (&*one.host, one.expect, one.timeout),
            ("probe.shop.example", 200, Duration::from_secs(2))
        );
        assert_eq!(
            (&*two.host, two.expect, two.timeout),
            ("x.shop.example", 401, Duration::from_secs(1))
        );
    }

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        let mut said = String::new();
        for end in [
            "probes = [{ service = \"shpo\", path = \"/\" }]",
            "probes = [{ service = \"shop\" }]",
            "probes = [{ service = \"shop\", path = \"x\" }]",
            "probes = [{ service = \"shop\", path = \"/\", expect = 99 }]",
            "probes = [{ service = \"shop\", path = \"/\", expects = 200 }]",
            "probes = [{ service = \"shop\", path = \"/\", host = \"a b\" }]",
            "probes = [{ service = \"shop\", path = \"/\", host = \"*\" }]",
            "probes = [{ service = \"shop\", path = \"/\", host = \"shop.example\" }]",
            "confirm = \"2h\"",
            "failures = \"101%\"",
        ] {
            let text = format!("{BASE}{end}\n");
            for problem in gateway::parse(&text).unwrap_err() {
                said.push_str(&problem.locate("f".as_ref(), &text));
                said.push('\n');
            }
        }
        insta::assert_snapshot!(said, @r#"
        f:15:23: there is no service "shpo"; did you mean "shop"?
        f:15:11: a probe needs the key "path"
        f:15:38: path "x" must begin with '/' and be at most 1024 visible ASCII characters
        f:15:52: "expect" must be from 200 to 599, not 99
        f:15:43: "expects" is not a key of a probe; did you mean "expect"?
        f:15:50: host "a b" has a character that no host name has
        f:15:50: host "*" must be a name, without a wildcard
        f:15:50: host "shop.example" is no host of this service
        f:15:11: "confirm" must be from 0ms to 1h, not "2h"
        f:15:12: "failures" must be from 0% to 100%, not "101%"
        "#);
    }

    fn problems_of(text: &str) -> Vec<String> {
        let problems = gateway::parse(text).unwrap_err();
        problems.into_iter().map(|problem| problem.locate("f".as_ref(), text)).collect()
    }

    #[test]
    fn the_host_of_a_probe_is_its_services_alone() {
        let service = |name: &str, hosts: &str| {
            format!(
                "[[service]]\nname = \"{name}\"\nlisteners = [\"web\"]\nhosts = {hosts}\n\
                 [[service.route]]\npath = \"/\"\nupstream = \"up\"\n"
            )
        };
        let probe = |end: &str| {
            let others = service("other", r#"["probe.shop.example", "*.deep.shop.example"]"#)
                + &service("any", r#"["*"]"#);
            let (before, _) = BASE.split_once("[apply]").unwrap();
            format!("{before}{others}[apply]\nprobes = [{{ path = \"/\", {end} }}]\n")
        };
        let served = |end: &str| gateway::parse(&probe(end)).unwrap().apply.probes[0].host.clone();
        // The host that a wildcard would choose is the other's.
        assert_eq!(
            problems_of(&probe(r#"service = "shop""#)),
            ["f:29:11: this probe needs the key \"host\": what its service's wildcards would \
              choose is another service's"]
        );
        assert_eq!(
            problems_of(&probe(r#"service = "shop", host = "a.deep.shop.example""#)),
            ["f:29:50: host \"a.deep.shop.example\" is service \"other\"'s"]
        );
        assert_eq!(
            served(r#"service = "shop", host = "A.Shop.Example:8080""#),
            "A.Shop.Example:8080"
        );
        assert_eq!(served(r#"service = "any", host = "[::1]:8080""#), "[::1]:8080");
        assert_eq!(served(r#"service = "any""#), "probe");
        assert_eq!(served(r#"service = "other""#), "probe.shop.example");
    }

    #[test]
    fn all_probes_together_have_a_limit() {
        let probe = "{ service = \"shop\", path = \"/\", timeout = \"10s\" }, ";
        let text = |count| format!("{BASE}probes = [{}]\n", probe.repeat(count));
        assert_eq!(gateway::parse(&text(6)).unwrap().apply.probes.len(), 6);
        let column = 11 + 6 * probe.len();
        assert_eq!(
            problems_of(&text(8)),
            [format!(
                "f:15:{column}: the timeouts of the probes up to this one add up to 70s, and may be 1m"
            )]
        );
    }
}
