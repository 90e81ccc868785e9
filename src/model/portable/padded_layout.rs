//! Sequences of unequal lengths side by side in squares, as attention wants them, and back in the
//! rows of a ragged batch.
//!
//! Sequences of similar lengths share a square, so that what is added at their ends stays less
//! than half of it. Everything else works on the ragged rows and computes nothing in vain.

use burn::tensor::{Bool, Device, FloatDType, Int, Tensor, TensorData};

use super::int_tensor;

/// Where the rows of a ragged batch lie in its squares.
#[derive(Debug)]
pub struct PaddedLayout {
    pub batches: Vec<PaddedBatch>,
    /// Place of each ragged row among the rows of all squares; none if they lie in that order.
    ragged_order: Option<Tensor<1, Int>>,
}

/// Sequences side by side; the shorter ones are filled up behind their end.
#[derive(Debug)]
pub struct PaddedBatch {
    /// B: sequences.
    pub sequences: usize,
    /// T: tokens of the longest.
    pub length: usize,
    /// The ragged row of each place, \[B T\]; none if they lie in that order.
    ragged_rows: Option<Tensor<1, Int>>,
    /// 1 where a place is taken and 0 where it was filled up, \[B T, 1\]; none if all are taken.
    token_mask: Option<Tensor<2>>,
    /// True where a query must not see a key, because it is later or too early, \[T, T\].
    pub causal_mask: Tensor<2, Bool>,
}

impl PaddedLayout {
    /// Where sequences of these lengths lie; a query sees at most `window` tokens, if there is one.
    pub fn new(
        lengths: &[usize],
        window: Option<usize>,
        precision: FloatDType,
        device: &Device,
    ) -> Self {
        let starts: Vec<usize> = lengths
            .iter()
            .scan(0, |end, &length| {
                *end += length;
                Some(*end - length)
            })
            .collect();
        let groups = group_by_length(lengths);
        let mut back = vec![0; lengths.iter().sum()];
        let mut place = 0;
        let squares = groups
            .iter()
            .map(|group| {
                let length = group
                    .iter()
                    .map(|&sequence| lengths[sequence])
                    .max()
                    .unwrap_or(0);
                for &sequence in group {
                    for at in 0..lengths[sequence] {
                        back[starts[sequence] + at] = place + at;
                    }
                    place += length;
                }
                padded_batch(group, lengths, &starts, length, window, precision, device)
            })
            .collect();
        let in_order =
            back.iter().enumerate().all(|(row, &place)| row == place) && place == back.len();
        Self {
            batches: squares,
            ragged_order: (!in_order).then(|| int_tensor(back, device)),
        }
    }

    /// Rows \[N, P\] of the batch as those of one square, \[B, T, P\]; what fills up is of no use.
    pub fn pad(square: &PaddedBatch, rows: &Tensor<2>) -> Tensor<3> {
        let rows = match &square.ragged_rows {
            Some(places) => rows.clone().select(0, places.clone()),
            None => rows.clone(),
        };
        let width = rows.dims()[1];
        rows.reshape([square.sequences, square.length, width])
    }

    /// As [`PaddedLayout::pad`], with 0 in what fills up.
    pub fn pad_with_zeros(square: &PaddedBatch, rows: &Tensor<2>) -> Tensor<3> {
        let spread = Self::pad(square, rows);
        match &square.token_mask {
            Some(taken) => spread * taken.clone().reshape([square.sequences, square.length, 1]),
            None => spread,
        }
    }

    /// The squares' rows \[B, T, P\], in the squares' order, as rows \[N, P\] of the batch.
    pub fn unpad(&self, squares: Vec<Tensor<3>>) -> Tensor<2> {
        let mut flat: Vec<Tensor<2>> = squares
            .into_iter()
            .map(|square| square.flatten(0, 1))
            .collect();
        let all = if flat.len() == 1 {
            flat.remove(0)
        } else {
            Tensor::cat(flat, 0)
        };
        match &self.ragged_order {
            Some(back) => all.select(0, back.clone()),
            None => all,
        }
    }
}

/// Sequences in groups of similar length, longest first; all in order where they are equal.
fn group_by_length(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&sequence| std::cmp::Reverse(lengths[sequence]));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for sequence in order {
        match groups.last_mut() {
            Some(group) if 2 * lengths[sequence] >= lengths[group[0]] => group.push(sequence),
            _ => groups.push(vec![sequence]),
        }
    }
    groups
}

/// Mask of the keys that a query must not see, \[T, T\].
fn causal_mask(length: usize, window: Option<usize>, device: &Device) -> Tensor<2, Bool> {
    let later = Tensor::<2, Bool>::tril_mask([length, length], 0, device);
    match window {
        Some(window) if window < length => {
            // True above a diagonal: the mask of everything at or below the first hidden key.
            let early = Tensor::<2, Bool>::triu_mask([length, length], 1 - window as i64, device);
            later.bool_or(early)
        }
        _ => later,
    }
}

fn padded_batch(
    group: &[usize],
    lengths: &[usize],
    starts: &[usize],
    length: usize,
    window: Option<usize>,
    precision: FloatDType,
    device: &Device,
) -> PaddedBatch {
    let places = group.len() * length;
    let mut rows = Vec::with_capacity(places);
    let mut taken = Vec::with_capacity(places);
    let whole = group.iter().all(|&sequence| lengths[sequence] == length);
    for &sequence in group {
        for at in 0..length {
            let is_taken = at < lengths[sequence];
            rows.push(starts[sequence] + if is_taken { at } else { 0 });
            taken.push(f32::from(u8::from(is_taken)));
        }
    }
    let in_order =
        lengths.len() == group.len() && rows.iter().enumerate().all(|(place, &row)| place == row);
    PaddedBatch {
        sequences: group.len(),
        length,
        ragged_rows: (!in_order).then(|| int_tensor(rows, device)),
        token_mask: (!whole).then(|| {
            Tensor::<2>::from_data(TensorData::new(taken, [places, 1]), device).cast(precision)
        }),
        causal_mask: causal_mask(length, window, device),
    }
}
