//! The limit of requests per minute, which all worker processes of a store share through a file, and
//! the pause that a server asks for.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How often a waiting thread looks whether it should stop.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The longest wait at a time, in turns; a clock that moves back cannot block a process for ever.
const MAX_QUEUED_REQUESTS: u32 = 10_000;

/// When the next request may go out.
#[derive(Debug)]
pub struct RateLimiter {
    file: PathBuf,
    interval: Option<Duration>,
    blocked_until: Mutex<Instant>,
}

impl RateLimiter {
    /// So many requests a minute at most; `file` holds the time of the next one.
    pub fn new(file: PathBuf, per_minute: Option<u32>) -> Self {
        let gap = per_minute.map(|count| Duration::from_mins(1) / count.max(1));
        Self {
            file,
            interval: gap,
            blocked_until: Mutex::new(Instant::now()),
        }
    }

    /// Lets nobody of this process ask before so much time has passed.
    pub fn block_for(&self, wait: Duration) {
        let mut held = self
            .blocked_until
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *held = (*held).max(Instant::now() + wait);
    }

    /// Waits for one's turn; false if a stop came first.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn acquire(&self, stop: &AtomicBool) -> io::Result<bool> {
        loop {
            let held = *self
                .blocked_until
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if !sleep_unless_stopped(held.saturating_duration_since(Instant::now()), stop) {
                return Ok(false);
            }
            // The server may have named a pause meanwhile.
            if *self
                .blocked_until
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                <= Instant::now()
            {
                break;
            }
        }
        match self.interval {
            None => Ok(true),
            Some(gap) => Ok(sleep_unless_stopped(reserve_slot(&self.file, gap)?, stop)),
        }
    }
}

/// Rests for some time; false if a stop came first.
pub fn sleep_unless_stopped(time: Duration, stop: &AtomicBool) -> bool {
    let end = Instant::now() + time;
    loop {
        if stop.load(Ordering::SeqCst) {
            return false;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(POLL_INTERVAL));
    }
}

/// Takes the next free turn; returns the time until then.
fn reserve_slot(path: &Path, gap: Duration) -> io::Result<Duration> {
    let mut file: File = OpenOptions::new()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(path)?;
    file.lock()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let next = text.trim().parse().map_or(now, Duration::from_micros);
    let mine = if next > now + gap * MAX_QUEUED_REQUESTS {
        now
    } else {
        next.max(now)
    };
    file.set_len(0)?;
    file.rewind()?;
    file.write_all((mine + gap).as_micros().to_string().as_bytes())?;
    Ok(mine.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_a_gap_apart_whoever_takes_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pace");
        // 1,200 a minute are 50 ms apart; two processes would share the file as two paces do.
        let paces = [0, 1].map(|_| RateLimiter::new(file.clone(), Some(1_200)));
        let (begun, stop) = (Instant::now(), AtomicBool::new(false));
        thread::scope(|scope| {
            for pace in &paces {
                scope.spawn(|| (0..4).for_each(|_| assert!(pace.acquire(&stop).unwrap())));
            }
        });
        let taken = begun.elapsed();
        assert!(taken >= Duration::from_millis(350), "8 turns in {taken:?}");
        assert!(taken < Duration::from_secs(3), "8 turns in {taken:?}");
    }

    #[test]
    fn a_time_far_away_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pace");
        std::fs::write(&file, u64::MAX.to_string()).unwrap();
        assert_eq!(
            reserve_slot(&file, Duration::from_millis(1)).unwrap(),
            Duration::ZERO
        );
        std::fs::write(&file, "rubbish").unwrap();
        assert_eq!(
            reserve_slot(&file, Duration::from_millis(1)).unwrap(),
            Duration::ZERO
        );
    }

    #[test]
    fn a_stop_ends_the_waiting() {
        let pace = RateLimiter::new(PathBuf::from("not used"), None);
        pace.block_for(Duration::from_mins(1));
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| pace.acquire(&stop).unwrap());
            stop.store(true, Ordering::SeqCst);
            assert!(!waiting.join().unwrap());
        });
    }
}
