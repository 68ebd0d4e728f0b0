//! Short requests: on one connection, on a connection each, with bodies, and in batches.

use std::time::{Duration, Instant};

use super::Job;
use crate::client::{Client, Framing, Response, request};
use crate::origin::{ID_FIELD, SMALL_BYTES, SMALL_SEED};
use crate::pattern::{Check, Sum};
use crate::report::Kind;
use crate::socket::Broken;

/// GETs on one connection, as long as it lives.
pub(super) fn keep_alive(job: &mut Job) -> Result<(), Broken> {
    let mut client = connect(job)?;
    while job.rest(Duration::from_millis(15)) {
        let start = Instant::now();
        // Every other one is of a random size, so that kills meet answers in every state.
        let (target, seed, n) = if job.luck.between(0..2) == 0 {
            ("/small".to_owned(), SMALL_SEED, SMALL_BYTES)
        } else {
            let (seed, n) = (job.luck.draw(), job.luck.between(0..100_000));
            let path = if job.luck.between(0..2) == 0 { "/bytes" } else { "/chunked" };
            (format!("{path}?n={n}&seed={seed}"), seed, n)
        };
        job.doing = format!("GET {target}");
        let response = client.get(&target)?;
        check(&response, seed, n)?;
        job.done(n, start);
    }
    Ok(())
}

/// One GET on a connection of its own.
pub(super) fn one_shot(job: &mut Job) -> Result<(), Broken> {
    if !job.rest(Duration::from_millis(15)) {
        return Ok(());
    }
    let start = Instant::now();
    let mut client = connect(job)?;
    "one-shot GET /small".clone_into(&mut job.doing);
    let response = client.get_and_close("/small")?;
    check(&response, SMALL_SEED, SMALL_BYTES)?;
    job.done(SMALL_BYTES, start);
    Ok(())
}

/// POSTs on one connection, each with an id that the origin counts.
pub(super) fn post(job: &mut Job) -> Result<(), Broken> {
    let framing = if job.kind == Kind::ChunkedPost { Framing::Chunked } else { Framing::Length };
    let mut client = connect(job)?;
    while job.rest(Duration::from_millis(25)) {
        let start = Instant::now();
        let (id, seed) = (job.next_id(), job.luck.draw());
        let n = if job.luck.between(0..4) == 0 {
            job.luck.between(0..200_000)
        } else {
            job.luck.between(0..2_000)
        };
        job.doing = format!("POST {n} bytes, id {id}");
        job.recorder.sent(id.clone());
        client.start_upload("/echo", (framing, n), &[(ID_FIELD, &id)])?;
        let piece = usize::try_from(job.luck.between(1..30_000)).unwrap();
        client.upload((framing, n), seed, |_| piece)?;
        let response = client.response("POST")?;
        expect_ok(&response)?;
        expect_text(response.text().trim(), &Sum::of_pattern(seed, n))?;
        job.done(n, start);
    }
    Ok(())
}

/// Requests in a batch, and their answers in order.
pub(super) fn pipeline(job: &mut Job) -> Result<(), Broken> {
    const BATCH: usize = 8;
    let mut client = connect(job)?;
    while job.rest(Duration::from_millis(80)) {
        let start = Instant::now();
        let asked: Vec<(u64, u64)> =
            (0..BATCH).map(|_| (job.luck.draw(), job.luck.between(0..8_000))).collect();
        let wire: Vec<u8> = asked
            .iter()
            .flat_map(|(seed, n)| request("GET", &format!("/bytes?n={n}&seed={seed}"), &[]))
            .collect();
        job.doing = format!("sending {BATCH} requests");
        client.send(&wire)?;
        for (place, (seed, n)) in asked.iter().enumerate() {
            job.doing = format!("answer {place} of {BATCH}, {n} bytes");
            check(&client.response("GET")?, *seed, *n)?;
            job.done(*n, start);
        }
    }
    Ok(())
}

fn connect(job: &mut Job) -> Result<Client, Broken> {
    "connecting".clone_into(&mut job.doing);
    Client::connect(job.target.http)
}

/// Whether the answer is 200 with these bytes.
pub(super) fn check(response: &Response, seed: u64, n: u64) -> Result<(), Broken> {
    expect_ok(response)?;
    let mut check = Check::new(seed);
    check.feed(&response.body)?;
    check.complete(n)
}

/// Whether the answer is 200.
pub(super) fn expect_ok(response: &Response) -> Result<(), Broken> {
    if response.head.status == 200 { Ok(()) } else { Err(response.head.unexpected()) }
}

/// Whether the far end saw what this end sent.
pub(super) fn expect_text(found: &str, expected: &str) -> Result<(), Broken> {
    if found == expected {
        return Ok(());
    }
    Err(Broken::WrongAnswer { expected: expected.to_owned(), found: found.to_owned() })
}
