use super::*;
use crate::model::adapters::Projection;

/// D 8, two query heads of 4, one key head, F 16, two layers, an own head.
fn small() -> ModelConfig {
    ModelConfig {
        width: 8,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        hidden: 16,
        ..ModelConfig::default()
    }
}

fn numbers(kernels: Engine, precision: Precision, storage: Precision) -> NumericFormat {
    NumericFormat {
        engine: kernels,
        precision,
        storage,
        activation_budget: 8 << 30,
        threads: 1,
    }
}

fn plain(precision: Precision, storage: Precision) -> NumericFormat {
    numbers(Engine::Portable, precision, storage)
}

fn lora(rank: usize) -> TrainableParams {
    TrainableParams::Adapters(LoraConfig {
        rank,
        ..LoraConfig::default()
    })
}

/// By hand: a block's matrices have 8 x 16 + 8 x 8 + 8 x 32 + 16 x 8 = 576 values, two of them and
/// the ends of 10 x 8 each 1,312; gains are 2 x 16 + 8 = 40.
#[test]
fn a_full_training_on_tensors() {
    let work = Workload::Training {
        sequences: 3,
        length: 5,
        trainable: TrainableParams::All,
        has_reference: false,
    };
    let found = footprint(&small(), 10, &work, &plain(Precision::F32, Precision::F32));
    // Kept of a block: 15 rows of 32 + 32 + 8 + 32 and 3 x 25 x 2 scores, 1,710. On the way back:
    // 6 x 8 x 15 for the norms, 8 x 16 x 15 for gates and ups, two sums of the largest gradient, 256.
    let activations = (2 * 1710 + 720 + 1920 + 512) * 4;
    assert_eq!(
        found,
        Footprint {
            weights: 1352 * 4,
            copies: 0,
            gradients: 1352 * 4,
            moments: 2 * 1352 * 4,
            activations,
            cache: 0,
            logits: 15 * 10 * 16,
        }
    );
    assert_eq!(found.total(), 4 * 1352 * 4 + activations + 2400);
}

#[test]
fn narrow_products_keep_wide_parameters_and_cast_a_block_at_a_time() {
    let work = Workload::Training {
        sequences: 3,
        length: 5,
        trainable: TrainableParams::All,
        has_reference: false,
    };
    let found = footprint(&small(), 10, &work, &plain(Precision::Bf16, Precision::F32));
    assert_eq!(
        (found.weights, found.gradients, found.moments),
        (5408, 5408, 10_816)
    );
    // A block's matrices in 16 bits, and the head's.
    assert_eq!(found.copies, (576 + 80) * 2);
    // The largest parameter and norms are in 32 bits.
    assert_eq!(found.activations, (2 * 1710 + 1920) * 2 + (720 + 512) * 4);
}

/// By hand: for rank 3 the halves have 3 x (8 + 8), twice 3 x (8 + 4), 3 x (8 + 8), twice 3 x (8 + 16)
/// and 3 x (16 + 8) values in each block, 384 in all.
#[test]
fn adapters_alone_have_gradients_and_moments() {
    let work = Workload::Training {
        sequences: 1,
        length: 5,
        trainable: lora(3),
        has_reference: false,
    };
    let found = footprint(
        &small(),
        10,
        &work,
        &numbers(Engine::Cpu, Precision::Bf16, Precision::Bf16),
    );
    let adapters = 2 * 384 * 4;
    assert_eq!(found.weights, 1312 * 2 + 40 * 4 + adapters);
    assert_eq!(
        (found.copies, found.gradients, found.moments),
        (0, adapters, 2 * adapters)
    );
    let queries = LoraConfig {
        rank: 3,
        targets: [Projection::Queries].into(),
        ..LoraConfig::default()
    };
    let work = Workload::Training {
        sequences: 1,
        length: 5,
        trainable: TrainableParams::Adapters(queries),
        has_reference: false,
    };
    let found = footprint(&small(), 10, &work, &plain(Precision::F32, Precision::F32));
    assert_eq!(found.gradients, 2 * 48 * 4);
}

/// What is moved is there once more where it is compared with how it was: 1,352 values, or the
/// adapters alone, whose frozen weights are shared.
#[test]
fn a_reference_is_a_copy_of_what_is_moved() {
    let copies = |kernels, trained: TrainableParams, has_reference| {
        let work = Workload::Training {
            sequences: 3,
            length: 5,
            trainable: trained,
            has_reference,
        };
        footprint(
            &small(),
            10,
            &work,
            &numbers(kernels, Precision::F32, Precision::F32),
        )
        .copies
    };
    for kernels in [Engine::Portable, Engine::Cpu] {
        let [without, with] =
            [false, true].map(|reference| copies(kernels, TrainableParams::All, reference));
        assert_eq!(with - without, 1352 * 4);
        assert_eq!(copies(kernels, lora(3), true), 2 * 384 * 4);
    }
}

