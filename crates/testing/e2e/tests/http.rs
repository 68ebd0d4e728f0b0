//! HTTP as it is on the wire, through the real gateway: what a client sends, what the origin
//! gets, and what comes back. Nobody dies here.

use std::net::TcpListener;
use std::time::Duration;

use mainstay_e2e::client::{Client, Framing, request};
use mainstay_e2e::gateway::Accept;
use mainstay_e2e::http::{read_body, write_chunk};
use mainstay_e2e::pattern::{Pattern, Sum};
use mainstay_e2e::socket::Socket;
use mainstay_e2e::websocket::{WebSocket, opcode};
use mainstay_e2e::{Broken, Gateway, Origin, Setup};

/// An origin and a gateway in front of it.
struct Scene {
    origin: Origin,
    gateway: Gateway,
}

impl Scene {
    fn start() -> anyhow::Result<Self> {
        Self::with(|setup| setup)
    }

    fn with(change: impl Fn(Setup) -> Setup) -> anyhow::Result<Self> {
        let origin = Origin::start()?;
        let gateway = Gateway::start(&change(Setup::pair(&origin, Accept::Active)))?;
        Ok(Self { origin, gateway })
    }

    fn connect(&self) -> Result<Client, Broken> {
        Client::connect(self.gateway.address("web"))
    }

    fn tunnel(&self) -> Result<Socket, Broken> {
        Socket::connect(self.gateway.address("tunnel"))
    }
}

#[test]
fn one_connection_carries_many_requests_in_every_framing() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let mut client = scene.connect()?;
    for n in [0, 1, 1023, 65_536, 300_000] {
        let expected = Pattern::bytes(5, n);
        for path in ["/bytes", "/chunked"] {
            let response = client.get(&format!("{path}?n={n}&seed=5"))?;
            assert_eq!(response.head.status, 200);
            assert!(response.body == expected, "{path}, {n} bytes");
        }
        for framing in [Framing::Length, Framing::Chunked] {
            client.start_upload("/echo", (framing, n as u64), &[])?;
            client.upload((framing, n as u64), 6, |_| 10_000)?;
            let response = client.response("POST")?;
            assert_eq!(response.text().trim(), Sum::of_pattern(6, n as u64), "{framing:?}");
        }
    }
    Ok(())
}

#[test]
fn a_response_that_its_connection_ends_ends_the_clients_too() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    for n in [0, 1, 300_000] {
        let mut client = scene.connect()?;
        let response = client.get(&format!("/until-close?n={n}&seed=5"))?;
        assert!(response.body == Pattern::bytes(5, n), "{n} bytes");
        client.socket().expect_end()?;
    }
    Ok(())
}

#[test]
fn trailers_pass_in_both_directions() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let mut client = scene.connect()?;
    let response = client.get("/chunked?n=5000&seed=2&piece=100")?;
    assert_eq!(response.trailers.first("x-sum"), Some(&*Sum::of_pattern(2, 5000)));

    client.start_upload("/echo", (Framing::Chunked, 0), &[("Trailer", "X-Colour")])?;
    let mut wire = Vec::new();
    write_chunk(&mut wire, b"grass");
    wire.extend_from_slice(b"0\r\nX-Colour: green\r\n\r\n");
    client.send(&wire)?;
    let response = client.response("POST")?;
    let passed = response.head.fields.first("x-trailers").unwrap_or_default();
    assert_eq!(passed.to_lowercase(), "x-colour: green");
    Ok(())
}

#[test]
fn a_client_that_expects_100_gets_it_before_it_sends_the_body() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let mut client = scene.connect()?;
    for framing in [Framing::Length, Framing::Chunked] {
        client.start_upload("/echo", (framing, 1000), &[("Expect", "100-continue")])?;
        assert_eq!(client.head()?.status, 100, "{framing:?}");
        client.upload((framing, 1000), 1, |_| 300)?;
        assert_eq!(client.head()?.status, 200, "{framing:?}");
        let mut body = Vec::new();
        read_exactly(&mut client, &mut body, Sum::of_pattern(1, 1000).len() + 1)?;
        assert_eq!(String::from_utf8_lossy(&body).trim(), Sum::of_pattern(1, 1000));
    }
    Ok(())
}

