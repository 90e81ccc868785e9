//! Nothing but a row's own prompt and seed decides what is written in it: not its neighbours, not
//! its place, not how many rows there are.

use rise_lab::data::PromptConfig;
use rise_lab::domain::{
    Dialogue, Policy, PolicyRequest, SampledAttempt, SamplingConfig, Seed, SeededRng,
    TrainingExample,
};
use rise_lab::model::{KvCache, LanguageModel};
use rise_lab::train::{LossTarget, encode_example};

use crate::support::{problems, random_model};

const SAMPLES: u64 = 8;

fn model() -> LanguageModel {
    random_model(&problems(16))
}

/// Dialogues of one to three turns, all of another length.
fn dialogues(count: usize) -> Vec<Dialogue> {
    let prompt = PromptConfig::default();
    let attempts = ["8+2=10\n#### 10", "8-2=6", "#### 1"];
    let problems = problems(count);
    problems
        .iter()
        .enumerate()
        .map(|(at, p)| prompt.dialogue(&p.question, &attempts[..at % 3]))
        .collect()
}

fn requests(dialogues: &[Dialogue]) -> Vec<PolicyRequest> {
    let request = |(at, dialogue): (usize, &Dialogue)| {
        let seeds = (0..SAMPLES)
            .map(|sample| Seed(at as u64).derive_indexed(sample))
            .collect();
        PolicyRequest::new(dialogue.clone(), seeds)
    };
    dialogues.iter().enumerate().map(request).collect()
}

fn respond(model: &mut LanguageModel, requests: &[PolicyRequest]) -> Vec<Vec<SampledAttempt>> {
    model
        .respond(
            requests,
            &SamplingConfig {
                max_tokens: 32,
                ..SamplingConfig::default()
            },
        )
        .unwrap()
}

#[test]
fn a_text_depends_on_its_own_dialogue_and_seed_alone() {
    let (mut model, requests) = (model(), requests(&dialogues(16)));
    let alone: Vec<Vec<SampledAttempt>> = requests
        .iter()
        .map(|request| {
            let mut single = |&seed: &Seed| {
                let single = PolicyRequest::new(request.dialogue.clone(), vec![seed]);
                respond(&mut model, std::slice::from_ref(&single)).remove(0)
            };
            request.seeds.iter().flat_map(&mut single).collect()
        })
        .collect();
    let texts: std::collections::BTreeSet<&str> =
        alone.iter().flatten().map(|a| a.text.as_str()).collect();
    assert!(texts.len() > 100, "{} different texts", texts.len());
    let finished = alone
        .iter()
        .flatten()
        .filter(|attempt| attempt.finished)
        .count();
    assert!(
        (5..123).contains(&finished),
        "{finished} of 128 rows leave early"
    );

    for (request, expected) in requests.iter().zip(&alone) {
        let together = respond(&mut model, std::slice::from_ref(request));
        assert_eq!(together, std::slice::from_ref(expected), "eight samples");
    }
    // More rows than a batch holds: some wait until others leave.
    assert_eq!(respond(&mut model, &requests), alone, "all together");
    let mut order: Vec<usize> = (0..requests.len()).collect();
    for seed in 0..3 {
        seed_draws(seed).shuffle(&mut order);
        let shuffled: Vec<PolicyRequest> = order.iter().map(|&at| requests[at].clone()).collect();
        let expected: Vec<Vec<SampledAttempt>> =
            order.iter().map(|&at| alone[at].clone()).collect();
        assert_eq!(
            respond(&mut model, &shuffled),
            expected,
            "in the order {order:?}"
        );
    }
    let strangers: Vec<PolicyRequest> = dialogues(60)
        .into_iter()
        .map(|dialogue| PolicyRequest::new(dialogue, vec![Seed(999)]))
        .collect();
    let mixed: Vec<PolicyRequest> = strangers
        .iter()
        .zip(&requests)
        .flat_map(|(a, b)| [a.clone(), b.clone()])
        .collect();
    let answers = respond(&mut model, &mixed);
    let ours: Vec<Vec<SampledAttempt>> = answers.into_iter().skip(1).step_by(2).collect();
    assert_eq!(ours, alone, "among strangers");
}

