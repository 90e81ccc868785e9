//! The hot operations of one optimizer step, one by one, on the shapes of a training setting.
//!
//! Each is called the way the decoder calls it. FLOPs are those of the matrix products, attention
//! counted as the whole square; bytes are what must be read and written at least once.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use burn::tensor::{Distribution, Tensor};
use rise_lab::model::cpu::block::{self, BlockBackward, BlockParams, TransposedWeights};
use rise_lab::model::cpu::{
    AttentionHeads, BlockShape, RotaryTables, attention, cross_entropy, rms_norm, swiglu,
};
use rise_lab::model::{ExecutionContext, Threads};
use rise_lab::train::{AdamW, Batch, EncodedExample, LossReduction, LossTarget, TrainConfig};
use serde_json::{Value, json};

use crate::inputs::BenchmarkSetting;

/// Seconds that one try lasts at least.
const TRY: f64 = 0.05;
/// Tries whose median counts.
const TRIES: usize = 7;

/// Shapes of one setting: N rows, sequences of T tokens, sizes of the model, V.
struct OperationShapes {
    setting: BenchmarkSetting,
    context: ExecutionContext,
    rows: usize,
}

/// Prints one line of JSON with every operation's time.
pub fn report(folder: &Path) -> Result<(), Box<dyn Error>> {
    let setting = BenchmarkSetting::read(folder)?;
    let shapes = OperationShapes {
        rows: setting.batch * setting.length,
        context: crate::inputs::context(1)?,
        setting,
    };
    let mut lines = shapes.products();
    lines.extend(shapes.fused());
    lines.push(shapes.adamw()?);
    println!("{}", json!({ "operations": lines }));
    Ok(())
}

/// One line of the table; `flops` and `bytes` of one call.
fn line(name: &str, shape: &str, flops: usize, bytes: usize, work: impl FnMut()) -> Value {
    json!({ "name": name, "shape": shape, "flops": flops, "bytes": bytes, "seconds": median(work) })
}

fn median(mut work: impl FnMut()) -> f64 {
    let began = Instant::now();
    work();
    let calls = (TRY / began.elapsed().as_secs_f64()).ceil().max(1.0) as usize;
    let mut tries: Vec<f64> = (0..TRIES)
        .map(|_| {
            let began = Instant::now();
            (0..calls).for_each(|_| work());
            began.elapsed().as_secs_f64() / calls as f64
        })
        .collect();
    tries.sort_by(f64::total_cmp);
    tries[TRIES / 2]
}

/// Values around 0 that differ from each other.
fn values(count: usize, scale: f32) -> Vec<f32> {
    let value = |i: usize| ((i * 37 % 101) as f32 / 50.0 - 1.0) * scale;
    (0..count).map(value).collect()
}

impl OperationShapes {
    fn random(&self, rows: usize, columns: usize) -> Tensor<2> {
        Tensor::random(
            [rows, columns],
            Distribution::Normal(0.0, 1.0),
            &self.context.device,
        )
    }

    /// The products with each weight: forward, and the gradients of its input and of itself.
    fn products(&self) -> Vec<Value> {
        let model = &self.setting.model;
        let (d, f) = (model.width, model.hidden);
        let kv = model.kv_heads * model.head_size();
        let matrices = [
            ("queries, keys, values", d, d + 2 * kv),
            ("attention output", d, d),
            ("gates and ups", d, 2 * f),
            ("down", f, d),
            ("head", d, self.setting.vocabulary),
        ];
        matrices
            .iter()
            .flat_map(|&(name, from, to)| self.product(name, from, to))
            .collect()
    }

