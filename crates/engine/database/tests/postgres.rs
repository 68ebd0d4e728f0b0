//! The suite over PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

use mainstay_database::{Limits, open};
use server::Server;
use suite::World;

mod fleet;
mod outage;
mod server;
mod suite;

whole_suite!(crate::with_world);

pub(crate) fn with_world(test: impl AsyncFnOnce(World)) {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let limits =
            Limits { batch_window: std::time::Duration::from_millis(1), ..Limits::default() };
        let location = server.location();
        let one = open(&location, &limits).await.unwrap();
        let two = open(&location, &limits).await.unwrap();
        test(World { one, two }).await;
    });
}
