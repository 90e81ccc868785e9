//! What the decoder on tensors needs (`model/tensors`).
//!
//! Square brackets in comments are results that are alive together, as their code has them.

use super::{
    F32_BYTES, Footprint, MOMENTS_PER_PARAMETER, ModelSizes, TrainableParams, Workload,
    saved_values_per_block,
};
use crate::model::ExecutionContext;
use crate::model::portable::{COLUMNS, MAX_LOGITS, MAX_PREFILL_TOKENS, max_rows_within};

pub fn footprint(model: &ModelSizes<'_>, work: &Workload) -> Footprint {
    match work {
        Workload::Sampling {
            sequences,
            prompt,
            answer,
        } => sampling_footprint(model, *sequences, *prompt, *answer),
        Workload::Training {
            sequences,
            length,
            trainable: trained,
            has_reference,
        } => {
            let found = training_footprint(model, *sequences, *length, trained);
            let reference = if *has_reference {
                trainable_bytes(model, trained)
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

fn sampling_footprint(
    model: &ModelSizes<'_>,
    sequences: usize,
    prompt: usize,
    answer: usize,
) -> Footprint {
    let (config, numbers) = (model.config, model.format);
    let bytes = numbers.precision.bytes();
    let row = config.layers * (prompt + answer) * model.kv_values_per_position() * bytes;
    let alive = sequences.min(max_rows_within(numbers.activation_budget, row));
    let columns = prompt + answer.next_multiple_of(COLUMNS);
    // A layer is there twice while columns are added to it.
    let cache = (config.layers + 1) * alive * columns * model.kv_values_per_position() * bytes;
    let resident = if numbers.precision == numbers.storage {
        0
    } else {
        model.all_matrix_values() * bytes
    };
    Footprint {
        weights: model.weight_bytes() as u64,
        copies: resident as u64,
        activations: prefill_bytes(
            model,
            alive.min((MAX_PREFILL_TOKENS / prompt.max(1)).max(1)),
            prompt,
        ) as u64,
        cache: cache as u64,
        logits: (alive * logit_bytes(model)) as u64,
        ..Footprint::default()
    }
}

/// Prompts that enter together go through each block in one piece.
fn prefill_bytes(model: &ModelSizes<'_>, sequences: usize, length: usize) -> usize {
    let (config, bytes) = (model.config, model.format.precision.bytes());
    let (rows, scores) = (
        sequences * length,
        sequences * length * length * config.heads,
    );
    let packed = config.query_width() + 2 * config.key_width();
    // [x, normed, packed rows, turned ones, mixed ones]
    let mixing = rows * (2 * config.width + 2 * packed + config.query_width()) * bytes;
    // [x, between, normed, result, gates and ups, both halves, their product]
    let gating = rows * (4 * config.width + 5 * config.hidden) * bytes;
    gating.max(mixing + scores * score_bytes(model))
}

fn training_footprint(
    model: &ModelSizes<'_>,
    sequences: usize,
    length: usize,
    trained: &TrainableParams,
) -> Footprint {
    let (config, numbers) = (model.config, model.format);
    let at_once = (ExecutionContext::MICRO_BATCH_TOKENS / length.max(1)).clamp(1, sequences.max(1));
    let (parameters, largest, adapters) = match trained {
        TrainableParams::All => (model.parameter_count(), model.largest_parameter(), 0),
        TrainableParams::Adapters(lora) => (
            lora.parameter_count(config),
            0,
            lora.parameter_count(config),
        ),
    };
    let rows = at_once * length;
    let cast = if numbers.precision == numbers.storage {
        0
    } else {
        (model.block_values() + model.embedding_values()) * numbers.precision.bytes()
    };
    // A step allocates new gradient sums; the optimizer holds [gradient, step, both moments] of one.
    let passing = backward_bytes(model, at_once, length) + 2 * largest * F32_BYTES;
    let logits = rows.min(MAX_LOGITS / model.vocabulary.max(1)).max(1) * logit_bytes(model);
    let optimizing = (4 * largest * F32_BYTES).saturating_sub(logits);
    Footprint {
        weights: (model.weight_bytes() + adapters * F32_BYTES) as u64,
        copies: cast as u64,
        gradients: (parameters * F32_BYTES) as u64,
        moments: (MOMENTS_PER_PARAMETER * parameters * F32_BYTES) as u64,
        activations: passing.max(optimizing) as u64,
        cache: 0,
        logits: logits as u64,
    }
}

/// Bytes of the parameters that a training moves; a reference shares the others.
fn trainable_bytes(model: &ModelSizes<'_>, trained: &TrainableParams) -> usize {
    match trained {
        TrainableParams::All => model.weight_bytes(),
        TrainableParams::Adapters(lora) => lora.parameter_count(model.config) * F32_BYTES,
    }
}

/// What is kept of all blocks, and what one of them makes on the way back.
fn backward_bytes(model: &ModelSizes<'_>, sequences: usize, length: usize) -> usize {
    let (config, numbers) = (model.config, model.format);
    let (rows, scores) = (
        sequences * length,
        sequences * length * length * config.heads,
    );
    let bytes = numbers.precision.bytes();
    let block = saved_values_per_block(config, rows, scores) * bytes;
    let all = block * config.layers;
    let inputs = rows * config.width * config.layers * bytes;
    let kept = if all <= numbers.activation_budget {
        all
    } else {
        inputs + block
    };
    // [gated, its gradient, three parts of the slope, gradients of gates and ups, one of either]
    let gating = 8 * rows * config.hidden * bytes;
    // [x, its gradient, normed, scaled, along it, result], in 32 bits.
    let norming = 6 * rows * config.width * F32_BYTES;
    kept + norming + gating.max(scores * score_bytes(model))
}

/// Bytes of a score: [as multiplied, masked, softened, its exponential], three of them in 32 bits.
const fn score_bytes(model: &ModelSizes<'_>) -> usize {
    model.format.precision.bytes() + 3 * F32_BYTES
}

/// Bytes of the logits of a row: [as multiplied, log-probabilities, exponentials, gradients].
const fn logit_bytes(model: &ModelSizes<'_>) -> usize {
    model.vocabulary * (model.format.precision.bytes() + 3 * F32_BYTES)
}