fn read_exactly(client: &mut Client, into: &mut Vec<u8>, n: usize) -> Result<(), Broken> {
    into.resize(n, 0);
    client.socket().take_exact(into)
}

#[test]
fn interim_responses_reach_the_client() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let mut client = scene.connect()?;
    client.send(&request("GET", "/hints", &[]))?;
    let hints = client.head()?;
    assert_eq!(hints.status, 103);
    assert_eq!(hints.fields.first("link"), Some("</style.css>"));
    assert_eq!(client.response("GET")?.text(), "hinted\n");
    Ok(())
}

#[test]
fn responses_without_a_body_leave_the_connection_usable() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let mut client = scene.connect()?;
    for path in ["/small", "/chunked?n=10", "/status?code=404"] {
        client.send(&request("HEAD", path, &[]))?;
        assert!(client.response("HEAD")?.body.is_empty(), "{path}");
    }
    client.send(&request("HEAD", "/small", &[]))?;
    assert_eq!(client.response("HEAD")?.head.fields.first("content-length"), Some("1024"));
    for code in [204, 304] {
        let response = client.get(&format!("/status?code={code}"))?;
        assert_eq!(response.head.status, code);
        assert!(response.body.is_empty());
        assert_eq!(response.head.fields.first("transfer-encoding"), None);
    }
    assert_eq!(client.get("/small")?.body.len(), 1024);
    Ok(())
}

#[test]
fn pipelined_requests_are_answered_in_order() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let mut client = scene.connect()?;
    let sizes: Vec<usize> = (0..30).map(|n| n * n * 37).collect();
    let wire: Vec<u8> = sizes
        .iter()
        .flat_map(|n| {
            let mut wire = request("GET", &format!("/bytes?n={n}&seed={n}"), &[]);
            wire.extend(request("POST", "/echo", &[("Content-Length", "5")]));
            wire.extend_from_slice(b"hello");
            wire
        })
        .collect();
    client.send(&wire)?;
    for n in sizes {
        assert!(client.response("GET")?.body == Pattern::bytes(n as u64, n), "{n} bytes");
        assert!(client.response("POST")?.text().ends_with(" 5\n"));
    }
    Ok(())
}

#[test]
fn a_request_may_come_byte_by_byte() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let mut client = scene.connect()?;
    let mut wire = request("POST", "/echo", &[("Transfer-Encoding", "chunked")]);
    write_chunk(&mut wire, b"slowly");
    write_chunk(&mut wire, b"but surely");
    wire.extend_from_slice(b"0\r\n\r\n");
    for byte in wire {
        client.send(&[byte])?;
    }
    assert!(client.response("POST")?.text().ends_with(" 16\n"));
    Ok(())
}

#[test]
fn a_websocket_passes_in_both_directions() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let mut socket = WebSocket::connect(scene.gateway.address("web"), "/ws")?;
    for size in [0, 125, 126, 65_536, 200_000] {
        let message = Pattern::bytes(1, size);
        socket.send(opcode::BINARY, message.clone())?;
        assert!(socket.receive()?.payload == message, "{size} bytes");
    }
    socket.send(opcode::PING, b"there?".to_vec())?;
    assert_eq!(socket.receive()?.opcode(), opcode::PONG);
    socket.close()?;
    Ok(())
}

#[test]
fn an_upgrade_that_is_not_taken_leaves_the_connection_as_it_was() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let mut client = scene.connect()?;
    let fields = [("Connection", "Upgrade"), ("Upgrade", "other/1")];
    client.send(&request("GET", "/small", &fields))?;
    assert_eq!(client.response("GET")?.head.status, 200);
    assert_eq!(client.get("/small")?.head.status, 200);
    Ok(())
}

#[test]
fn a_client_that_ended_its_side_still_gets_its_answer() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let mut client = scene.connect()?;
    client.send(&request("GET", "/slow?n=5000&seed=4&pause_ms=20", &[]))?;
    client.socket().finish()?;
    assert!(client.response("GET")?.body == Pattern::bytes(4, 5000));
    client.socket().expect_end()?;
    Ok(())
}

