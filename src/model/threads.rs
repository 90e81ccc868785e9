//! How many threads one process may use, and independent pieces of work on them.
//!
//! What is computed never depends on the number of threads: work is cut in the same pieces, and
//! their results are put together in the same order, whoever does them. Must not know what the
//! work is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// The threads of a process; clones share one number, which may change at any time.
#[derive(Clone, Debug)]
pub struct Threads(Arc<SharedPool>);

#[derive(Debug)]
struct SharedPool {
    thread_count: AtomicUsize,
    pool: Mutex<Option<Arc<ThreadPool>>>,
}

impl Default for Threads {
    /// One thread: the caller's own.
    fn default() -> Self {
        Self::new(1)
    }
}

impl Threads {
    /// `count` threads; at least one.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self(Arc::new(SharedPool {
            thread_count: AtomicUsize::new(count.max(1)),
            pool: Mutex::new(None),
        }))
    }

    /// How many threads work from now on.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.thread_count.load(Ordering::Relaxed)
    }

    /// Changes the number of threads for work that begins after this; at least one.
    pub fn set_count(&self, count: usize) {
        self.0.thread_count.store(count.max(1), Ordering::Relaxed);
    }

    /// Does `work` on every task, and returns when all are done.
    ///
    /// # Panics
    /// If `work` does.
    pub fn for_each<T: Send>(&self, tasks: Vec<T>, work: impl Fn(T) + Send + Sync) {
        match self.pool() {
            Some(pool) if tasks.len() > 1 => pool.scope_fifo(|scope| {
                let work = &work;
                for task in tasks {
                    scope.spawn_fifo(move |_| work(task));
                }
            }),
            _ => tasks.into_iter().for_each(work),
        }
    }

    /// The pool of as many threads as are wanted; none for one thread, or if the system refuses
    /// more threads.
    fn pool(&self) -> Option<Arc<ThreadPool>> {
        let count = self.count();
        if count == 1 {
            return None;
        }
        let mut pool = self.0.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool
            .as_ref()
            .is_none_or(|pool| pool.current_num_threads() != count)
        {
            *pool = ThreadPoolBuilder::new()
                .num_threads(count)
                .build()
                .ok()
                .map(Arc::new);
        }
        pool.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once_on_any_number_of_threads() {
        for count in [0, 1, 2, 3] {
            let threads = Threads::new(count);
            let mut done = [0; 17];
            threads.for_each(done.iter_mut().enumerate().collect(), |(i, slot)| {
                *slot += i + 1;
            });
            assert_eq!(done.to_vec(), (1..=17).collect::<Vec<_>>());
        }
    }

    #[test]
    fn clones_share_their_number() {
        let threads = Threads::default();
        let clone = threads.clone();
        clone.set_count(2);
        assert_eq!(threads.count(), 2);
        clone.set_count(0);
        assert_eq!(threads.count(), 1);
    }
}
