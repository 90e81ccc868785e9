//! What the fused kernels need (`model/ops`, `model/backprop.rs`), in 32 bits throughout.

use super::{Footprint, MOMENTS, Model, SINGLE, Work};
use crate::model::decode::ROWS;
use crate::model::generate::ROWS as PLACES;
use crate::model::kept::BUDGET;
use crate::model::ops::cache::LANES;
use crate::model::ops::head::tile;
use crate::model::ops::shards::groups;

pub fn footprint(model: &Model<'_>, work: &Work) -> Footprint {
    match work {
        Work::Sampling {
            sequences,
            prompt,
            answer,
        } => sampling(model, *sequences, prompt + answer),
        Work::Training {
            sequences,
            length,
            has_reference,
            ..
        } => {
            let found = training(model, *sequences, *length);
            let reference = if *has_reference { model.weights() } else { 0 };
            Footprint {
                copies: found.copies + reference as u64,
                ..found
            }
        }
    }
}

fn sampling(model: &Model<'_>, sequences: usize, length: usize) -> Footprint {
    let (config, threads) = (model.config, model.numbers.threads);
    let places = sequences.div_ceil(threads).min(PLACES);
    let sequence = length.next_multiple_of(LANES) * config.layers * model.remembered() * SINGLE;
    // What the last call and this one finished is kept for the next turn, within a budget each.
    let kept = 2 * BUDGET.min(sequences * sequence);
    let packed = config.queries_width() + 2 * config.keys_width();
    // [x, normed, packed rows, mixed ones, gates and ups, their product]
    let row = 2 * config.width + packed + config.queries_width() + 3 * config.hidden;
    let rows = ROWS.min(places * length);
    Footprint {
        weights: model.weights() as u64,
        copies: (shared_head(model) * SINGLE) as u64,
        activations: (threads * rows * row * SINGLE) as u64,
        cache: (threads * places * sequence + kept) as u64,
        logits: (threads * (places + 1) * model.vocabulary * SINGLE) as u64,
        ..Footprint::default()
    }
}

fn training(model: &Model<'_>, sequences: usize, length: usize) -> Footprint {
    let parameters = model.parameters();
    let groups = groups(&vec![length; sequences], parameters);
    let at_once = model.numbers.threads.min(groups.len());
    let shards = groups.iter().flatten();
    let largest = shards.map(|shard| shard.sequences.len()).max().unwrap_or(0);
    // Matrices are there transposed during a step.
    let turned = model.config.layers * model.block() + model.head() + shared_head(model);
    let tile = tile(model.vocabulary, largest * length);
    Footprint {
        weights: model.weights() as u64,
        copies: (turned * SINGLE) as u64,
        gradients: (groups.len() * parameters * SINGLE) as u64,
        moments: (MOMENTS * parameters * SINGLE) as u64,
        activations: (at_once * shard(model, largest, length) * SINGLE) as u64,
        cache: 0,
        logits: (at_once * tile * model.vocabulary * SINGLE) as u64,
    }
}

/// Values of a head that shares the embedding's: it is laid out once more.
const fn shared_head(model: &Model<'_>) -> usize {
    if model.config.tied {
        model.embedding()
    } else {
        0
    }
}

/// Values that a shard keeps of all blocks, and what one of them makes on the way back.
fn shard(model: &Model<'_>, sequences: usize, length: usize) -> usize {
    let config = model.config;
    let (rows, packed) = (
        sequences * length,
        config.queries_width() + 2 * config.keys_width(),
    );
    let scores = sequences * length * length.next_multiple_of(LANES) * config.heads;
    // [input, middle, two norms, turned rows, mixed ones, gates and ups, probabilities]
    let row = 2 * config.width + 2 + packed + config.queries_width() + 2 * config.hidden;
    let kept = config.layers * (rows * row + scores);
    // [x, its gradient, gated, its gradient, that of gates and ups, normed, its gradient]
    kept + rows * (4 * config.width + 4 * config.hidden)
}
