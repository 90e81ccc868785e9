//! What the decoder on tensors needs (`model/tensors`).
//!
//! Square brackets in comments are results that are alive together, as their code has them.

use super::{Footprint, MOMENTS, Model, SINGLE, Trained, Work, kept_by_a_block};
use crate::model::Place;
use crate::model::tensors::{COLUMNS, LOGITS, PREFILLED, rows_within};

pub fn footprint(model: &Model<'_>, work: &Work) -> Footprint {
    match work {
        Work::Sampling {
            sequences,
            prompt,
            answer,
        } => sampling(model, *sequences, *prompt, *answer),
        Work::Training {
            sequences,
            length,
            trained,
            has_reference,
        } => {
            let found = training(model, *sequences, *length, trained);
            let reference = if *has_reference {
                moved(model, trained)
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

fn sampling(model: &Model<'_>, sequences: usize, prompt: usize, answer: usize) -> Footprint {
    let (config, numbers) = (model.config, model.numbers);
    let bytes = numbers.precision.bytes();
    let row = config.layers * (prompt + answer) * model.remembered() * bytes;
    let alive = sequences.min(rows_within(numbers.activations, row));
    let columns = prompt + answer.next_multiple_of(COLUMNS);
    // A layer is there twice while columns are added to it.
    let cache = (config.layers + 1) * alive * columns * model.remembered() * bytes;
    let resident = if numbers.precision == numbers.storage {
        0
    } else {
        model.all_matrices() * bytes
    };
    Footprint {
        weights: model.weights() as u64,
        copies: resident as u64,
        activations: prefill(model, alive.min((PREFILLED / prompt.max(1)).max(1)), prompt) as u64,
        cache: cache as u64,
        logits: (alive * logit(model)) as u64,
        ..Footprint::default()
    }
}

/// Prompts that enter together go through each block in one piece.
fn prefill(model: &Model<'_>, sequences: usize, length: usize) -> usize {
    let (config, bytes) = (model.config, model.numbers.precision.bytes());
    let (rows, scores) = (
        sequences * length,
        sequences * length * length * config.heads,
    );
    let packed = config.queries_width() + 2 * config.keys_width();
    // [x, normed, packed rows, turned ones, mixed ones]
    let mixing = rows * (2 * config.width + 2 * packed + config.queries_width()) * bytes;
    // [x, between, normed, result, gates and ups, both halves, their product]
    let gating = rows * (4 * config.width + 5 * config.hidden) * bytes;
    gating.max(mixing + scores * score(model))
}

fn training(model: &Model<'_>, sequences: usize, length: usize, trained: &Trained) -> Footprint {
    let (config, numbers) = (model.config, model.numbers);
    let at_once = (Place::ROWS / length.max(1)).clamp(1, sequences.max(1));
    let (parameters, largest, adapters) = match trained {
        Trained::All => (model.parameters(), model.largest(), 0),
        Trained::Adapters(lora) => (lora.parameters(config), 0, lora.parameters(config)),
    };
    let rows = at_once * length;
    let cast = if numbers.precision == numbers.storage {
        0
    } else {
        (model.block() + model.embedding()) * numbers.precision.bytes()
    };
    // Sums of gradients are made anew; the optimizer has [gradient, step, both moments] of one.
    let passing = passing(model, at_once, length) + 2 * largest * SINGLE;
    let logits = rows.min(LOGITS / model.vocabulary.max(1)).max(1) * logit(model);
    let optimizing = (4 * largest * SINGLE).saturating_sub(logits);
    Footprint {
        weights: (model.weights() + adapters * SINGLE) as u64,
        copies: cast as u64,
        gradients: (parameters * SINGLE) as u64,
        moments: (MOMENTS * parameters * SINGLE) as u64,
        activations: passing.max(optimizing) as u64,
        cache: 0,
        logits: logits as u64,
    }
}

/// Bytes of the parameters that a training moves; a reference shares the others.
fn moved(model: &Model<'_>, trained: &Trained) -> usize {
    match trained {
        Trained::All => model.weights(),
        Trained::Adapters(lora) => lora.parameters(model.config) * SINGLE,
    }
}

/// What is kept of all blocks, and what one of them makes on the way back.
fn passing(model: &Model<'_>, sequences: usize, length: usize) -> usize {
    let (config, numbers) = (model.config, model.numbers);
    let (rows, scores) = (
        sequences * length,
        sequences * length * length * config.heads,
    );
    let bytes = numbers.precision.bytes();
    let block = kept_by_a_block(config, rows, scores) * bytes;
    let all = block * config.layers;
    let inputs = rows * config.width * config.layers * bytes;
    let kept = if all <= numbers.activations {
        all
    } else {
        inputs + block
    };
    // [gated, its gradient, three parts of the slope, gradients of gates and ups, one of either]
    let gating = 8 * rows * config.hidden * bytes;
    // [x, its gradient, normed, scaled, along it, result], in 32 bits.
    let norming = 6 * rows * config.width * SINGLE;
    kept + norming + gating.max(scores * score(model))
}

/// Bytes of a score: [as multiplied, masked, softened, its exponential], three of them in 32 bits.
const fn score(model: &Model<'_>) -> usize {
    model.numbers.precision.bytes() + 3 * SINGLE
}

/// Bytes of the logits of a row: [as multiplied, log-probabilities, exponentials, gradients].
const fn logit(model: &Model<'_>) -> usize {
    model.vocabulary * (model.numbers.precision.bytes() + 3 * SINGLE)
}
