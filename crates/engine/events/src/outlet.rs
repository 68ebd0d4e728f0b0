//! One way out: its queue, and the thread that delivers.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use mainstay_config::alerts::Delivery;
use mainstay_model::Chain;
use mainstay_wire::event::{OutletTally, Record};
use tracing::{info, warn};

use crate::Flushed;
use crate::failure::{DeliveryError, Prospect};
use crate::queue::Queue;

/// Whoever brings records to their receiver.
pub(crate) trait Carrier: Send + 'static {
    /// Most records in one go.
    fn batch_max(&self) -> usize;

    /// Delivers all of them, or none: after an error all are tried again.
    fn deliver(&mut self, records: &[Record]) -> Result<(), DeliveryError>;
}

#[derive(Debug)]
pub(crate) struct Outlet {
    name: &'static str,
    queue: Arc<Queue>,
}

impl Outlet {
    pub(crate) fn start(
        name: &'static str,
        delivery: &Delivery,
        carrier: impl Carrier,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(delivery.queue));
        let ours = Arc::clone(&queue);
        let delivery = delivery.clone();
        // It ends with the process, or when the queue is closed.
        drop(
            thread::Builder::new()
                .name(format!("events-{name}"))
                .spawn(move || run(name, &ours, &delivery, carrier))?,
        );
        Ok(Self { name, queue })
    }

    pub(crate) fn push(&self, record: &Record) {
        self.queue.push(record);
    }

    pub(crate) fn hurry(&self) {
        self.queue.hurry();
    }

    pub(crate) fn flush(&self, until: Instant) -> Flushed {
        self.queue.flush(until)
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn begin_after(&self, number: u64) {
        self.queue.begin_after(number);
    }

    pub(crate) fn done(&self) -> u64 {
        self.queue.done()
    }

    pub(crate) fn tally(&self) -> OutletTally {
        self.queue.tally(self.name)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.queue.close();
    }
}

fn run(name: &'static str, queue: &Queue, delivery: &Delivery, mut carrier: impl Carrier) {
    let mut pause = delivery.retry_min;
    // Each trouble is one line in the log, and one when it is over.
    let mut trouble = false;
    while let Some(records) = queue.next(carrier.batch_max()) {
        match carrier.deliver(&records) {
            Ok(()) => {
                if std::mem::take(&mut trouble) {
                    info!(outlet = name, "events are delivered again");
                }
                pause = delivery.retry_min;
                queue.delivered(&records);
            }
            Err(error) if error.prospect() == Prospect::Never => {
                let count = records.len();
                warn!(outlet = name, count, error = %Chain(&error), "events are refused");
                queue.refused(&records);
            }
            Err(error) => {
                if !std::mem::replace(&mut trouble, true) {
                    warn!(
                        outlet = name, error = %Chain(&error),
                        "events cannot be delivered, they are tried again"
                    );
                }
                queue.failed(pause);
                pause = pause.saturating_mul(2).min(delivery.retry_max);
            }
        }
    }
}
