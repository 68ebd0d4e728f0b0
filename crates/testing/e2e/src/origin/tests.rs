//! The origin without anything before it: what the other tests take for granted.

use super::*;
use crate::client::{Client, Framing, request};
use crate::pattern::{Pattern, Sum};
use crate::socket::Broken;
use crate::websocket::{WebSocket, opcode};

#[test]
fn every_framing_carries_the_same_bytes() -> Result<(), Broken> {
    let origin = Origin::start()?;
    let mut client = Client::connect(origin.http())?;
    let expected = Pattern::bytes(5, 200_000);
    for path in ["/bytes", "/chunked", "/until-close"] {
        let response = client.get(&format!("{path}?n=200000&seed=5"))?;
        assert_eq!(response.head.status, 200);
        assert!(response.body == expected, "{path}");
        if path == "/chunked" {
            assert_eq!(response.trailers.first("x-sum"), Some(&*Sum::of_pattern(5, 200_000)));
        }
    }
    Ok(())
}

#[test]
fn an_upload_is_counted_once_and_its_digest_returned() -> Result<(), Broken> {
    let origin = Origin::start()?;
    let mut client = Client::connect(origin.http())?;
    for (framing, id) in [(Framing::Length, "first"), (Framing::Chunked, "second")] {
        client.start_upload("/echo", (framing, 100_000), &[(ID_FIELD, id)])?;
        assert_eq!(origin.executed(id), 0);
        client.upload((framing, 100_000), 8, |_| 7_000)?;
        let response = client.response("POST")?;
        assert_eq!(response.text().trim(), Sum::of_pattern(8, 100_000));
        assert_eq!(origin.executed(id), 1);
    }
    assert!(origin.executed_twice().is_empty());
    Ok(())
}

#[test]
fn pipelined_requests_are_answered_in_order() -> Result<(), Broken> {
    let origin = Origin::start()?;
    origin.record_bytes();
    let mut client = Client::connect(origin.http())?;
    let batch: Vec<u8> =
        (1..=8).flat_map(|n| request("GET", &format!("/bytes?n={n}&seed={n}"), &[])).collect();
    client.send(&batch)?;
    for n in 1..=8 {
        assert_eq!(client.response("GET")?.body, Pattern::bytes(n, usize::try_from(n).unwrap()));
    }
    assert_eq!(origin.received(), [batch]);
    Ok(())
}

#[test]
fn a_held_request_is_answered_when_it_is_released() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let mut client = Client::connect(origin.http())?;
    client.send(&request("GET", "/hold?key=a", &[]))?;
    origin.wait_held("a", 1)?;
    origin.release("a");
    assert_eq!(client.response("GET")?.text(), "released\n");
    Ok(())
}

#[test]
fn an_early_answer_comes_before_the_body() -> Result<(), Broken> {
    let origin = Origin::start()?;
    for then in ["drain", "close"] {
        let mut client = Client::connect(origin.http())?;
        client.start_upload(&format!("/early?then={then}"), (Framing::Length, 10), &[])?;
        assert_eq!(client.response("POST")?.text(), "enough\n");
        client.send(b"0123456789")?;
        client.socket().expect_end()?;
    }
    Ok(())
}

#[test]
fn a_websocket_echoes_and_counts() -> Result<(), Broken> {
    let origin = Origin::start()?;
    let mut socket = WebSocket::connect(origin.http(), "/ws")?;
    let mut sum = Sum::default();
    for size in [0, 1, 125, 126, 65_535, 65_536] {
        let message = Pattern::bytes(3, size);
        sum.add(&message);
        socket.send(opcode::BINARY, message.clone())?;
        assert!(socket.receive()?.payload == message, "{size}");
    }
    socket.send(opcode::TEXT, b"sum".to_vec())?;
    assert_eq!(socket.receive()?.payload, sum.line().into_bytes());
    socket.close()
}

#[test]
fn the_tcp_port_echoes_bytes_and_their_end() -> Result<(), Broken> {
    let origin = Origin::start()?;
    let mut socket = Socket::connect(origin.tcp())?;
    socket.send(b"over and out")?;
    socket.finish()?;
    let mut echo = [0; 12];
    socket.take_exact(&mut echo)?;
    assert_eq!(&echo, b"over and out");
    socket.expect_end()
}
