//! The model and its training against PyTorch (`tests/golden/make.py` made the numbers).

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use rise_lab::model::cpu::{
    AttentionHeads, RotaryTables, attention, cross_entropy, rms_norm, swiglu,
};
use rise_lab::model::{
    Decoder, Engine, ExecutionContext, Gradients, LossTargets, ModelConfig, ParameterVisitor,
    RaggedBatch, checkpoint,
};
use rise_lab::train::{
    AdamW, Batch, EncodedExample, LossReduction, LossTarget, TrainConfig, train_step,
};
use serde_json::Value;

use crate::reference::{self, values};

fn golden(name: &str) -> Value {
    let path = folder().join(name);
    serde_json::from_str(&fs::read_to_string(path).expect("golden file")).expect("golden JSON")
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn place(kernels: Engine) -> ExecutionContext {
    ExecutionContext {
        engine: kernels,
        ..ExecutionContext::open("flex").expect("the default backend")
    }
}

fn decoder(kernels: Engine) -> Decoder {
    let model = golden("model.json");
    let config: ModelConfig = serde_json::from_value(model["config"].clone()).expect("sizes");
    let vocabulary = model["vocabulary"].as_u64().expect("a number") as usize;
    let place = place(kernels);
    let weights = checkpoint::read_weights(
        &folder().join("model.safetensors"),
        &config,
        vocabulary,
        &place,
    )
    .expect("golden weights");
    Decoder::new(config, weights, &place)
}

/// The values of a tensor, a list, or a single number.
fn floats(value: &Value) -> Vec<f32> {
    if let Some(number) = value.as_f64() {
        return vec![number as f32];
    }
    let list = value.as_array().or_else(|| value["data"].as_array());
    list.expect("a tensor")
        .iter()
        .map(|x| x.as_f64().expect("a number") as f32)
        .collect()
}

fn ids(value: &Value) -> Vec<u32> {
    value["data"]
        .as_array()
        .expect("a tensor")
        .iter()
        .map(|x| x.as_u64().expect("an id") as u32)
        .collect()
}

/// Largest difference, relative to the largest magnitude expected.
#[track_caller]
fn close(what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}: number of values");
    let largest = theirs.iter().fold(1e-9_f32, |a, b| a.max(b.abs()));
    for (place, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            (a - b).abs() <= tolerance * largest,
            "{what}[{place}]: {a} against {b} (largest {largest})"
        );
    }
}

const BOTH: [Engine; 2] = [Engine::Cpu, Engine::Portable];

#[test]
fn probabilities_of_whole_sequences() {
    let model = golden("model.json");
    let (long, short) = (ids(&model["ids"]), ids(&model["short"]["ids"]));
    // Three sequences of unequal length in one ragged batch: each must be what it is alone.
    let batch = RaggedBatch {
        tokens: [&long[..11], &short[..], &long[11..]].concat(),
        lengths: Arc::new([11, 7, 11]),
    };
    let (logits, short) = (floats(&model["logits"]), floats(&model["short"]["logits"]));
    let expected = [&logits[..11 * 37], &short[..], &logits[11 * 37..]].concat();
    for engine in BOTH {
        close(
            "logits",
            &reference::logits(&decoder(engine), &batch),
            &expected,
            1e-5,
        );
        // Column by column, since a pass gives the log-probability of one token in every row.
        let mut ours = vec![0.0; expected.len()];
        for token in 0..37 {
            let targets = LossTargets {
                ids: vec![token as u32; 29].into(),
                weights: vec![1.0; 29].into(),
            };
            let column = decoder(engine).log_probabilities(&batch, &targets);
            for (row, value) in column.into_iter().enumerate() {
                ours[row * 37 + token] = value;
            }
        }
        let theirs: Vec<f32> = expected.chunks(37).flat_map(log_softmax).collect();
        close("log-probabilities", &ours, &theirs, 1e-5);
    }
}

fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
    let log = |&logit: &f32| (f64::from(logit) - sum.ln()) as f32;
    logits.iter().map(log).collect()
}

#[test]
fn logits_against_a_cache() {
    let model = golden("model.json");
    let (tokens, expected) = (ids(&model["ids"]), floats(&model["logits"]));
    let decoder = decoder(Engine::Cpu);
    let (mut a, mut b) = (decoder.new_cache(), decoder.new_cache());
    // Row 0 enters with four tokens while row 1 enters with one; then both go on one by one.
    let mut logits =
        decoder.forward_cached(&[&tokens[..4], &tokens[11..12]], &mut [&mut a, &mut b]);
    for (position_a, position_b) in (4..11).zip(1..) {
        close(
            "row 0",
            &logits[0],
            &expected[(position_a - 1) * 37..position_a * 37],
            1e-5,
        );
        close(
            "row 1",
            &logits[1],
            &expected[(10 + position_b) * 37..(11 + position_b) * 37],
            1e-5,
        );
        let news = [
            &tokens[position_a..=position_a],
            &tokens[11 + position_b..=11 + position_b],
        ];
        logits = decoder.forward_cached(&news, &mut [&mut a, &mut b]);
    }
}

