//! Keys and values of sequences that are being written, side by side on the device.
//!
//! All sequences end in the same column, whatever their lengths: a step writes one column, and a
//! sequence is known by the column where it starts. Room is added in blocks of columns.

use std::collections::VecDeque;

use burn::tensor::{Bool, FloatDType, Tensor, TensorData};

use crate::model::cpu::AttentionHeads;

/// Columns that are added at a time.
pub const COLUMN_BLOCK: usize = 64;

/// Keys and values of every layer, \[R, K, columns, S\] each; between steps the first layer is in front.
#[derive(Clone, Debug)]
pub struct BatchKvCache {
    layers: VecDeque<[Tensor<4>; 2]>,
    /// The first column of each sequence.
    pub starts: Vec<usize>,
    /// Columns that are filled.
    pub filled: usize,
}

impl BatchKvCache {
    /// What a prefill left: keys and values of every layer \[R, K, T, S\], where sequence `r`
    /// stands in the first `lengths[r]` columns.
    pub fn new(layers: Vec<[Tensor<4>; 2]>, lengths: &[usize]) -> Self {
        let filled = lengths.iter().copied().max().unwrap_or(0);
        let starts = lengths.iter().map(|length| filled - length).collect();
        Self {
            layers: layers.into(),
            starts,
            filled,
        }
    }

    /// Number of sequences.
    pub fn sequence_count(&self) -> usize {
        self.starts.len()
    }

    /// Columns that there is room for.
    pub fn column_capacity(&self) -> usize {
        self.layers.front().map_or(0, |[keys, _]| keys.dims()[2])
    }

    /// Position of the token that is written next, of each sequence.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.starts.iter().map(|start| self.filled - start)
    }

    /// Makes room for one more column.
    pub fn reserve(&mut self) {
        if self.filled == self.column_capacity() {
            let front = self.starts.iter().copied().min().unwrap_or(0);
            self.resize_columns(0, front, COLUMN_BLOCK);
        }
    }

    /// True where a sequence has no token that the next one sees, \[R, K, H / K, columns\].
    pub fn hidden_mask(&self, heads: &AttentionHeads, window: Option<usize>) -> Tensor<4, Bool> {
        let (columns, filled) = (self.column_capacity(), self.filled);
        let earliest = window.map_or(0, |window| (filled + 1).saturating_sub(window));
        let empty: Vec<bool> = self
            .starts
            .iter()
            .flat_map(|&start| {
                let first = start.max(earliest);
                (0..columns).map(move |column| column < first || column > filled)
            })
            .collect();
        let device = self.layers[0][0].device();
        let mask = Tensor::<4, Bool>::from_data(
            TensorData::new(empty, [self.sequence_count(), 1, 1, columns]),
            &device,
        );
        mask.expand([
            self.sequence_count(),
            heads.kv_heads,
            heads.query_heads / heads.kv_heads,
            columns,
        ])
    }

    /// Writes the next column of the layer whose turn it is, \[R, K, 1, S\] each, and gives all that
    /// is written there. The layer is taken out meanwhile: what nobody else holds is written in place.
    ///
    /// # Panics
    /// If there are no layers.
    pub fn write(&mut self, next: [Tensor<4>; 2]) -> [Tensor<4>; 2] {
        let at = self.filled;
        let [keys, values] = next;
        let [all_keys, all_values] = self.layers.pop_front().expect("a model has a layer");
        let (keys, values) = (
            write_column(all_keys, at, keys),
            write_column(all_values, at, values),
        );
        self.layers.push_back([keys.clone(), values.clone()]);
        [keys, values]
    }

    /// Keeps the sequences at these places, in this order; a place may come more than once.
    pub fn select(&mut self, places: &[usize]) {
        let device = self.layers[0][0].device();
        let chosen = super::int_tensor(places.iter().copied(), &device);
        for pair in &mut self.layers {
            *pair = pair.clone().map(|tensor| tensor.select(0, chosen.clone()));
        }
        self.starts = places.iter().map(|&place| self.starts[place]).collect();
    }

    /// Puts the sequences of another cache behind its own.
    pub fn append(&mut self, mut other: Self) {
        let filled = self.filled.max(other.filled);
        for cache in [&mut *self, &mut other] {
            cache.resize_columns(filled - cache.filled, 0, 0);
        }
        let columns = self.column_capacity().max(other.column_capacity());
        for cache in [&mut *self, &mut other] {
            cache.resize_columns(0, 0, columns - cache.column_capacity());
        }
        for (mine, others) in self.layers.iter_mut().zip(other.layers) {
            let both = mine
                .clone()
                .into_iter()
                .zip(others)
                .map(|(a, b)| Tensor::cat(vec![a, b], 0));
            *mine = <[Tensor<4>; 2]>::try_from(both.collect::<Vec<_>>()).expect("keys and values");
        }
        self.starts.extend(other.starts);
    }

    /// Adds columns in front, takes columns away there, and adds columns at the end.
    fn resize_columns(&mut self, front: usize, drop: usize, end: usize) {
        if front + drop + end == 0 {
            return;
        }
        for pair in &mut self.layers {
            *pair = pair.clone().map(|tensor| {
                let columns = tensor.dims()[2];
                let kept = if drop > 0 {
                    tensor.slice_dim(2, drop..columns)
                } else {
                    tensor
                };
                let parts = [zeros(&kept, front), Some(kept.clone()), zeros(&kept, end)]
                    .into_iter()
                    .flatten();
                Tensor::cat(parts.collect(), 2)
            });
        }
        self.filled = self.filled + front - drop;
        for start in &mut self.starts {
            *start = *start + front - drop;
        }
    }
}

/// Puts one column in its place among all.
fn write_column(all: Tensor<4>, at: usize, next: Tensor<4>) -> Tensor<4> {
    let [rows, heads, _, size] = next.dims();
    all.slice_assign([0..rows, 0..heads, at..at + 1, 0..size], next)
}

/// Makes columns of zeros; none for a count of 0.
fn zeros(like: &Tensor<4>, columns: usize) -> Option<Tensor<4>> {
    if columns == 0 {
        return None;
    }
    let [rows, heads, _, size] = like.dims();
    let zeros = Tensor::<4>::zeros([rows, heads, columns, size], &like.device());
    Some(zeros.cast(FloatDType::from(like.dtype())))
}
