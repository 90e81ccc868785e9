//! Sampling with continuous batching: a finished row's place is taken by the next prompt, prompts
//! of any lengths share a step, and the samples of one prompt share its prefill.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::{SamplingConfig, Seed};

use super::decode::DecodeSession;
use super::sampler::Sampler;
use super::{Decoder, Engine, KvCache, portable};

/// Rows that are sampled together at most: as many as the matrix kernels take at once without
/// copying the weights, and few enough that a batch's last rows are not alone for long.
pub(super) const MAX_ROWS: usize = 48;
/// The same for a small model: most of what a step reads is what the rows remember, and of fewer rows
/// more of it stays near.
const MAX_ROWS_OF_SMALL_MODEL: usize = 24;
/// Parameters of a small model at most: a core's own cache holds them.
const SMALL_MODEL_PARAMETERS: usize = 1 << 19;

/// A prompt to continue, once per seed.
#[derive(Clone, Debug)]
pub struct GenerationPrompt {
    /// Its tokens; at least one.
    pub tokens: Vec<u32>,
    /// One seed per sample.
    pub seeds: Vec<Seed>,
}

/// One sample that is being written.
struct SampleState {
    prompt: usize,
    sample: usize,
    seed: Seed,
    cache: KvCache,
    tokens: Vec<u32>,
}

/// The state that the threads of a call share.
struct CpuGeneration<'a> {
    decoder: &'a Decoder,
    prompts: &'a [GenerationPrompt],
    sampling: &'a SamplingConfig,
    stop_tokens: &'a [u32],
    on_token: TokenCallback<'a>,
    /// Places for rows in each thread.
    max_rows: usize,
    queue: Mutex<VecDeque<usize>>,
    samples: Mutex<Vec<Vec<Vec<u32>>>>,
}

/// Continues every prompt until a token in `stops` (which is kept) or the limit of
/// `sampling.max_tokens`; returns the tokens of each sample of each prompt.
///
/// What a sample says depends on its own prompt and seed only. A prompt that begins as samples of
/// the last call went on is continued from their caches.
///
/// # Panics
/// If a prompt is empty, or it and its continuation do not fit the model's positions.
#[must_use]
pub fn generate(
    decoder: &Decoder,
    prompts: &[GenerationPrompt],
    sampling: &SamplingConfig,
    stops: &[u32],
) -> Vec<Vec<Vec<u32>>> {
    generate_streaming(decoder, prompts, sampling, stops, &|_, _| {})
}

/// Who is told of each token as it is drawn: the prompt's number, and the token.
pub type TokenCallback<'a> = &'a (dyn Fn(usize, u32) + Sync);

