//! Working memory of the kernels: taken, used, and given back without being cleared.
//!
//! A training step needs the same buffers as the step before. Asking the allocator for them would
//! clear them anew each time, which costs as much as some of the arithmetic. Must not know what is
//! kept in them.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Buffers that nobody uses, by their length.
static FREE: Mutex<BTreeMap<usize, Vec<Vec<f32>>>> = Mutex::new(BTreeMap::new());

/// Values of unknown content; whoever takes a buffer writes it before reading it.
#[derive(Debug)]
pub struct Buffer {
    values: Vec<f32>,
    length: usize,
}

impl Buffer {
    /// A buffer of `length` values.
    ///
    /// In debug builds the values are NaN, so that reading before writing shows.
    #[must_use]
    pub fn take(length: usize) -> Self {
        let size = rounded(length);
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let reused = free.get_mut(&size).and_then(Vec::pop);
        drop(free);
        let mut values = reused.unwrap_or_else(|| vec![0.0; size]);
        if cfg!(any(test, debug_assertions)) {
            values.fill(f32::NAN);
        }
        Self { values, length }
    }

    /// A buffer of zeros.
    #[must_use]
    pub fn zeros(length: usize) -> Self {
        let mut buffer = Self::take(length);
        buffer.fill(0.0);
        buffer
    }

    /// A buffer with the same values.
    #[must_use]
    pub fn copied(&self) -> Self {
        let mut copy = Self::take(self.length);
        copy.copy_from_slice(self);
        copy
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(values: Vec<f32>) -> Self {
        let length = values.len();
        Self { values, length }
    }
}

/// The next of eight sizes between two powers of two: ragged batches would otherwise leave a
/// buffer of every length behind.
fn rounded(length: usize) -> usize {
    let step = (length.next_power_of_two() / 16).max(64);
    length.next_multiple_of(step)
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.entry(values.len()).or_default().push(values);
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_has_its_length_and_unknown_content() {
        for length in [0, 1, 63, 64, 65, 1000, 4097] {
            let mut buffer = Buffer::take(length);
            assert_eq!(buffer.len(), length);
            assert!(buffer.iter().all(|value| value.is_nan()));
            buffer.fill(1.0);
            assert!(Buffer::zeros(length).iter().all(|&value| value == 0.0));
        }
    }

    #[test]
    fn sizes_waste_at_most_an_eighth() {
        for length in [1024, 1025, 5000, 70_000, 1_000_001] {
            let size = rounded(length);
            assert!(size >= length && size <= length + length / 8 + 64, "{length}: {size}");
        }
    }
}