    fn product(&self, name: &str, from: usize, to: usize) -> [Value; 3] {
        let n = self.rows;
        let (x, w, dy) = (
            self.random(n, from),
            self.random(from, to),
            self.random(n, to),
        );
        let (flops, bytes) = (2 * n * from * to, 4 * (n * from + from * to + n * to));
        let each = |what: &str, shape: [usize; 3], work: &mut dyn FnMut()| {
            let shape = format!("{} x {} x {}", shape[0], shape[1], shape[2]);
            line(&format!("{name}{what}"), &shape, flops, bytes, work)
        };
        [
            each("", [n, from, to], &mut || drop(x.clone().matmul(w.clone()))),
            each(", gradient of the input", [n, to, from], &mut || {
                drop(dy.clone().matmul(w.clone().transpose()));
            }),
            each(", gradient of the weight", [from, n, to], &mut || {
                drop(x.clone().transpose().matmul(dy.clone()));
            }),
        ]
    }

    /// The fused operations: forward alone, and backward alone.
    fn fused(&self) -> Vec<Value> {
        let model = &self.setting.model;
        let heads = AttentionHeads {
            query_heads: model.heads,
            kv_heads: model.kv_heads,
            head_size: model.head_size(),
        };
        let shape = BlockShape {
            rotary: RotaryTables::new(model.positions, heads.head_size, model.rope_theta),
            heads,
            width: model.width,
            hidden: model.hidden,
            epsilon: model.norm_epsilon as f32,
        };
        [
            self.rms_norm(&shape),
            self.block(&shape),
            self.swiglu(&shape),
            self.attention(&shape),
            vec![self.cross_entropy()],
        ]
        .concat()
    }

    fn rms_norm(&self, shape: &BlockShape) -> Vec<Value> {
        let (n, d) = (self.rows, shape.width);
        let (x, gain) = (values(n * d, 1.0), vec![1.0; d]);
        let (mut y, mut inverse) = (vec![0.0; n * d], vec![0.0; n]);
        let (mut dx, mut dgain) = (vec![0.0; n * d], vec![0.0; d]);
        let forward = self.line("RMSNorm", d, 0, 8 * n * d, || {
            rms_norm::forward(&x, &gain, shape.epsilon, &mut y, &mut inverse);
        });
        let backward = self.line("RMSNorm, backward", d, 0, 12 * n * d, || {
            rms_norm::backward(&x, &gain, &inverse, &y, &mut dx, &mut dgain);
        });
        vec![forward, backward]
    }

    fn swiglu(&self, shape: &BlockShape) -> Vec<Value> {
        let (n, f) = (self.rows, shape.hidden);
        let packed = values(n * 2 * f, 1.0);
        let (mut y, mut dpacked) = (vec![0.0; n * f], vec![0.0; n * 2 * f]);
        let dy = values(n * f, 1.0);
        let forward = self.line("SwiGLU", 2 * f, 0, 12 * n * f, || {
            swiglu::forward(&packed, f, &mut y);
        });
        let backward = self.line("SwiGLU, backward", 2 * f, 0, 24 * n * f, || {
            swiglu::backward(&packed, f, &dy, &mut y, &mut dpacked);
        });
        vec![forward, backward]
    }

    fn attention(&self, shape: &BlockShape) -> Vec<Value> {
        let (n, heads, lengths) = (self.rows, &shape.heads, self.lengths());
        let (packed, width) = (heads.qkv_width(), heads.query_width());
        let square = 4 * n * self.setting.length * width;
        let mut rotated = values(n * packed, 1.0);
        let mut probabilities = vec![0.0; attention::probability_count(&lengths, heads)];
        let (mut y, mut drotated) = (vec![0.0; n * width], vec![0.0; n * packed]);
        let dy = values(n * width, 1.0);
        let name = "rotary embedding and attention";
        let forward = self.line(name, packed, square, 4 * n * (packed + width), || {
            attention::rotate(&mut rotated, heads, &lengths, &shape.rotary, false);
            attention::forward(&rotated, heads, &lengths, &mut probabilities, &mut y);
        });
        let name = "rotary embedding and attention, backward";
        let bytes = 4 * n * (2 * packed + width);
        let backward = self.line(name, packed, 2 * square, bytes, || {
            attention::backward(
                &rotated,
                &probabilities,
                heads,
                &lengths,
                &dy,
                &mut drotated,
            );
            attention::rotate(&mut drotated, heads, &lengths, &shape.rotary, true);
        });
        vec![forward, backward]
    }

