//! The hot operations of one optimizer step, one by one, on the shapes of a training setting.
//!
//! Each is called the way the decoder calls it. FLOPs are those of the matrix products, attention
//! counted as the whole square; bytes are what must be read and written at least once.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{Distribution, Tensor};
use rise_lab::model::cpu::{AttentionHeads, BlockShape, Call, RotaryTables};
use rise_lab::model::{ExecutionContext, LossTargets, Threads};
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

    /// The fused operations: forward alone, and forward with backward.
    fn fused(&self) -> Vec<Value> {
        let model = &self.setting.model;
        let (n, d, f, v) = (
            self.rows,
            model.width,
            model.hidden,
            self.setting.vocabulary,
        );
        let kernels = self.context.engine;
        let heads = AttentionHeads {
            query_heads: model.heads,
            kv_heads: model.kv_heads,
            head_size: model.head_size(),
        };
        let rotary = RotaryTables::new(model.positions, heads.head_size, model.rope_theta);
        let lengths: Arc<[usize]> = vec![self.setting.length; self.setting.batch].into();
        let targets = LossTargets {
            ids: (0..n).map(|row| (row % v) as u32).collect(),
            weights: vec![1.0 / n as f32; n].into(),
        };
        let gain = Tensor::<1>::ones([d], &self.context.device);
        let packed = heads.qkv_width();
        let square = 4 * n * self.setting.length * heads.query_width();
        [
            self.pair("RMSNorm", [n, d], 0, [8 * n * d, 12 * n * d], |x| {
                let gain = if x.is_require_grad() {
                    Tensor::from_inner(gain.clone())
                } else {
                    gain.clone()
                };
                kernels.rms_norm(x, gain, model.norm_epsilon)
            }),
            self.block(&heads, &rotary, &lengths),
            self.pair("SwiGLU", [n, 2 * f], 0, [12 * n * f, 20 * n * f], |x| {
                kernels.swiglu(x)
            }),
            self.pair(
                "rotary embedding and attention",
                [n, packed],
                square,
                [4 * n * (packed + d), 4 * n * (2 * packed + d)],
                |x| kernels.attention(x, &heads, &lengths, &rotary),
            ),
            self.pair("cross-entropy", [n, v], 0, [4 * n * v, 4 * n * v], |x| {
                kernels.cross_entropy(x, &targets).reshape([1, 1])
            }),
        ]
        .concat()
    }

    /// A whole decoder block, as a training passes through it.
    fn block(
        &self,
        heads: &AttentionHeads,
        rotary: &RotaryTables,
        lengths: &Arc<[usize]>,
    ) -> Vec<Value> {
        let model = &self.setting.model;
        let (n, d, f, packed) = (self.rows, model.width, model.hidden, heads.qkv_width());
        let shape = BlockShape {
            heads: heads.clone(),
            width: d,
            hidden: f,
            epsilon: model.norm_epsilon as f32,
            rotary: rotary.clone(),
        };
        let call = Call {
            shape: Arc::new(shape),
            lengths: Arc::clone(lengths),
            threads: Threads::default(),
        };
        let matrices = [[d, packed], [heads.query_width(), d], [d, 2 * f], [f, d]];
        let weights: usize = matrices.iter().map(|[from, to]| from * to).sum();
        let matrices = matrices.map(|[from, to]| self.random(from, to) * 0.05);
        let gain = Tensor::<1>::ones([d], &self.context.device);
        let flops = 2 * n * weights + 4 * n * self.setting.length * heads.query_width();
        let kept = 4 * n * (2 * d + packed + 2 * f + heads.query_heads * self.setting.length / 2);
        self.pair(
            "decoder block",
            [n, d],
            flops,
            [4 * (2 * n * d + weights) + kept, kept],
            |x| {
                let (gains, matrices) = ([gain.clone(), gain.clone()], matrices.clone());
                if x.is_require_grad() {
                    let (gains, matrices) = (
                        gains.map(Tensor::from_inner),
                        matrices.map(Tensor::from_inner),
                    );
                    let (gains, matrices) = (
                        gains.map(Tensor::require_grad),
                        matrices.map(Tensor::require_grad),
                    );
                    return self.context.engine.block(x, gains, matrices, &call);
                }
                self.context.engine.block(x, gains, matrices, &call)
            },
        )
    }

    /// `bytes` of the forward and of the backward pass; the latter has twice the FLOPs.
    fn pair(
        &self,
        name: &str,
        [rows, columns]: [usize; 2],
        flops: usize,
        bytes: [usize; 2],
        work: impl Fn(Tensor<2>) -> Tensor<2>,
    ) -> Vec<Value> {
        let x = self.random(rows, columns);
        let shape = format!("{rows} x {columns}");
        let both = format!("{name}, with its backward pass");
        vec![
            line(name, &shape, flops, bytes[0], || drop(work(x.clone()))),
            line(&both, &shape, 3 * flops, bytes[0] + bytes[1], || {
                drop(work(Tensor::from_inner(x.clone()).require_grad()).backward());
            }),
        ]
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