/// As [`generate`], telling of each token as it is drawn.
///
/// # Panics
/// As [`generate`].
#[must_use]
pub fn generate_streaming(
    decoder: &Decoder,
    prompts: &[GenerationPrompt],
    sampling: &SamplingConfig,
    stops: &[u32],
    heard: TokenCallback<'_>,
) -> Vec<Vec<Vec<u32>>> {
    if decoder.engine == Engine::Portable {
        return portable::generate(decoder, prompts, sampling, stops, heard);
    }
    let threads = decoder.threads.count();
    let work = CpuGeneration {
        decoder,
        prompts,
        sampling,
        stop_tokens: stops,
        on_token: heard,
        max_rows: max_rows_per_thread(decoder, prompts),
        queue: Mutex::new(
            (0..prompts.len())
                .filter(|&i| !prompts[i].seeds.is_empty())
                .collect(),
        ),
        samples: Mutex::new(
            prompts
                .iter()
                .map(|p| vec![Vec::new(); p.seeds.len()])
                .collect(),
        ),
    };
    lock(&decoder.caches.prefix_cache).begin_call();
    decoder
        .threads
        .for_each(vec![&work; threads], CpuGeneration::run);
    lock(&decoder.caches.prefix_cache).end_call();
    work.samples
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Shares the rows evenly among the threads, up to what a step takes well.
fn max_rows_per_thread(decoder: &Decoder, prompts: &[GenerationPrompt]) -> usize {
    let rows: usize = prompts.iter().map(|prompt| prompt.seeds.len()).sum();
    let small = decoder.weights().parameter_count() <= SMALL_MODEL_PARAMETERS;
    rows.div_ceil(decoder.threads.count()).min(if small {
        MAX_ROWS_OF_SMALL_MODEL
    } else {
        MAX_ROWS
    })
}

impl CpuGeneration<'_> {
    /// Continues prompts until none is waiting.
    fn run(&self) {
        let (mut session, mut sampler) = (DecodeSession::new(self.decoder), Sampler::default());
        let mut rows: Vec<SampleState> = Vec::new();
        loop {
            let entering = self.admit(rows.len());
            if rows.is_empty() && entering.is_empty() {
                return;
            }
            self.step(&mut session, &mut sampler, &mut rows, &entering);
            for row in rows.extract_if(.., |row| self.has_ended(row)) {
                self.finish(row);
            }
        }
    }

    /// The prompts that enter now: as many as there are places for their samples, and at least one
    /// if nothing else is running.
    fn admit(&self, running: usize) -> Vec<usize> {
        let mut waiting = lock(&self.queue);
        let mut places = self.max_rows.saturating_sub(running);
        let mut entering = Vec::new();
        while let Some(&next) = waiting.front() {
            let wanted = self.prompts[next].seeds.len();
            if wanted > places && (running > 0 || !entering.is_empty()) {
                break;
            }
            places = places.saturating_sub(wanted);
            entering.push(next);
            waiting.pop_front();
        }
        entering
    }

    /// One step: every running row takes in its last token, every entering prompt what of it is
    /// not known yet; each then draws its next token. The entering prompts' samples become rows.
    fn step(
        &self,
        session: &mut DecodeSession<'_>,
        sampler: &mut Sampler,
        rows: &mut Vec<SampleState>,
        entering: &[usize],
    ) {
        let mut states: Vec<KvCache> = entering
            .iter()
            .map(|&prompt| self.cached_prefix(prompt))
            .collect();
        let mut logits = self
            .forward(session, rows, entering, &mut states)
            .chunks_exact(self.decoder.vocabulary_size());
        for (row, logits) in rows.iter_mut().zip(logits.by_ref()) {
            let token = sampler.sample(logits, self.sampling, row.seed, row.tokens.len());
            (self.on_token)(row.prompt, token);
            row.tokens.push(token);
        }
        for ((&prompt, state), logits) in entering.iter().zip(states).zip(logits) {
            self.begin_samples(prompt, &state, logits, sampler, rows);
        }
    }

    /// Computes the logits behind every running row's last token and every entering prompt's, one
    /// after the other.
    fn forward<'s>(
        &self,
        session: &'s mut DecodeSession<'_>,
        rows: &mut [SampleState],
        entering: &[usize],
        states: &mut [KvCache],
    ) -> &'s [f32] {
        let lasts: Vec<[u32; 1]> = rows
            .iter()
            .map(|row| [row.tokens[row.tokens.len() - 1]])
            .collect();
        let mut news: Vec<&[u32]> = lasts.iter().map(<[u32; 1]>::as_slice).collect();
        news.extend(
            entering
                .iter()
                .zip(&*states)
                .map(|(&p, state)| &self.prompts[p].tokens[state.token_count()..]),
        );
        let mut all: Vec<&mut KvCache> = rows
            .iter_mut()
            .map(|row| &mut row.cache)
            .chain(states)
            .collect();
        session.forward_cached(&news, &mut all)
    }

    /// Draws the first token of each of a prompt's samples, which become rows.
    fn begin_samples(
        &self,
        prompt: usize,
        state: &KvCache,
        logits: &[f32],
        sampler: &mut Sampler,
        rows: &mut Vec<SampleState>,
    ) {
        for (sample, &seed) in self.prompts[prompt].seeds.iter().enumerate() {
            let mut written = Vec::with_capacity(self.sampling.max_tokens);
            let token = sampler.sample(logits, self.sampling, seed, 0);
            (self.on_token)(prompt, token);
            written.push(token);
            rows.push(SampleState {
                prompt,
                sample,
                seed,
                cache: state.clone(),
                tokens: written,
            });
        }
    }

    fn cached_prefix(&self, prompt: usize) -> KvCache {
        let known =
            lock(&self.decoder.caches.prefix_cache).longest_prefix(&self.prompts[prompt].tokens);
        known.unwrap_or_else(|| self.decoder.new_cache())
    }

    fn has_ended(&self, row: &SampleState) -> bool {
        let last = row.tokens.last();
        row.tokens.len() >= self.sampling.max_tokens
            || last.is_some_and(|last| self.stop_tokens.contains(last))
    }

    fn finish(&self, row: SampleState) {
        let prompt = &self.prompts[row.prompt].tokens;
        let tokens = prompt
            .iter()
            .chain(&row.tokens)
            .take(row.cache.token_count())
            .copied()
            .collect();
        lock(&self.decoder.caches.prefix_cache).insert(tokens, row.cache);
        lock(&self.samples)[row.prompt][row.sample] = row.tokens;
    }
}