    /// The loss, and its gradient in the place of the logits.
    fn cross_entropy(&self) -> Value {
        let (n, v) = (self.rows, self.setting.vocabulary);
        let ids: Vec<u32> = (0..n).map(|row| (row % v) as u32).collect();
        let (mut logits, weights) = (values(n * v, 1.0), vec![1.0 / n as f32; n]);
        self.line("cross-entropy and its gradient", v, 0, 8 * n * v, || {
            cross_entropy::loss_and_gradient_in_place(&mut logits, v, &ids, &weights);
        })
    }

    /// A whole decoder block, as a training passes through it.
    fn block(&self, shape: &BlockShape) -> Vec<Value> {
        let (n, d, f, lengths) = (self.rows, shape.width, shape.hidden, self.lengths());
        let (packed, width) = (shape.heads.qkv_width(), shape.heads.query_width());
        let sizes = [d, d * packed, width * d, d, d * 2 * f, f * d];
        let count: usize = sizes.iter().sum();
        let stored = sizes.map(|size| values(size, 0.05));
        let weights = BlockParams::from_array(stored.each_ref().map(Vec::as_slice));
        let transposed = TransposedWeights::new(&weights, shape);
        let flops = 2 * n * (count - 2 * d) + 4 * n * self.setting.length * width;
        let heads = shape.heads.query_heads;
        let kept = 4 * n * (2 * d + packed + 2 * f + heads * self.setting.length / 2);
        let input = values(n * d, 1.0);
        let mut y = input.clone();
        let forward = self.line(
            "decoder block",
            d,
            flops,
            4 * (2 * n * d + count) + kept,
            || {
                y.copy_from_slice(&input);
                block::forward(&mut y, &weights, shape, &lengths);
            },
        );
        let saved = block::forward(&mut y, &weights, shape, &lengths);
        let pass = BlockBackward {
            weights: &weights,
            transposed: &transposed,
            shape,
            x: &input,
            saved: &saved,
            lengths: &lengths,
        };
        let (mut dx, mut gradients) = (input.clone(), BlockParams::gradient_buffers(shape));
        let backward = self.line("decoder block, backward", d, 2 * flops, kept, || {
            dx.copy_from_slice(&input);
            block::backward(&pass, &mut dx, &mut gradients, false);
        });
        vec![forward, backward]
    }

    fn lengths(&self) -> Vec<usize> {
        vec![self.setting.length; self.setting.batch]
    }

    /// One line about an operation on all rows.
    fn line(
        &self,
        name: &str,
        columns: usize,
        flops: usize,
        bytes: usize,
        work: impl FnMut(),
    ) -> Value {
        line(
            name,
            &format!("{} x {columns}", self.rows),
            flops,
            bytes,
            work,
        )
    }

    /// Clipping and AdamW over all parameters.
    fn adamw(&self) -> Result<Value, Box<dyn Error>> {
        let (decoder, _) = self.setting.decoder(self.setting.vocabulary, 1)?;
        let tokens: Vec<u32> = (0..3).collect();
        let example = EncodedExample {
            targets: vec![LossTarget {
                start: 1,
                end: tokens.len(),
                weight: 1.0,
            }],
            tokens,
        };
        let batch = Batch::new(&[&example], LossReduction::PerToken);
        let (_, gradients) = decoder.loss_and_gradients(&batch.inputs, &batch.targets);
        let (mut adam, config) = (AdamW::default(), TrainConfig::default());
        let (count, threads) = (decoder.weights().parameter_count(), Threads::default());
        // Held by nobody else, so that they are moved in place.
        let mut weights = Some(decoder.into_weights());
        // Read for the norm; then weight and two moments read and written, and the gradient read.
        Ok(line(
            "clipping and AdamW",
            &format!("{count} parameters"),
            0,
            32 * count,
            || {
                weights = weights
                    .take()
                    .map(|moved| adam.step(moved, &gradients, &config, 1e-6, &threads).0);
            },
        ))
    }
}