struct Names(BTreeMap<String, Vec<f32>>);

fn batch(loss: &Value) -> Batch {
    let all = ids(&loss["ids"]);
    let lengths: Vec<usize> = ids(&loss["lengths"])
        .into_iter()
        .map(|length| length as usize)
        .collect();
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let examples: Vec<EncodedExample> = lengths
        .iter()
        .enumerate()
        .map(|(row, &length)| EncodedExample {
            tokens: all[row * 11..row * 11 + length].to_vec(),
            targets: loss["messages"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|message| number(&message["row"]) == row)
                .map(|m| LossTarget {
                    start: number(&m["start"]),
                    end: number(&m["end"]),
                    weight: m["weight"].as_f64().unwrap(),
                })
                .collect(),
        })
        .collect();
    Batch::new(
        &examples.iter().collect::<Vec<_>>(),
        LossReduction::PerTarget,
    )
}

/// Loss and gradients under their Hugging Face names, by way of a decoder whose weights are the
/// gradients.
fn gradients(decoder: &Decoder, batch: &Batch) -> (f32, BTreeMap<String, Vec<f32>>) {
    struct Take<'a>(&'a Gradients);
    impl ParameterVisitor for Take<'_> {
        fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R> {
            let values = self
                .0
                .values(name)
                .expect("every parameter has a gradient")
                .to_vec();
            Tensor::from_data(
                TensorData::new(values, parameter.shape()),
                &parameter.device(),
            )
        }
    }
    let (value, gradients) = decoder.loss_and_gradients(&batch.inputs, &batch.targets);
    let as_weights = decoder.with_weights(
        decoder
            .weights()
            .clone()
            .map_parameters(&mut Take(&gradients)),
    );
    (value as f32, named(&as_weights).0)
}

fn named(decoder: &Decoder) -> Names {
    let bytes = checkpoint::encode_weights(decoder);
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("our own bytes");
    Names(
        file.tensors()
            .into_iter()
            .map(|(name, view)| {
                let floats = view.data().chunks_exact(4);
                (
                    name,
                    floats
                        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
                        .collect(),
                )
            })
            .collect(),
    )
}

#[test]
fn weighted_loss_and_every_gradient() {
    let loss = golden("loss.json");
    let batch = batch(&loss);
    for engine in BOTH {
        let (value, ours) = gradients(&decoder(engine), &batch);
        close("loss", &[value], &[floats(&loss["loss"])[0]], 1e-5);
        let theirs = loss["gradients"].as_object().unwrap();
        assert_eq!(ours.len(), theirs.len());
        for (name, expected) in theirs {
            close(name, &ours[name], &floats(expected), 2e-5);
        }
    }
}

#[test]
fn three_steps_of_adamw() {
    let (loss, adamw) = (golden("loss.json"), golden("adamw.json"));
    let batch = batch(&loss);
    let number = |name: &str| adamw[name].as_f64().unwrap();
    let config = TrainConfig {
        weight_decay: number("weight_decay"),
        beta1: number("beta1"),
        beta2: number("beta2"),
        max_grad_norm: number("clip"),
        ..TrainConfig::default()
    };
    let (mut decoder, mut adam) = (decoder(Engine::Cpu), AdamW::default());
    for (number, &rate) in floats(&adamw["rates"]).iter().enumerate() {
        let stepped = train_step(decoder, &batch, &mut adam, &config, f64::from(rate));
        close(
            "loss",
            &[stepped.loss as f32],
            &[floats(&adamw["losses"])[number]],
            1e-5,
        );
        close(
            "norm",
            &[stepped.grad_norm as f32],
            &[floats(&adamw["gradient_norms"])[number]],
            1e-5,
        );
        decoder = stepped.decoder;
    }
    let ours = named(&decoder).0;
    for (name, expected) in adamw["first"].as_object().unwrap() {
        let expected = floats(expected);
        close(name, &ours[name][..expected.len()], &expected, 1e-5);
    }
    let squares: f64 = ours.values().flatten().map(|&x| f64::from(x).powi(2)).sum();
    close(
        "norm of all",
        &[squares.sqrt() as f32],
        &[number("norm") as f32],
        1e-6,
    );
}

fn tensor<const R: usize>(values: Vec<f32>, shape: [usize; R]) -> Tensor<R> {
    let device = place(Engine::Cpu).device.autodiff();
    Tensor::<R>::from_data(TensorData::new(values, shape), &device).require_grad()
}