fn seed_draws(seed: u64) -> SeededRng {
    Seed(seed).rng()
}

/// Logits after every step of a row that enters with a prompt and goes on with some tokens, as bits.
type Trace = Vec<Vec<u32>>;

/// The traces of rows that go through the decoder side by side.
fn traces(model: &LanguageModel, rows: &[&(Vec<u32>, Vec<u32>)]) -> Vec<Trace> {
    let decoder = &model.decoder;
    let mut states: Vec<KvCache> = rows.iter().map(|_| decoder.new_cache()).collect();
    let mut traces = vec![Trace::new(); rows.len()];
    for step in 0..=rows[0].1.len() {
        let news: Vec<&[u32]> = rows
            .iter()
            .map(|(prompt, more)| {
                if step == 0 {
                    prompt.as_slice()
                } else {
                    &more[step - 1..step]
                }
            })
            .collect();
        let logits = decoder.forward_cached(&news, &mut states.iter_mut().collect::<Vec<_>>());
        for (trace, logits) in traces.iter_mut().zip(logits) {
            trace.push(logits.iter().map(|logit| logit.to_bits()).collect());
        }
    }
    traces
}

#[test]
fn logits_are_the_same_bits_in_any_batch() {
    let model = model();
    let vocabulary = model.tokenizer.vocabulary_size() as i64;
    let rows: Vec<(Vec<u32>, Vec<u32>)> = dialogues(97)
        .iter()
        .enumerate()
        .map(|(at, dialogue)| {
            let mut draws = seed_draws(at as u64);
            let more = (0..4)
                .map(|_| draws.int_between(0, vocabulary - 1) as u32)
                .collect();
            (model.tokenizer.encode_prompt(dialogue).unwrap(), more)
        })
        .collect();
    let alone: Vec<Trace> = rows
        .iter()
        .map(|row| traces(&model, &[row]).remove(0))
        .collect();
    assert!(
        alone.windows(2).all(|pair| pair[0] != pair[1]),
        "the rows differ"
    );
    for size in [2, 3, 7, 50, 64, 97] {
        for first in [0, 97 - size] {
            let batch: Vec<&(Vec<u32>, Vec<u32>)> = rows[first..first + size].iter().collect();
            let together = traces(&model, &batch);
            assert!(
                together == alone[first..first + size],
                "{size} rows from row {first} on"
            );
        }
    }
}

#[test]
fn training_and_generation_see_the_same_tokens() {
    let (model, answer) = (model(), "8+2=10\n#### 10");
    let tokenizer = &model.tokenizer;
    let mut expected = tokenizer.encode(answer);
    expected.push(tokenizer.stop_tokens()[0]);
    for dialogue in dialogues(12) {
        let messages = dialogue.clone().assistant(answer).0;
        // Every attempt is a target, so that each one's prefix can be compared.
        let weights = messages
            .iter()
            .enumerate()
            .map(|(at, _)| (at % 2) as f64)
            .collect();
        let encoded = encode_example(
            &TrainingExample {
                messages: messages.clone(),
                weights,
            },
            tokenizer,
            512,
        )
        .unwrap();
        assert_eq!(encoded.targets.len(), messages.len() / 2);
        for (
            number,
            &LossTarget {
                start: from,
                end: to,
                ..
            },
        ) in encoded.targets.iter().enumerate()
        {
            let before = Dialogue(messages[..=2 * number].to_vec());
            assert_eq!(
                encoded.tokens[..from],
                tokenizer.encode_prompt(&before).unwrap(),
                "before attempt {number}"
            );
            assert_eq!(
                tokenizer.decode(&encoded.tokens[from..to]),
                messages[2 * number + 1].text
            );
        }
        let &LossTarget {
            start: from,
            end: to,
            ..
        } = encoded.targets.last().unwrap();
        assert_eq!(encoded.tokens[from..to], expected);
        assert_eq!(to, encoded.tokens.len());
    }
}
