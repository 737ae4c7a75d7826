//! What runs where. Tasks share a few threads and serve many, so they touch no disk: debug builds
//! see to that. What waits for the disk has threads of its own.

#![allow(clippy::disallowed_methods, reason = "this is where tasks begin")]

use std::future::Future;

use ottla_storage::serving;
use tokio::task::JoinHandle;

/// Starts a task.
pub fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(served(task))
}

/// The same future, watched that it touches no disk.
#[cfg(debug_assertions)]
pub fn served<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |context| serving::serving(|| future.as_mut().poll(context)))
}

/// The same future.
#[cfg(not(debug_assertions))]
pub fn served<F: Future>(future: F) -> impl Future<Output = F::Output> {
    future
}

/// Does what may wait for the disk on a thread that is there for it; `inline` at once, as a
/// simulation must. `None`: the runtime is going down, and nobody knows how much of it was done.
pub async fn blocking<T, F>(inline: bool, act: F) -> Option<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let act = move || serving::blocking(act);
    if inline {
        return Some(act());
    }
    match tokio::task::spawn_blocking(act).await {
        Ok(done) => Some(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => None,
        },
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::path::Path;

    use ottla_storage::Disk;
    use ottla_storage::sim::SimDisk;

    use super::*;

    #[tokio::test]
    async fn a_task_that_touches_the_disk_is_found_out() {
        let touch = || SimDisk::new(1).exists(Path::new("/f"));
        assert!(spawn(async move { touch() }).await.is_err());
        for inline in [true, false] {
            let done = spawn(async move { blocking(inline, touch).await }).await;
            assert_eq!(done.expect("it may"), Some(false));
        }
    }
}