/// Gradients of the sum of `output` times `upstream`.
fn backward<const R: usize>(output: Tensor<R>, upstream: &[f32]) -> burn::tensor::Gradients {
    let data = TensorData::new(upstream.to_vec(), output.dims());
    let upstream = Tensor::<R>::from_data(data, &output.device());
    (output * upstream).sum().backward()
}

#[test]
fn rms_norm_and_its_gradients_row_by_row() {
    let op = &golden("ops.json")["rms_norm"];
    let (gain, x, dy) = (
        floats(&op["weight"]),
        floats(&op["x"]),
        floats(&op["upstream"]),
    );
    let (width, epsilon) = (gain.len(), op["epsilon"].as_f64().unwrap());
    let rows = x.len() / width;
    let (mut y, mut inverse) = (vec![0.0; x.len()], vec![0.0; rows]);
    rms_norm::forward(&x, &gain, epsilon as f32, &mut y, &mut inverse);
    let (mut dx, mut dgain) = (vec![0.0; x.len()], vec![0.0; width]);
    rms_norm::backward(&x, &gain, &inverse, &dy, &mut dx, &mut dgain);

    let (x, gain) = (tensor(x, [rows, width]), tensor(gain, [width]));
    let output = reference::rms_norm(x.clone(), gain.clone(), epsilon);
    let graph = backward(output.clone(), &dy);
    let yardstick = [
        values(output.inner()),
        values(x.grad(&graph).unwrap()),
        values(gain.grad(&graph).unwrap()),
    ];
    for ours in [[y, dx, dgain], yardstick] {
        for (name, ours) in ["output", "d_x", "d_weight"].into_iter().zip(ours) {
            let theirs = floats(&op[name]);
            for (row, (a, b)) in ours.chunks(width).zip(theirs.chunks(width)).enumerate() {
                close(&format!("{name}, row {row}"), a, b, 1e-5);
            }
        }
    }
}

#[test]
fn rotary_at_the_start_and_further_on() {
    let ops = golden("ops.json");
    for name in ["rotary", "rotary_offset"] {
        let op = &ops[name];
        let shape = op["x"]["shape"].as_array().unwrap();
        let [time, heads, size] = [1, 2, 3].map(|axis| shape[axis].as_u64().unwrap() as usize);
        let offset = op["offset"].as_u64().unwrap_or(0) as usize;
        let rotary = RotaryTables::new(64, size, 10_000.0);
        let (mut x, mut dx) = (floats(&op["x"]), floats(&op["upstream"]));
        for (row, place) in x.chunks_exact_mut(heads * size).zip((0..time).cycle()) {
            rotary.rotate(row, offset + place, false);
        }
        for (row, place) in dx.chunks_exact_mut(heads * size).zip((0..time).cycle()) {
            rotary.rotate(row, offset + place, true);
        }
        close(name, &x, &floats(&op["output"]), 1e-6);
        close(name, &dx, &floats(&op["d_x"]), 1e-6);
    }
}

#[test]
fn swiglu_and_its_gradients() {
    let op = &golden("ops.json")["swiglu"];
    let width = &op["gate"]["shape"].as_array().unwrap().last().unwrap();
    let width = width.as_u64().unwrap() as usize;
    let pack = |a: &str, b: &str| -> Vec<f32> {
        let (a, b) = (floats(&op[a]), floats(&op[b]));
        a.chunks(width)
            .zip(b.chunks(width))
            .flat_map(|(a, b)| [a, b].concat())
            .collect()
    };
    let (packed, dy) = (pack("gate", "up"), floats(&op["upstream"]));
    let (mut y, mut again) = (vec![0.0; dy.len()], vec![0.0; dy.len()]);
    let mut dpacked = vec![0.0; packed.len()];
    swiglu::forward(&packed, width, &mut y);
    swiglu::backward(&packed, width, &dy, &mut again, &mut dpacked);
    close("output once more", &again, &y, 1e-6);

    let x = tensor(packed, [dy.len() / width, 2 * width]);
    let output = reference::swiglu(x.clone());
    let graph = backward(output.clone(), &dy);
    let yardstick = [values(output.inner()), values(x.grad(&graph).unwrap())];
    for [y, dpacked] in [[y, dpacked], yardstick] {
        close("output", &y, &floats(&op["output"]), 1e-5);
        close("gradient", &dpacked, &pack("d_gate", "d_up"), 1e-5);
    }
}

