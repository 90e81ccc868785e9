//! What the fused kernels need (`model/ops`, `model/backprop.rs`), in 32 bits throughout.

use super::{F32_BYTES, Footprint, MOMENTS_PER_PARAMETER, ModelSizes, Workload};
use crate::model::cpu::batch_shards::shard_groups;
use crate::model::cpu::head::tile_rows;
use crate::model::cpu::kv_cache::LANES;
use crate::model::decode::MAX_PASS_ROWS;
use crate::model::generate::MAX_ROWS as PLACES;
use crate::model::prefix_cache::BUDGET;

pub fn footprint(model: &ModelSizes<'_>, work: &Workload) -> Footprint {
    match work {
        Workload::Sampling {
            sequences,
            prompt,
            answer,
        } => sampling_footprint(model, *sequences, prompt + answer),
        Workload::Training {
            sequences,
            length,
            has_reference,
            ..
        } => {
            let found = training_footprint(model, *sequences, *length);
            let reference = if *has_reference {
                model.weight_bytes()
            } else {
                0
            };
            Footprint {
                copies: found.copies + reference as u64,
                ..found
            }
        }
    }
}

fn sampling_footprint(model: &ModelSizes<'_>, sequences: usize, length: usize) -> Footprint {
    let (config, threads) = (model.config, model.format.threads);
    let places = sequences.div_ceil(threads).min(PLACES);
    let sequence =
        length.next_multiple_of(LANES) * config.layers * model.kv_values_per_position() * F32_BYTES;
    // What the last call and this one finished is kept for the next turn, within a budget each.
    let kept = 2 * BUDGET.min(sequences * sequence);
    let packed = config.query_width() + 2 * config.key_width();
    // [x, normed, packed rows, mixed ones, gates and ups, their product]
    let row = 2 * config.width + packed + config.query_width() + 3 * config.hidden;
    let rows = MAX_PASS_ROWS.min(places * length);
    Footprint {
        weights: model.weight_bytes() as u64,
        copies: (tied_head_values(model) * F32_BYTES) as u64,
        activations: (threads * rows * row * F32_BYTES) as u64,
        cache: (threads * places * sequence + kept) as u64,
        logits: (threads * (places + 1) * model.vocabulary * F32_BYTES) as u64,
        ..Footprint::default()
    }
}

fn training_footprint(model: &ModelSizes<'_>, sequences: usize, length: usize) -> Footprint {
    let parameters = model.parameter_count();
    let groups = shard_groups(&vec![length; sequences], parameters);
    let at_once = model.format.threads.min(groups.len());
    let shards = groups.iter().flatten();
    let largest = shards.map(|shard| shard.sequences.len()).max().unwrap_or(0);
    // Matrices are there transposed during a step.
    let turned =
        model.config.layers * model.block_values() + model.head_values() + tied_head_values(model);
    let tile = tile_rows(model.vocabulary, largest * length);
    Footprint {
        weights: model.weight_bytes() as u64,
        copies: (turned * F32_BYTES) as u64,
        gradients: (groups.len() * parameters * F32_BYTES) as u64,
        moments: (MOMENTS_PER_PARAMETER * parameters * F32_BYTES) as u64,
        activations: (at_once * shard_values(model, largest, length) * F32_BYTES) as u64,
        cache: 0,
        logits: (at_once * tile * model.vocabulary * F32_BYTES) as u64,
    }
}

/// Values of a head that shares the embedding's: it is laid out once more.
const fn tied_head_values(model: &ModelSizes<'_>) -> usize {
    if model.config.tied {
        model.embedding_values()
    } else {
        0
    }
}

/// Values that a shard keeps of all blocks, and what one of them makes on the way back.
fn shard_values(model: &ModelSizes<'_>, sequences: usize, length: usize) -> usize {
    let config = model.config;
    let (rows, packed) = (
        sequences * length,
        config.query_width() + 2 * config.key_width(),
    );
    let scores = sequences * length * length.next_multiple_of(LANES) * config.heads;
    // [input, middle, two norms, turned rows, mixed ones, gates and ups, probabilities]
    let row = 2 * config.width + 2 + packed + config.query_width() + 2 * config.hidden;
    let kept = config.layers * (rows * row + scores);
    // [x, its gradient, gated, its gradient, that of gates and ups, normed, its gradient]
    kept + rows * (4 * config.width + 4 * config.hidden)
}
