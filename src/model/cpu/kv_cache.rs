//! Keys and values of one sequence, in blocks of 16 positions that copies of the sequence share.
//!
//! Responsible for where a position's keys and values lie, and for who owns them: a block that
//! several sequences hold is copied when one of them writes into it, so that samples of one prompt,
//! and the turns of one dialogue, keep their common beginning once. Must not know how attention
//! is computed.

use std::sync::Arc;

use super::AttentionHeads;

/// Positions in a block; a multiple of every vector width.
pub const LANES: usize = 16;

/// Keys and values of one sequence in every layer; clones share their common blocks. A block holds, for each layer in turn, keys
/// \[K, S, 16\] (a vector of positions at a time) and values \[16, K S\] (a position at a time).
#[derive(Clone, Debug)]
pub struct KvCache {
    blocks: Vec<Arc<[f32]>>,
    layers: usize,
    width: usize,
    filled: usize,
}

impl KvCache {
    /// An empty cache for `layers` layers.
    #[must_use]
    pub fn new(heads: &AttentionHeads, layers: usize) -> Self {
        Self {
            blocks: Vec::new(),
            layers,
            width: heads.kv_heads * heads.head_size,
            filled: 0,
        }
    }

    /// Positions filled so far.
    #[must_use]
    pub const fn token_count(&self) -> usize {
        self.filled
    }

    /// Bytes that it holds, alone or with others.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.blocks.len() * self.block_values() * size_of::<f32>()
    }

    /// The first `length` positions, shared with this cache.
    ///
    /// # Panics
    /// If fewer are filled.
    #[must_use]
    pub fn prefix(&self, length: usize) -> Self {
        assert!(
            length <= self.filled,
            "a cache of {} positions has no {length}",
            self.filled
        );
        let blocks = self.blocks[..length.div_ceil(LANES)].to_vec();
        Self {
            blocks,
            filled: length,
            ..*self
        }
    }

    /// Makes room for `count` positions after those filled.
    pub fn reserve(&mut self, count: usize) {
        let wanted = (self.filled + count).div_ceil(LANES);
        while self.blocks.len() < wanted {
            self.blocks
                .push(std::iter::repeat_n(0.0, self.block_values()).collect());
        }
    }

    /// Counts `count` positions as filled: every layer has stored them.
    ///
    /// # Panics
    /// If there is no room for them.
    pub fn commit(&mut self, count: usize) {
        self.filled += count;
        assert!(
            self.filled <= self.blocks.len() * LANES,
            "no room was made for {count} positions"
        );
    }

    /// Writes the keys and values of one position, K S values each.
    ///
    /// # Panics
    /// If no room was made for it.
    pub(super) fn store(&mut self, layer: usize, position: usize, keys: &[f32], values: &[f32]) {
        let (from, part) = (layer * 2 * self.width * LANES, self.width * LANES);
        let block = &mut Arc::make_mut(&mut self.blocks[position / LANES])[from..from + 2 * part];
        let (all_keys, all_values) = block.split_at_mut(part);
        let lane = position % LANES;
        for (place, key) in all_keys.chunks_exact_mut(LANES).zip(keys) {
            place[lane] = *key;
        }
        all_values[lane * self.width..][..self.width].copy_from_slice(values);
    }

    /// Keys and values of one block of one layer.
    #[expect(
        clippy::inline_always,
        reason = "callers are compiled once per instruction set, and so must this be"
    )]
    #[inline(always)]
    pub(super) fn keys_and_values(&self, layer: usize, block: usize) -> (&[f32], &[f32]) {
        let (from, part) = (layer * 2 * self.width * LANES, self.width * LANES);
        self.blocks[block][from..from + 2 * part].split_at(part)
    }

    /// Values in a block.
    const fn block_values(&self) -> usize {
        self.layers * 2 * self.width * LANES
    }
}