#[test]
fn each_direction_of_a_tunnel_ends_by_itself() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let mut tunnel = scene.tunnel()?;
    let message = Pattern::bytes(1, 100_000);
    let mut echo = vec![0; message.len()];
    tunnel.send(&message)?;
    tunnel.finish()?;
    tunnel.take_exact(&mut echo)?;
    assert!(echo == message);
    tunnel.expect_end()?;
    Ok(())
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    for then in ["close", "drain"] {
        for framing in [Framing::Length, Framing::Chunked] {
            let mut client = scene.connect()?;
            let target = format!("/early?then={then}");
            client.start_upload(&target, (framing, 10_000_000), &[])?;
            client.send(b"400\r\n")?;
            assert_eq!(client.response("POST")?.text(), "enough\n", "{then}, {framing:?}");
        }
    }
    Ok(())
}

#[test]
fn the_origin_learns_who_asked_and_nothing_that_a_client_made_up() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let mut client = scene.connect()?;
    let fields = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("Forwarded", "for=6.6.6.6"),
        ("Connection", "X-Secret"),
        ("X-Secret", "hop by hop"),
        ("X-Kept", "end to end"),
    ];
    client.send(&request("GET", "/request", &fields))?;
    let response = client.response("GET")?;
    let seen = response.text().to_lowercase();
    for wanted in
        ["host: torture.test", "x-forwarded-for: 127.0.0.1", "x-kept: end to end", "via: "]
    {
        assert!(seen.contains(wanted), "no {wanted} in:\n{seen}");
    }
    for unwanted in ["6.6.6.6", "x-secret"] {
        assert!(!seen.contains(unwanted), "{unwanted} in:\n{seen}");
    }
    Ok(())
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let mut client = scene.connect()?;
    client.send(b"GET /chunked?n=5000&seed=3 HTTP/1.0\r\nHost: torture.test\r\n\r\n")?;
    let response = client.response("GET")?;
    assert_eq!(response.head.fields.first("transfer-encoding"), None);
    assert!(response.body == Pattern::bytes(3, 5000));
    client.socket().expect_end()?;
    Ok(())
}

#[test]
fn a_server_that_is_not_there_is_a_502() -> anyhow::Result<()> {
    // Bound and never listening: connections to it are refused.
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let origin = Origin::start()?;
    let setup = Setup::pair(&origin, Accept::Active).with_http_server(nobody);
    let gateway = Gateway::start(&setup)?;
    let mut client = Client::connect(gateway.address("web"))?;
    assert_eq!(client.get("/small")?.head.status, 502);
    assert_eq!(client.get("/small")?.head.status, 502, "and the connection lives on");
    Ok(())
}

#[test]
fn every_wait_for_a_client_has_its_limit() -> anyhow::Result<()> {
    let scene = Scene::with(|setup| {
        setup
            .with_gateway("timeouts", "request_head", "300ms")
            .with_gateway("timeouts", "keepalive", "300ms")
            .with_gateway("timeouts", "client_read", "300ms")
    })?;
    let mut silent = scene.connect()?;
    silent.get("/small")?;
    silent.socket().expect_end()?;

    let mut slow = scene.connect()?;
    slow.send(b"GET /small HT")?;
    expect_status_or_end(&mut slow, 408)?;

    let mut stuck = scene.connect()?;
    stuck.start_upload("/echo", (Framing::Length, 100), &[])?;
    stuck.send(b"the first of them")?;
    expect_status_or_end(&mut stuck, 408)?;
    Ok(())
}

/// A server that lost patience may say so, and must end the connection either way.
fn expect_status_or_end(client: &mut Client, status: u16) -> Result<(), Broken> {
    match client.response("GET") {
        Ok(response) if response.head.status == status => client.socket().expect_end(),
        Ok(response) => Err(response.head.unexpected()),
        Err(Broken::Closed) => Ok(()),
        Err(broken) => Err(broken),
    }
}

#[test]
fn a_server_that_does_not_answer_is_a_504() -> anyhow::Result<()> {
    let scene = Scene::with(|setup| setup.with_gateway("timeouts", "response_head", "300ms"))?;
    let mut client = scene.connect()?;
    assert_eq!(client.get("/hold?key=never")?.head.status, 504);
    Ok(())
}

