//! A ledger of a worker that overwrote its own memory: whoever reads it does not panic, and
//! what reads as a record can be carried on.
//!
//! The input is how the ledger is damaged ([`Image::damaged`]), then bytes that the
//! connections go on with.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mainstay_adopt::{Cursors, Known, reconcile};
use mainstay_fuzz::Image;
use mainstay_ledger::{Counter, Observer, Record};

static IMAGE: LazyLock<Image> = LazyLock::new(Image::new);

fuzz_target!(|input: &[u8]| {
    let Some((file, bytes)) = IMAGE.damaged(input) else { return };
    let length = file.bytes().expect("its size");
    let Ok(observer) = Observer::open(&file) else { return };
    observer.state();
    observer.totals();
    for counter in Counter::ALL {
        observer.counter(counter);
    }
    for lane in 0..observer.lanes() {
        observer.heartbeat(lane);
        observer.in_step(lane);
        observer.died_in(lane);
        let touched = observer.slots_touched(lane);
        // Who visits every slot comes to an end.
        assert!(touched <= length / size_of::<Record>(), "{touched} slots in {length} bytes");
        for slot in 0..=touched {
            if let Some(record) = observer.record(lane, slot) {
                carry_on(&record, bytes);
            }
        }
    }
    // An offer may speak of any slot.
    observer.in_step(usize::from(u16::MAX));
    assert_eq!(observer.record(usize::from(u16::MAX), u32::MAX as usize), None);
});

/// What an heir does with a record, as far as it needs no sockets.
fn carry_on(record: &Record, bytes: &[u8]) {
    record.peer.address();
    let exchange = record.exchange;
    if let Ok(passed) = exchange.clone().pass_request(bytes) {
        assert!(passed <= bytes.len());
    }
    if let Ok(passed) = exchange.clone().pass_response(bytes) {
        assert!(passed <= bytes.len());
    }
    let mut output = [0; 16];
    if let Ok((taken, written)) = exchange.clone().decode_response(bytes, &mut output) {
        assert!(taken <= bytes.len() && written <= output.len());
    }
    exchange.clone().client_ended();
    exchange.clone().upstream_ended();
    exchange.next();

    let ahead = |cursors: Cursors, more: u64| {
        Known::Counts(Cursors {
            read: cursors.read.wrapping_add(more),
            written: cursors.written.wrapping_add(more),
        })
    };
    let more = bytes.first().copied().map_or(0, u64::from);
    let mut streams = record.streams;
    let (client, upstream) = (ahead(streams.client, more), ahead(streams.upstream, more));
    if reconcile(&mut streams, client, upstream, |_| u32::MAX).is_err() {
        assert_eq!(streams, record.streams);
    }
}
