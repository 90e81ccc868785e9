//! Working memory of the kernels: taken, used, and given back without being cleared.
//!
//! A training step needs the same buffers as the step before. Asking the allocator for them would
//! clear them each time, which costs as much as some of the arithmetic. They begin at cache lines,
//! where the allocator's memory does not.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use bytemuck::{Pod, Zeroable};

/// Buffers that nobody uses, by their length.
static FREE_LINES: Mutex<BTreeMap<usize, Vec<Vec<CacheLine>>>> = Mutex::new(BTreeMap::new());

/// Values of a cache line, at the beginning of one: a vector that lies across two is loaded twice.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C, align(64))]
struct CacheLine([f32; LINE_VALUES]);

/// Values of a cache line.
const LINE_VALUES: usize = 16;

/// Values of unknown content; write a buffer before you read it.
#[derive(Debug)]
pub struct PooledBuffer {
    lines: Vec<CacheLine>,
    length: usize,
}

impl PooledBuffer {
    /// A buffer of `length` values.
    ///
    /// In debug builds the values are NaN, so that reading before writing shows.
    #[must_use]
    pub fn acquire(length: usize) -> Self {
        let size = line_count(length);
        let mut free = FREE_LINES.lock().unwrap_or_else(PoisonError::into_inner);
        let reused = free.get_mut(&size).and_then(Vec::pop);
        drop(free);
        let mut lines = reused.unwrap_or_else(|| vec![CacheLine([0.0; LINE_VALUES]); size]);
        if cfg!(any(test, debug_assertions)) {
            lines.fill(CacheLine([f32::NAN; LINE_VALUES]));
        }
        Self { lines, length }
    }

    /// A buffer of zeros.
    #[must_use]
    pub fn zeros(length: usize) -> Self {
        let mut buffer = Self::acquire(length);
        buffer.fill(0.0);
        buffer
    }

    /// A buffer with the same values.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::from(&**self)
    }
}

impl From<&[f32]> for PooledBuffer {
    fn from(values: &[f32]) -> Self {
        let mut buffer = Self::acquire(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

/// Gives the memory of unused buffers back to the allocator.
pub fn release_unused() {
    FREE_LINES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clear();
}

/// Lines for `length` values: the next of eight sizes between two powers of two, since ragged batches
/// would otherwise leave a buffer of every length behind.
fn line_count(length: usize) -> usize {
    let step = (length.next_power_of_two() / 16).max(64);
    length.next_multiple_of(step) / LINE_VALUES
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let mut free = FREE_LINES.lock().unwrap_or_else(PoisonError::into_inner);
        free.entry(lines.len()).or_default().push(lines);
    }
}

impl Deref for PooledBuffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.length]
    }
}

impl DerefMut for PooledBuffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_begins_a_cache_line_and_has_its_length_and_unknown_content() {
        for length in [0, 1, 63, 64, 65, 1000, 4097] {
            let mut buffer = PooledBuffer::acquire(length);
            assert_eq!(buffer.len(), length);
            assert!(
                buffer.as_ptr().addr().is_multiple_of(64),
                "vectors would lie across cache lines"
            );
            assert!(buffer.iter().all(|value| value.is_nan()));
            buffer.fill(1.0);
            assert!(
                PooledBuffer::zeros(length)
                    .iter()
                    .all(|&value| value == 0.0)
            );
        }
    }

    #[test]
    fn sizes_waste_at_most_an_eighth() {
        for length in [1024, 1025, 5000, 70_000, 1_000_001] {
            let size = line_count(length) * LINE_VALUES;
            assert!(
                size >= length && size <= length + length / 8 + 64,
                "{length}: {size}"
            );
        }
    }
}