/// Output and gradient of attention on the CPU engine and in the reference decoder.
fn attention_of_both(
    packed: &[f32],
    heads: &AttentionHeads,
    lengths: &[usize],
    rotary: Option<&RotaryTables>,
    upstream: &[f32],
) -> [[Vec<f32>; 2]; 2] {
    let mut rotated = packed.to_vec();
    if let Some(rotary) = rotary {
        attention::rotate(&mut rotated, heads, lengths, rotary, false);
    }
    let mut probabilities = vec![0.0; attention::probability_count(lengths, heads)];
    let (mut y, mut dpacked) = (vec![0.0; upstream.len()], vec![0.0; packed.len()]);
    attention::forward(&rotated, heads, lengths, &mut probabilities, &mut y);
    attention::backward(
        &rotated,
        &probabilities,
        heads,
        lengths,
        upstream,
        &mut dpacked,
    );
    if let Some(rotary) = rotary {
        attention::rotate(&mut dpacked, heads, lengths, rotary, true);
    }

    let width = heads.qkv_width();
    let x = tensor(packed.to_vec(), [packed.len() / width, width]);
    let output = reference::attention(&x, heads, lengths, rotary);
    let graph = backward(output.clone(), upstream);
    [
        [y, dpacked],
        [values(output.inner()), values(x.grad(&graph).unwrap())],
    ]
}

#[test]
fn grouped_attention_and_its_gradients() {
    let op = &golden("ops.json")["attention"];
    let shape = |name: &str, axis: usize| op[name]["shape"][axis].as_u64().unwrap() as usize;
    let (batch, time) = (shape("query", 0), shape("query", 1));
    let heads = AttentionHeads {
        query_heads: shape("query", 2),
        kv_heads: shape("key", 2),
        head_size: shape("query", 3),
    };
    let (q, kv) = (heads.query_width(), heads.kv_heads * heads.head_size);
    let pack = |names: [&str; 3]| -> Vec<f32> {
        let [a, b, c] = names.map(|name| floats(&op[name]));
        let rows = a.chunks(q).zip(b.chunks(kv)).zip(c.chunks(kv));
        rows.flat_map(|((a, b), c)| [a, b, c].concat()).collect()
    };
    let (packed, upstream) = (pack(["query", "key", "value"]), floats(&op["upstream"]));
    let lengths = vec![time; batch];
    for [y, dpacked] in attention_of_both(&packed, &heads, &lengths, None, &upstream) {
        close("output", &y, &floats(&op["output"]), 1e-5);
        let expected = pack(["d_query", "d_key", "d_value"]);
        close("gradient", &dpacked, &expected, 1e-5);
    }
}

#[test]
fn cross_entropy_and_its_gradient() {
    let op = &golden("ops.json")["cross_entropy"];
    let vocabulary = &op["logits"]["shape"].as_array().unwrap().last().unwrap();
    let vocabulary = vocabulary.as_u64().unwrap() as usize;
    let total = op["weight_sum"].as_f64().unwrap() as f32;
    let weights: Vec<f32> = floats(&op["token_weights"])
        .iter()
        .map(|w| w / total)
        .collect();
    let targets = LossTargets {
        ids: ids(&op["targets"]).into(),
        weights: weights.into(),
    };
    let logits = floats(&op["logits"]);
    let mut gradient = logits.clone();
    let loss = cross_entropy::loss_and_gradient_in_place(
        &mut gradient,
        vocabulary,
        &targets.ids,
        &targets.weights,
    );

    let x = tensor(logits.clone(), [logits.len() / vocabulary, vocabulary]);
    let output = reference::cross_entropy(x.clone(), &targets);
    let graph = output.clone().backward();
    let yardstick = [values(output.inner()), values(x.grad(&graph).unwrap())];
    for [loss, gradient] in [[vec![loss as f32], gradient], yardstick] {
        close("loss", &loss, &floats(&op["output"]), 1e-5);
        close("gradient", &gradient, &floats(&op["d_logits"]), 1e-5);
    }
}

/// Lengths around the attention's block size, one head, and a sequence of one token.
#[test]
fn attention_agrees_with_the_reference_on_odd_shapes() {
    for (heads, lengths) in [
        (
            AttentionHeads {
                query_heads: 1,
                kv_heads: 1,
                head_size: 2,
            },
            vec![1],
        ),
        (
            AttentionHeads {
                query_heads: 4,
                kv_heads: 2,
                head_size: 6,
            },
            vec![63, 1, 64, 65],
        ),
        (
            AttentionHeads {
                query_heads: 3,
                kv_heads: 1,
                head_size: 4,
            },
            vec![130, 2],
        ),
    ] {
        let rows: usize = lengths.iter().sum();
        let count = rows * heads.qkv_width();
        let data: Vec<f32> = (0..count)
            .map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0) * 1.5)
            .collect();
        let upstream: Vec<f32> = (0..rows * heads.query_width())
            .map(|i| (i * 53 % 89) as f32 / 44.0 - 1.0)
            .collect();
        let rotary = RotaryTables::new(256, heads.head_size, 10_000.0);
        let [fused, plain] = attention_of_both(&data, &heads, &lengths, Some(&rotary), &upstream);
        close("output", &fused[0], &plain[0], 1e-5);
        close("gradient", &fused[1], &plain[1], 2e-5);
    }
}
