//! Downloads and uploads that last long enough to live through many kills, with every byte
//! compared and the digests of both ends at the end.

use std::time::Instant;

use super::exchange::{expect_ok, expect_text};
use super::{Job, Pace, Trailers};
use crate::client::{Client, Framing, request};
use crate::origin::ID_FIELD;
use crate::pattern::{Check, PIECE_BYTES, Sum};
use crate::report::Kind;
use crate::socket::Broken;

/// One download, read no faster than planned, so that all buffers on the way are full.
pub(super) fn download(job: &mut Job) -> Result<(), Broken> {
    let (start, pace, stop) = (Instant::now(), Pace::new(&job.plan), job.stop.clone());
    let (n, seed) = (job.plan.transfer_bytes, job.luck.draw());
    let path = if job.kind == Kind::ChunkedDownload { "/chunked" } else { "/bytes" };
    "connecting for a download".clone_into(&mut job.doing);
    let mut client = Client::connect(job.target.http)?;
    client.send(&request("GET", &format!("{path}?n={n}&seed={seed}"), &[]))?;
    job.doing = format!("head of a download with seed {seed}");
    let head = client.final_head()?;
    if head.status != 200 {
        return Err(head.unexpected());
    }
    let mut check = Check::new(seed);
    let trailers = client.body(&head, &mut |piece| {
        check.feed(piece)?;
        pace.keep(&stop, check.sum().bytes());
        Ok(())
    });
    job.doing = format!("download with seed {seed}, after {} bytes", check.sum().bytes());
    let trailers = trailers?;
    check.complete(n)?;
    if job.kind == Kind::ChunkedDownload && job.target.trailers == Trailers::Passed {
        expect_text(trailers.first("x-sum").unwrap_or_default(), &check.sum().line())?;
    }
    job.done(n, start);
    Ok(())
}

/// One upload, sent no faster than planned.
pub(super) fn upload(job: &mut Job) -> Result<(), Broken> {
    let (start, pace, stop) = (Instant::now(), Pace::new(&job.plan), job.stop.clone());
    let (n, seed, id) = (job.plan.transfer_bytes, job.luck.draw(), job.next_id());
    let framing = if job.kind == Kind::ChunkedUpload { Framing::Chunked } else { Framing::Length };
    "connecting for an upload".clone_into(&mut job.doing);
    let mut client = Client::connect(job.target.http)?;
    job.recorder.sent(id.clone());
    client.start_upload("/echo", (framing, n), &[(ID_FIELD, &id)])?;
    let (mut sent, mut luck) = (0, job.luck.fork(seed));
    let uploaded = client.upload((framing, n), seed, |at| {
        sent = at;
        pace.keep(&stop, at);
        usize::try_from(luck.between(1..PIECE_BYTES as u64)).unwrap()
    });
    job.doing = format!("upload with seed {seed}, id {id}, after {sent} bytes");
    uploaded?;
    let response = client.response("POST")?;
    expect_ok(&response)?;
    expect_text(response.text().trim(), &Sum::of_pattern(seed, n))?;
    job.done(n, start);
    Ok(())
}
