//! Sampling with continuous batching: a finished row's place is taken by the next prompt, prompts
//! of any lengths share a step, and the samples of one prompt share its prefill.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::{Sampling, Seed};

use super::decode::Session;
use super::sampler::Sampler;
use super::{Decoder, Kernels, State, tensors};

/// Rows that are sampled together at most: as many as the matrix kernels take at once without
/// copying the weights, and few enough that a batch's last rows are not alone for long.
pub(super) const ROWS: usize = 48;
/// The same for a small model: most of what a step reads is what the rows remember, and of fewer rows
/// more of it stays near.
const ROWS_OF_SMALL: usize = 24;
/// Parameters of a small model at most: a core's own cache holds them.
const SMALL: usize = 1 << 19;

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

/// What the threads of a call share.
struct Work<'a> {
    decoder: &'a Decoder,
    prompts: &'a [Prompted],
    sampling: &'a Sampling,
    stops: &'a [u32],
    heard: Heard<'a>,
    /// Places for rows in each thread.
    places: usize,
    waiting: Mutex<VecDeque<usize>>,
    done: Mutex<Vec<Vec<Vec<u32>>>>,
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
    prompts: &[Prompted],
    sampling: &Sampling,
    stops: &[u32],
) -> Vec<Vec<Vec<u32>>> {
    generate_aloud(decoder, prompts, sampling, stops, &|_, _| {})
}

/// Who is told of each token as it is drawn: the prompt's number, and the token.
pub type Heard<'a> = &'a (dyn Fn(usize, u32) + Sync);

/// As [`generate`], telling of each token as it is drawn.
///
/// # Panics
/// As [`generate`].
#[must_use]
pub fn generate_aloud(
    decoder: &Decoder,
    prompts: &[Prompted],
    sampling: &Sampling,
    stops: &[u32],
    heard: Heard<'_>,
) -> Vec<Vec<Vec<u32>>> {
    if decoder.kernels == Kernels::Plain {
        return tensors::generate(decoder, prompts, sampling, stops, heard);
    }
    let threads = decoder.threads.count();
    let rows: usize = prompts.iter().map(|prompt| prompt.seeds.len()).sum();
    let small = decoder.weights().count() <= SMALL;
    let work = Work {
        decoder,
        prompts,
        sampling,
        stops,
        heard,
        places: rows
            .div_ceil(threads)
            .min(if small { ROWS_OF_SMALL } else { ROWS }),
        waiting: Mutex::new(
            (0..prompts.len())
                .filter(|&i| !prompts[i].seeds.is_empty())
                .collect(),
        ),
        done: Mutex::new(
            prompts
                .iter()
                .map(|p| vec![Vec::new(); p.seeds.len()])
                .collect(),
        ),
    };
    locked(&decoder.memory.kept).begin();
    decoder.threads.each(vec![&work; threads], Work::run);
    locked(&decoder.memory.kept).end();
    work.done
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

impl Work<'_> {
    /// Continues prompts until none is waiting.
    fn run(&self) {
        let (mut session, mut sampler) = (Session::new(self.decoder), Sampler::default());
        let mut rows: Vec<Row> = Vec::new();
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
        let mut waiting = locked(&self.waiting);
        let mut places = self.places.saturating_sub(running);
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
        session: &mut Session<'_>,
        sampler: &mut Sampler,
        rows: &mut Vec<Row>,
        entering: &[usize],
    ) {
        let mut states: Vec<State> = entering
            .iter()
            .map(|&prompt| self.beginning(prompt))
            .collect();
        let lasts: Vec<[u32; 1]> = rows
            .iter()
            .map(|row| [row.written[row.written.len() - 1]])
            .collect();
        let mut news: Vec<&[u32]> = lasts.iter().map(<[u32; 1]>::as_slice).collect();
        news.extend(
            entering
                .iter()
                .zip(&states)
                .map(|(&p, state)| &self.prompts[p].tokens[state.filled()..]),
        );
        let mut all: Vec<&mut State> = rows
            .iter_mut()
            .map(|row| &mut row.state)
            .chain(&mut states)
            .collect();
        let mut logits = session
            .advance(&news, &mut all)
            .chunks_exact(self.decoder.vocabulary());
        for (row, logits) in rows.iter_mut().zip(logits.by_ref()) {
            let token = sampler.draw(logits, self.sampling, row.seed, row.written.len());
            (self.heard)(row.prompt, token);
            row.written.push(token);
        }
        for ((&prompt, state), logits) in entering.iter().zip(states).zip(logits) {
            rows.extend(
                self.prompts[prompt]
                    .seeds
                    .iter()
                    .enumerate()
                    .map(|(sample, &seed)| {
                        let mut written = Vec::with_capacity(self.sampling.max_tokens);
                        let token = sampler.draw(logits, self.sampling, seed, 0);
                        (self.heard)(prompt, token);
                        written.push(token);
                        Row {
                            prompt,
                            sample,
                            seed,
                            state: state.clone(),
                            written,
                        }
                    }),
            );
        }
    }

    fn beginning(&self, prompt: usize) -> State {
        let known = locked(&self.decoder.memory.kept).beginning(&self.prompts[prompt].tokens);
        known.unwrap_or_else(|| self.decoder.state())
    }

    fn has_ended(&self, row: &Row) -> bool {
        let last = row.written.last();
        row.written.len() >= self.sampling.max_tokens
            || last.is_some_and(|last| self.stops.contains(last))
    }

    fn finish(&self, row: Row) {
        let prompt = &self.prompts[row.prompt].tokens;
        let tokens = prompt
            .iter()
            .chain(&row.written)
            .take(row.state.filled())
            .copied()
            .collect();
        locked(&self.decoder.memory.kept).keep(tokens, row.state);
        locked(&self.done)[row.prompt][row.sample] = row.written;
    }
}

/// What a lock guards is whole even if a thread panicked: every change is one assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::decoder;

    const SAMPLING: Sampling = Sampling {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        max_tokens: 24,
    };

    /// Prompts of unequal lengths with unequal numbers of samples.
    fn prompts(count: u32) -> Vec<Prompted> {
        (0..count)
            .map(|i| Prompted {
                tokens: (0..=i * 7 % 41).map(|j| (i * j + j + i) % 37).collect(),
                seeds: (0..u64::from(i % 4))
                    .map(|sample| Seed(u64::from(i)).at(sample))
                    .collect(),
            })
            .collect()
    }

    /// The prompts with what was written behind them and a few tokens more: the next turn.
    fn next_turn(prompts: &[Prompted], samples: &[Vec<Vec<u32>>]) -> Vec<Prompted> {
        let continued = |(prompt, samples): (&Prompted, &Vec<Vec<u32>>)| {
            let written = samples.first().cloned().unwrap_or_default();
            let tokens = [&prompt.tokens, &written, &vec![7, 11, 13]]
                .map(Vec::as_slice)
                .concat();
            Prompted {
                tokens,
                seeds: prompt.seeds.iter().map(|seed| seed.at(99)).collect(),
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
        let kept = locked(&going_on.memory.kept);
        assert!(
            kept.beginning(&turn[1].tokens).is_none(),
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
            decoder.threads.set(threads);
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
        let silent = Prompted {
            tokens: vec![1],
            seeds: Vec::new(),
        };
        assert_eq!(
            generate(&decoder(), &[silent], &SAMPLING, &[]),
            [Vec::<Vec<u32>>::new()]
        );
    }
}
