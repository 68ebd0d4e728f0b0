//! Traffic straight to the origin: a client that complains here complains about itself.

use super::*;

fn plan() -> Plan {
    Plan {
        transfer_bytes: 300_000,
        transfer_time: Duration::from_millis(200),
        idle: 4,
        idle_time: Duration::from_millis(100),
        threads: 1,
    }
}

#[test]
fn every_kind_of_traffic_is_content_with_a_proxy_that_does_nothing() {
    let origin = Origin::start().unwrap();
    let (http, tcp) = (origin.http(), Some(origin.tcp()));
    let target = Target { name: "origin".to_owned(), http, tcp, trailers: Trailers::Passed };
    let traffic = Traffic::start(plan(), &[target], &Luck::new(1));
    let all_seen = |report: &Report| Kind::ALL.iter().all(|k| report.kinds.contains_key(k));
    let recorder = Arc::clone(traffic.recorder());
    wait::until("traffic of every kind", Duration::from_secs(50), || {
        all_seen(&recorder.report(&origin)).then_some(())
    })
    .unwrap();
    let report = traffic.stop(&origin);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_closed_idle_connection_is_noticed() {
    let origin = Origin::start().unwrap();
    let (http, trailers) = (origin.http(), Trailers::Passed);
    let target = Target { name: "origin".to_owned(), http, tcp: None, trailers };
    let plan = Plan { idle_time: Duration::from_secs(1000), ..plan() };
    let traffic = Traffic::start_kinds(&[Kind::Idle], plan, &[target], &Luck::new(1));
    let recorder = Arc::clone(traffic.recorder());
    let wait = |name: &str, enough: &dyn Fn(&Report) -> bool| {
        wait::until(name, Duration::from_secs(10), || {
            enough(&recorder.report(&origin)).then_some(())
        })
        .unwrap();
    };
    wait("four connections", &|report| report.total().done >= 4);
    origin.close_connections();
    wait("four closes", &|report| report.total().closed >= 4);
    traffic.stop(&origin);
}
