//! One whole cluster at a time: tests of one binary run in threads, and two clusters on two cores only make each other late.

use std::fs::File;
use std::path::Path;

/// The turn of one test; the next one's begins when this is dropped.
pub(crate) struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits until no other test of this build, in whatever process, has its turn.
    pub(crate) async fn wait() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("process-tests.lock");
        let lock = tokio::task::spawn_blocking(move || {
            let lock = File::create(path).unwrap();
            lock.lock().unwrap();
            lock
        });
        Self {
            _lock: lock.await.unwrap(),
        }
    }
}
