//! A controller of the tests' own, on a thread of its own: it outlives the runtime of the test that was first.

use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;
use tokio::{runtime, select};

/// A running controller; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Background {
    ending: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts one.
    pub(crate) fn start<F>(name: &str, work: F) -> Self
    where
        F: AsyncFnOnce() + Send + 'static,
    {
        let (ending, ended) = oneshot::channel();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let runtime =
                    runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
                runtime.block_on(async move {
                    select! {
                        () = work() => {}
                        _ = ended => {}
                    }
                });
            })
            .expect("a thread can be started");
        Self { ending: Some(ending), thread: Some(thread) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(ending) = self.ending.take() {
            ending.send(()).unwrap_or_default();
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