#[test]
fn what_does_not_fit_the_budget_is_computed_again() {
    let work = Workload::Training {
        sequences: 3,
        length: 5,
        trainable: lora(1),
        has_reference: false,
    };
    let roomy = plain(Precision::F32, Precision::F32);
    let kept = footprint(
        &small(),
        10,
        &work,
        &NumericFormat {
            activation_budget: 2 * 1710 * 4,
            ..roomy
        },
    );
    let again = footprint(
        &small(),
        10,
        &work,
        &NumericFormat {
            activation_budget: 2 * 1710 * 4 - 1,
            ..roomy
        },
    );
    // One block's results and the inputs of both instead of both blocks' results.
    assert_eq!(
        kept.activations - again.activations,
        (1710 - 2 * 15 * 8) * 4
    );
}

/// By hand: 40 + 64 columns for 65 tokens of at most 40 + 25, in two layers and one that grows.
#[test]
fn sampling_on_tensors() {
    let work = Workload::Sampling {
        sequences: 3,
        prompt: 40,
        answer: 25,
    };
    let found = footprint(&small(), 10, &work, &plain(Precision::F32, Precision::F32));
    let scores = 3 * 40 * 40 * 2;
    assert_eq!(
        found,
        Footprint {
            weights: 5408,
            activations: 120 * (16 + 32 + 8) * 4 + scores * 16,
            cache: 3 * 3 * 104 * 8 * 4,
            logits: 3 * 10 * 16,
            ..Footprint::default()
        }
    );
    let narrow = footprint(&small(), 10, &work, &plain(Precision::Bf16, Precision::F32));
    assert_eq!(
        (narrow.weights, narrow.copies, 2 * narrow.cache),
        (5408, 1312 * 2, found.cache)
    );
    // No more than 256 are written at a time.
    let many = |sequences| {
        let work = Workload::Sampling {
            sequences,
            prompt: 40,
            answer: 25,
        };
        footprint(&small(), 10, &work, &plain(Precision::F32, Precision::F32))
    };
    assert_eq!(many(256), many(1000));
}

#[test]
fn fused_kernels_hold_gradients_of_every_group_and_matrices_twice() {
    let work = Workload::Training {
        sequences: 64,
        length: 96,
        trainable: TrainableParams::All,
        has_reference: false,
    };
    let found = footprint(
        &small(),
        10,
        &work,
        &numbers(Engine::Cpu, Precision::F32, Precision::F32),
    );
    // Four groups of shards of two sequences, as `ops/shards.rs` cuts them.
    assert_eq!(found.gradients, 4 * 5408);
    assert_eq!(found.copies, (1152 + 80) * 4);
    let (rows, scores) = (192, 2 * 96 * 96 * 2);
    assert_eq!(
        found.activations,
        (2 * (rows * (16 + 2 + 16 + 8 + 32) + scores) + rows * (32 + 64)) * 4
    );
    assert_eq!(found.logits, 192 * 10 * 4);
    let tied = ModelConfig {
        tied: true,
        ..small()
    };
    let found = footprint(
        &tied,
        10,
        &work,
        &numbers(Engine::Cpu, Precision::F32, Precision::F32),
    );
    assert_eq!(found.copies, (1152 + 80) * 4);
}

#[test]
fn fused_sampling_keeps_caches_for_the_next_turn() {
    let work = Workload::Sampling {
        sequences: 3,
        prompt: 40,
        answer: 25,
    };
    let numbers = numbers(Engine::Cpu, Precision::F32, Precision::F32);
    let found = footprint(&small(), 10, &work, &numbers);
    // 65 positions in five blocks of 16.
    let sequence = 80 * 2 * 8 * 4;
    assert_eq!((found.weights, found.cache), (5408, 9 * sequence));
    assert_eq!(found.activations, 195 * (16 + 16 + 8 + 48) * 4);
    // What the kernels do not know works on tensors.
    let biased = ModelConfig {
        qkv_bias: true,
        ..small()
    };
    assert_eq!(
        footprint(&biased, 10, &work, &numbers).cache,
        3 * 3 * 104 * 8 * 4
    );
}

/// Llama 2 7B has 6,738,415,616 parameters. All of them in training are four times that in 32 bits;
/// rank 16 on all projections is 39,976,960 values.
#[test]
fn a_model_of_7_billion_parameters() {
    let llama = ModelConfig {
        width: 4096,
        layers: 32,
        heads: 32,
        kv_heads: 32,
        hidden: 11_008,
        positions: 4096,
        ..ModelConfig::default()
    };
    let work = |trained| Workload::Training {
        sequences: 8,
        length: 1024,
        trainable: trained,
        has_reference: false,
    };
    let full = footprint(
        &llama,
        32_000,
        &work(TrainableParams::All),
        &plain(Precision::F32, Precision::F32),
    );
    let parameters = 6_738_415_616;
    assert_eq!(
        full.weights + full.copies + full.gradients + full.moments,
        4 * 4 * parameters
    );
    let adapted = footprint(
        &llama,
        32_000,
        &work(lora(16)),
        &plain(Precision::Bf16, Precision::Bf16),
    );
    assert_eq!(adapted.gradients, 4 * 39_976_960);
    // Gains are in 32 bits: 65 of 4,096.
    assert_eq!(
        adapted.weights,
        2 * parameters + 2 * 65 * 4096 + 4 * 39_976_960
    );
}
