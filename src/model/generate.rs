//! Sampling with continuous batching: a finished row's place is taken by the next prompt, prompts
//! of any lengths share a step, and the samples of one prompt share its prefill.

use std::collections::VecDeque;

use crate::domain::{Sampling, Seed};

use super::sampler::sample;
use super::{Decoder, State};

/// Rows that are sampled together at most: enough to fill the matrix kernels, few enough that
/// their keys and values stay in a core's share of the cache.
const ROWS: usize = 48;

/// A prompt to continue, once per seed.
#[derive(Clone, Debug)]
pub struct Prompted {
    /// Its tokens; at least one.
    pub tokens: Vec<u32>,
    /// One seed per sample.
    pub seeds: Vec<Seed>,
}

/// One sample that is being written.
struct Row {
    prompt: usize,
    sample: usize,
    seed: Seed,
    state: State,
    written: Vec<u32>,
}

/// Continues every prompt until a token in `stops` (which is kept) or the limit of
/// `sampling.max_tokens`; returns the tokens of each sample of each prompt.
///
/// What a sample says depends on its own prompt and seed only.
///
/// # Panics
/// If a prompt is empty, or it and its continuation do not fit the model's positions.
#[must_use]
pub fn generate(
    decoder: &Decoder,
    prompts: &[Prompted],
    sampling: &Sampling,
    stops: &[u32],
) -> Vec<Vec<Vec<u32>>> {
    let mut done: Vec<Vec<Vec<u32>>> = prompts.iter().map(|p| vec![Vec::new(); p.seeds.len()]).collect();
    let mut waiting: VecDeque<usize> = (0..prompts.len()).filter(|&i| !prompts[i].seeds.is_empty()).collect();
    let mut rows: Vec<Row> = Vec::new();
    while !(rows.is_empty() && waiting.is_empty()) {
        let entering = admit(&mut waiting, prompts, rows.len());
        let entered = step(decoder, &mut rows, &entering, prompts, sampling);
        rows.extend(entered);
        rows.retain_mut(|row| {
            let last = row.written.last().copied();
            let ended = row.written.len() >= sampling.max_tokens || last.is_some_and(|t| stops.contains(&t));
            if ended {
                done[row.prompt][row.sample] = std::mem::take(&mut row.written);
            }
            !ended
        });
    }
    done
}

/// The prompts that enter now: as many as there are places for their samples, and at least one if
/// nothing else is running.
fn admit(waiting: &mut VecDeque<usize>, prompts: &[Prompted], running: usize) -> Vec<usize> {
    let mut places = ROWS.saturating_sub(running);
    let mut entering = Vec::new();
    while let Some(&next) = waiting.front() {
        let wanted = prompts[next].seeds.len();
        if wanted > places && (running > 0 || !entering.is_empty()) {
            break;
        }
        places = places.saturating_sub(wanted);
        entering.push(next);
        waiting.pop_front();
    }
    entering
}

/// One pass of the decoder: every running row takes in its last token, every entering prompt its
/// whole text; each then draws its next token. Returns the rows of the prompts that entered.
fn step(
    decoder: &Decoder,
    rows: &mut [Row],
    entering: &[usize],
    prompts: &[Prompted],
    sampling: &Sampling,
) -> Vec<Row> {
    let room = |prompt: usize| prompts[prompt].tokens.len() + sampling.max_tokens;
    let mut states: Vec<State> = entering.iter().map(|&prompt| decoder.state(room(prompt))).collect();
    let lasts: Vec<[u32; 1]> = rows.iter().map(|row| [row.written[row.written.len() - 1]]).collect();
    let mut news: Vec<&[u32]> = lasts.iter().map(<[u32; 1]>::as_slice).collect();
    news.extend(entering.iter().map(|&prompt| prompts[prompt].tokens.as_slice()));
    let mut all: Vec<&mut State> = rows.iter_mut().map(|row| &mut row.state).chain(&mut states).collect();
    let logits = decoder.advance(&news, &mut all);
    for (row, logits) in rows.iter_mut().zip(&logits) {
        row.written.push(sample(logits, sampling, row.seed, row.written.len()));
    }
    let entered = entering.iter().zip(states).zip(&logits[rows.len()..]);
    entered
        .flat_map(|((&prompt, state), logits)| {
            prompts[prompt].seeds.iter().enumerate().map(move |(number, &seed)| Row {
                prompt,
                sample: number,
                seed,
                state: state.clone(),
                written: vec![sample(logits, sampling, seed, 0)],
            })
        })
        .collect()
}
