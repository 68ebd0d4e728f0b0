//! `gateway.toml`: any text is a gateway that is good, or problems that point into it.
//!
//! Good means that nothing downstream finds a fault: indexes are in range, the routes make a
//! table, and the supervisor reads the same listeners.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_config::gateway::{Gateway, LISTENERS_MAX, RoutePath, parse};
use mainstay_config::{Kind, listeners};
use mainstay_fuzz::lie_inside;
use mainstay_http::{FIELDS_MAX, PathPattern, RouteEntry, RouteId, Routes};

fuzz_target!(|text: &str| {
    let alone = listeners::parse(text);
    if let Err(problems) = &alone {
        lie_inside(problems, text);
    }
    match parse(text) {
        Ok(gateway) => {
            is_good(&gateway);
            assert_eq!(alone.as_ref(), Ok(&gateway.listeners));
            assert_eq!(Kind::recognise(text), Ok(Kind::Gateway));
            assert_eq!(Kind::Gateway.problems(text), []);
        }
        Err(problems) => {
            lie_inside(&problems, text);
            assert_eq!(Kind::Gateway.problems(text), problems);
        }
    }
});

fn is_good(gateway: &Gateway) {
    let Gateway { listeners, upstreams, services, tcp, limits, .. } = gateway;
    assert!((1..=LISTENERS_MAX).contains(&listeners.len()));
    assert!(upstreams.iter().all(|upstream| !upstream.servers.is_empty()));
    assert!(limits.target_bytes <= limits.head_bytes && limits.fields <= FIELDS_MAX);

    // By services, or by exactly one tunnel.
    for index in 0..listeners.len() {
        let services = services.iter().filter(|service| service.listeners.contains(&index)).count();
        let tunnels = tcp.iter().filter(|tcp| tcp.listener == index).count();
        assert!(matches!((services, tunnels), (1.., 0) | (0, 1)), "{services} {tunnels}");
    }
    let targets = services.iter().flat_map(|service| &service.routes).map(|route| route.upstream);
    for upstream in targets.chain(tcp.iter().map(|tcp| tcp.upstream)) {
        assert!(upstream < upstreams.len());
    }

    // As the data path does it.
    let (mut entries, mut id) = (Vec::new(), 0);
    for service in services {
        assert!(!service.listeners.is_empty() && !service.hosts.is_empty());
        assert!(!service.routes.is_empty());
        for route in &service.routes {
            let path = match &route.path {
                RoutePath::Prefix(path) => PathPattern::Prefix(path),
                RoutePath::Exact(path) => PathPattern::Exact(path),
            };
            for &listener in &service.listeners {
                assert!(listener < listeners.len());
                let entry = |host| RouteEntry { listener, host, path, id: RouteId(id) };
                entries.extend(service.hosts.iter().map(|host| entry(host)));
            }
            id += 1;
        }
    }
    let routes = Routes::build(&entries).expect("the routes of a gateway make a table");
    for entry in entries.iter().filter(|entry| !entry.host.contains('*')) {
        let (PathPattern::Exact(path) | PathPattern::Prefix(path)) = entry.path;
        let found = routes.find(entry.listener, entry.host, path).expect("what is there");
        // An exact path and a prefix may have the same text.
        assert!(found == entry.id || matches!(entry.path, PathPattern::Prefix(_)));
    }
}
