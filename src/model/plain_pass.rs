//! One pass of new rows through all blocks, on tensors: for backends without fused kernels, and
//! the yardstick of the pass on slices. Attention is computed on the host, where the caches are.

use burn::tensor::{Int, Tensor, TensorData};

use super::Decoder;
use super::decode::{Segment, State};
use super::ops::cached_attention::{Call, Scratch, attend};

/// Takes in the segments' tokens, and writes the logits of those that end, \[ended, V\] in order,
/// to the front of `logits`.
pub fn run(
    decoder: &Decoder,
    news: &[&[u32]],
    segments: &[Segment],
    states: &mut [&mut State],
    logits: &mut [f32],
) {
    let tokens: Vec<u32> =
        segments.iter().flat_map(|s| &news[s.sequence][s.tokens.clone()]).copied().collect();
    let mut x = decoder.embed(&tokens);
    for (layer, block) in decoder.weights.blocks.iter().enumerate() {
        let packed = decoder.normed(x.clone(), &block.attention_norm).matmul(block.packed.clone());
        let mixed = attention(decoder, packed, layer, segments, states);
        x = x + mixed.matmul(block.output.clone());
        x = decoder.feed_forward(x, block);
    }
    let last = ends(segments);
    if !last.is_empty() {
        let last = Tensor::<1, Int>::from_data(TensorData::from(last.as_slice()), &x.device());
        let values = floats(decoder.head(x.select(0, last)));
        logits[..values.len()].copy_from_slice(&values);
    }
}

/// Rows whose logits are wanted.
fn ends(segments: &[Segment]) -> Vec<i64> {
    let mut end = 0;
    let last = segments.iter().filter_map(|segment| {
        end += segment.tokens.len() as i64;
        segment.ends.then_some(end - 1)
    });
    last.collect()
}

fn attention(
    decoder: &Decoder,
    packed: Tensor<2>,
    layer: usize,
    segments: &[Segment],
    states: &mut [&mut State],
) -> Tensor<2> {
    let (device, [rows, stride], width) = (packed.device(), packed.dims(), decoder.shape.heads.width());
    let (mut packed, mut mixed, mut scratch) = (floats(packed), vec![0.0; rows * width], Scratch::default());
    let call = Call { heads: &decoder.shape.heads, rotary: &decoder.shape.rotary, layer };
    let mut row = 0;
    for segment in segments {
        let end = row + segment.tokens.len();
        let (rows, y) = (&mut packed[row * stride..end * stride], &mut mixed[row * width..end * width]);
        attend(call, &mut states[segment.sequence].0, rows, 0, &mut scratch, y);
        row = end;
    }
    Tensor::from_data(TensorData::new(mixed, [rows, width]), &device)
}

/// The values of a tensor, row by row.
fn floats<const R: usize>(x: Tensor<R>) -> Vec<f32> {
    x.into_data().try_into_vec().expect("parameters are f32")
}
