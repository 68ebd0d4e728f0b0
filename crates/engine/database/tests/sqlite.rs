//! The suite over SQLite.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

use mainstay_database::{Limits, Location, open};
use suite::World;

mod suite;

whole_suite!(crate::with_world);

pub(crate) fn with_world(test: impl AsyncFnOnce(World)) {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::File(directory.path().join("fleet.db"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let limits =
            Limits { batch_window: std::time::Duration::from_millis(1), ..Limits::default() };
        let one = open(&location, &limits).await.unwrap();
        let two = open(&location, &limits).await.unwrap();
        test(World { one, two }).await;
    });
}