/// What a lock guards is whole even if a thread panicked: every change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::decoder;

    const SAMPLING: SamplingConfig = SamplingConfig {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        max_tokens: 24,
    };

    /// Prompts of unequal lengths with unequal numbers of samples.
    fn prompts(count: u32) -> Vec<GenerationPrompt> {
        (0..count)
            .map(|i| GenerationPrompt {
                tokens: (0..=i * 7 % 41).map(|j| (i * j + j + i) % 37).collect(),
                seeds: (0..u64::from(i % 4))
                    .map(|sample| Seed(u64::from(i)).derive_indexed(sample))
                    .collect(),
            })
            .collect()
    }

    /// The prompts with what was written behind them and a few tokens more: the next turn.
    fn next_turn(prompts: &[GenerationPrompt], samples: &[Vec<Vec<u32>>]) -> Vec<GenerationPrompt> {
        let continued = |(prompt, samples): (&GenerationPrompt, &Vec<Vec<u32>>)| {
            let written = samples.first().cloned().unwrap_or_default();
            let tokens = [&prompt.tokens, &written, &vec![7, 11, 13]]
                .map(Vec::as_slice)
                .concat();
            GenerationPrompt {
                tokens,
                seeds: prompt
                    .seeds
                    .iter()
                    .map(|seed| seed.derive_indexed(99))
                    .collect(),
            }
        };
        prompts.iter().zip(samples).map(continued).collect()
    }

    #[test]
    fn the_next_turn_writes_the_same_with_kept_caches_and_without() {
        let (going_on, mut turn) = (decoder(), prompts(90));
        for _ in 0..3 {
            let samples = generate(&going_on, &turn, &SAMPLING, &[3, 4]);
            assert_eq!(samples, generate(&decoder(), &turn, &SAMPLING, &[3, 4]));
            turn = next_turn(&turn, &samples);
        }
        let kept = lock(&going_on.caches.prefix_cache);
        assert!(
            kept.longest_prefix(&turn[1].tokens).is_none(),
            "nothing is left over from the call before"
        );
    }

    #[test]
    fn any_number_of_threads_writes_the_same() {
        let (prompts, one) = (prompts(200), decoder());
        let expected = generate(&one, &prompts, &SAMPLING, &[3, 4]);
        let lengths: Vec<usize> = expected.iter().flatten().map(Vec::len).collect();
        assert!(lengths.contains(&24) && lengths.iter().any(|&length| length < 24));
        for threads in 2..5 {
            let decoder = decoder();
            decoder.threads.set_count(threads);
            assert_eq!(
                generate(&decoder, &prompts, &SAMPLING, &[3, 4]),
                expected,
                "{threads} threads"
            );
        }
    }

    #[test]
    fn nothing_to_sample_is_nothing_to_do() {
        assert!(generate(&decoder(), &[], &SAMPLING, &[]).is_empty());
        let silent = GenerationPrompt {
            tokens: vec![1],
            seeds: Vec::new(),
        };
        assert_eq!(
            generate(&decoder(), &[silent], &SAMPLING, &[]),
            [Vec::<Vec<u32>>::new()]
        );
    }
}