#[test]
fn a_server_that_dies_in_its_answer_is_not_taken_for_one_that_finished() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    for path in ["/bytes", "/chunked"] {
        let mut client = scene.connect()?;
        client.send(&request("GET", &format!("{path}?n=50000000&seed=1"), &[]))?;
        let head = client.final_head()?;
        let length = head.length("GET")?;
        let (origin, mut seen) = (&scene.origin, 0);
        let body = read_body(client.socket(), length, &mut |piece| {
            if seen == 0 {
                origin.close_connections();
            }
            seen += piece.len();
            Ok(())
        });
        assert!(matches!(body, Err(Broken::Closed | Broken::Reset)), "{path}: {body:?}");
        assert!(seen < 50_000_000, "{path}");
    }
    Ok(())
}

#[test]
fn what_is_too_large_is_refused_by_its_own_status() -> anyhow::Result<()> {
    let scene = Scene::with(|setup| {
        setup
            .with_gateway("limits", "head_bytes", "4KiB")
            .with_gateway("limits", "target_bytes", "1KiB")
            .with_gateway("limits", "body_bytes", "10KiB")
    })?;
    let long = "x".repeat(2000);
    let ask = |target: &str, fields: &[(&str, &str)]| -> Result<u16, Broken> {
        let mut client = scene.connect()?;
        client.send(&request("POST", target, fields))?;
        Ok(client.response("POST")?.head.status)
    };
    assert_eq!(ask(&format!("/{long}"), &[])?, 414);
    assert_eq!(ask("/", &[("A", &long), ("B", &long), ("C", &long)])?, 431);
    assert_eq!(ask("/echo", &[("Content-Length", "10241")])?, 413);

    let mut client = scene.connect()?;
    client.start_upload("/echo", (Framing::Chunked, 0), &[])?;
    let mut wire = Vec::new();
    write_chunk(&mut wire, &[b'x'; 10_241]);
    client.send(&wire)?;
    assert_eq!(client.response("POST")?.head.status, 413);
    Ok(())
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let rows: [(&str, &str); 8] = [
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        ("length and chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("space before the colon", "Content-Length : 5\r\n\r\nhello"),
        ("a folded field", "X-A: 1\r\n  2\r\n\r\n"),
        ("a bare LF", "X-A: 1\nX-B: 2\r\n\r\n"),
        ("a second host", "Host: other.test\r\n\r\n"),
        ("a bad chunk size", "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"),
        ("a control character", "X-A: 1\0\r\n\r\n"),
    ];
    for (name, rest) in rows {
        let mut client = scene.connect()?;
        client.send(format!("POST /echo HTTP/1.1\r\nHost: torture.test\r\n{rest}").as_bytes())?;
        assert_eq!(client.response("POST")?.head.status, 400, "{name}");
        assert!(client.socket().expect_end().is_ok(), "{name}: the connection must end");
    }
    Ok(())
}

#[test]
fn a_held_request_costs_others_nothing() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let mut patient = scene.connect()?;
    patient.send(&request("GET", "/hold?key=a", &[]))?;
    scene.origin.wait_held("a", 1)?;
    let mut other = scene.connect()?;
    for _ in 0..100 {
        other.get("/small")?;
    }
    scene.origin.release("a");
    assert_eq!(patient.response("GET")?.text(), "released\n");
    let quiet = Duration::from_millis(1);
    patient.stream().set_read_timeout(Some(quiet))?;
    assert!(matches!(patient.head(), Err(Broken::TimedOut)), "nothing comes unasked");
    Ok(())
}

#[test]
fn as_many_pipelined_requests_as_fill_every_buffer_are_answered_in_order() -> anyhow::Result<()> {
    const REQUESTS: usize = 8000;
    let scene = Scene::start()?;
    let mut client = scene.connect()?;
    let all: Vec<u8> = (0..REQUESTS).flat_map(|_| request("GET", "/small", &[])).collect();
    client.send(&all)?;
    for number in 0..REQUESTS {
        assert_eq!(client.response("GET")?.head.status, 200, "response {number}");
    }
    Ok(())
}
