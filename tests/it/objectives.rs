//! The gradients of preference and policy-gradient objectives against finite differences of the
//! objectives themselves, written down here once more from logits; and the stage that learns from
//! pairs.
//!
//! Slopes are taken in single precision along some directions through all parameters. They agree
//! to about a thousandth of the gradient's length, where the objective has kinks to a hundredth; what is broken on purpose is off by more than a
//! tenth of it.

use std::sync::Arc;

use burn::tensor::Tensor;
use rise_lab::data::PromptConfig;
use rise_lab::domain::{
    AttemptReview, Candidate, CandidateAuthor, Dialogue, Episode, Grade, GradeVerdict, Message,
    NoopObserver, PreferencePair, Problem, Role, Seed, SeededRng, TrainingExample,
    Turn as DialogueTurn,
};
use rise_lab::model::{
    CheckpointFolder, Decoder, Gradients, LanguageModel, ParameterVisitor, RaggedBatch, Threads,
};
use rise_lab::pipeline::{PreferStage, StageNode, Workspace, execute_stage};
use rise_lab::train::{
    DpoObjective, EncodedEpisode, EncodedExample, EncodedPair, LossTarget, OnlineConfig,
    PolicyGradientObjective, PolicyLoss, SampledGroups, TrainConfig, TrainingObjective,
    trajectory_preferences,
};
use serde_json::json;

use crate::reference;
use crate::support::{finished_base, finished_rows, problems, random_model};

/// How far the parameters are moved for a slope.
const STEP: f32 = 1e-4;
/// Slopes and gradients differ by less than this part of the gradient's length ...
const CLOSE: f64 = 0.01;
/// ... and by more than this where something is broken.
const FAR: f64 = 0.1;

/// Parameters moved by `by` times a direction of length 1.
struct Moved {
    draws: SeededRng,
    by: f32,
}

impl ParameterVisitor for Moved {
    fn visit<const R: usize>(&mut self, _: &str, parameter: Tensor<R>) -> Tensor<R> {
        let (device, shape) = (parameter.device(), parameter.shape());
        let mut values: Vec<f32> = parameter.into_data().try_into_vec().unwrap();
        for value in &mut values {
            *value += self.by * self.draws.normal() as f32;
        }
        Tensor::from_data(burn::tensor::TensorData::new(values, shape), &device)
    }
}

fn moved(decoder: &Decoder, direction: u64, by: f32) -> Decoder {
    let mut moved = Moved {
        draws: Seed(direction).rng(),
        by,
    };
    decoder.with_weights(decoder.weights().clone().map_parameters(&mut moved))
}

/// The inner product of gradients with a direction.
struct Along<'a> {
    draws: SeededRng,
    gradients: &'a Gradients,
    sum: f64,
}

impl ParameterVisitor for Along<'_> {
    fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R> {
        let gradient = self.gradients.values(name).unwrap();
        self.sum += gradient
            .iter()
            .map(|&g| f64::from(g) * self.draws.normal())
            .sum::<f64>();
        parameter
    }
}

/// The largest difference over some directions between the slope of `truth` and what the
/// objective's batch at `step` gives, as a part of the gradient's length.
fn difference(
    objective: &mut dyn TrainingObjective,
    step: usize,
    at: &Decoder,
    truth: &dyn Fn(&Decoder) -> f64,
) -> f64 {
    let weighed = objective.batch(step, at).unwrap();
    let loss = weighed.loss.unwrap();
    let (_, gradients) = at.loss_and_gradients(&weighed.batch.inputs, &weighed.batch.targets);
    let off = |direction| {
        let slope = (truth(&moved(at, direction, STEP)) - truth(&moved(at, direction, -STEP)))
            / (2.0 * f64::from(STEP));
        let mut along = Along {
            draws: Seed(direction).rng(),
            gradients: &gradients,
            sum: 0.0,
        };
        let _ = at.weights().clone().map_parameters(&mut along);
        (slope - along.sum).abs() / gradients.norm()
    };
    let worst = (0..6).map(off).fold(0.0, f64::max);
    worst.max((loss - truth(at)).abs())
}

/// Log-probabilities of an example's tokens from the second on, from logits in double precision.
fn logs(decoder: &Decoder, example: &EncodedExample) -> Vec<f64> {
    let inputs = example.tokens.len() - 1;
    let tokens = example.tokens[..inputs].to_vec();
    let lengths = Arc::from([inputs]);
    let logits = reference::logits(decoder, &RaggedBatch { tokens, lengths });
    let rows = logits
        .chunks_exact(logits.len() / inputs)
        .zip(&example.tokens[1..]);
    let log = |(row, &next): (&[f32], &u32)| {
        let total: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
        f64::from(row[next as usize]) - total.ln()
    };
    rows.map(log).collect()
}

const QUESTION: &str = "Ann has 3 pens. She buys 4 more. How many pens does Ann have now?";

/// A two-turn dialogue.
fn dialogue(first: &str, second: &str) -> Vec<Message> {
    Dialogue::default()
        .user(QUESTION)
        .assistant(first)
        .user("Try again.")
        .assistant(second)
        .0
}

/// An example whose targets are both attempts.
fn both(first: &str, second: &str) -> TrainingExample {
    let messages = dialogue(first, second);
    let weights = messages
        .iter()
        .map(|m| f64::from(u8::from(m.role == Role::Assistant)))
        .collect();
    TrainingExample { messages, weights }
}

fn preference() -> PreferencePair {
    PreferencePair {
        chosen: both("3+4=8\n#### 8", "3+4=7\n#### 7"),
        rejected: both("#### 7", "3+4=8"),
    }
}

/// A model whose answers are neither sure nor all alike, and others not far from it.
fn models() -> (LanguageModel, [Decoder; 2]) {
    let model = random_model(&problems(16));
    let others = [
        moved(&model.decoder, 91, 0.02),
        moved(&model.decoder, 92, 0.02),
    ];
    (model, others)
}

fn config() -> TrainConfig {
    TrainConfig {
        epochs: 1,
        batch_size: 2,
        ..TrainConfig::default()
    }
}

/// The loss of direct preference optimisation: over all targets of either side.
fn preferred(decoder: &Decoder, reference: &Decoder, pairs: &[EncodedPair], beta: f64) -> f64 {
    let sum = |decoder: &Decoder, side: &EncodedExample| -> f64 {
        let logs = logs(decoder, side);
        side.targets
            .iter()
            .map(|target| logs[target.start - 1..target.end - 1].iter().sum::<f64>())
            .sum()
    };
    let gained = |side: &EncodedExample| sum(decoder, side) - sum(reference, side);
    let loss =
        |EncodedPair {
             sides: [better, worse],
         }: &EncodedPair| { (1.0 + (-beta * (gained(better) - gained(worse))).exp()).ln() };
    pairs.iter().map(loss).sum::<f64>() / pairs.len() as f64
}

#[test]
fn the_gradient_of_direct_preference_optimisation() {
    const BETA: f64 = 0.3;
    let (model, [reference, at]) = models();
    let pair = |preference: &PreferencePair| {
        EncodedPair::encode(preference, &model.tokenizer, 512).unwrap()
    };
    let swapped = PreferencePair {
        chosen: both("8", "7"),
        rejected: both("3+4=7", "3+4=7"),
    };
    let pairs = [pair(&preference()), pair(&swapped)];
    let truth = |decoder: &Decoder| preferred(decoder, &reference, &pairs, BETA);
    let off = |reference: &Decoder, pairs: &[EncodedPair], beta| {
        let mut objective = DpoObjective::new(reference, pairs, beta, config(), Seed(1)).unwrap();
        difference(&mut objective, 0, &at, &truth)
    };
    let right = off(&reference, &pairs, BETA);
    assert!(right < CLOSE, "{right}");

    let changed = |change: &dyn Fn(&mut EncodedPair)| {
        let mut pairs = pairs.clone();
        pairs.iter_mut().for_each(change);
        off(&reference, &pairs, BETA)
    };
    let shift = |by: isize| {
        move |pair: &mut EncodedPair| {
            for target in pair.sides.iter_mut().flat_map(|side| &mut side.targets) {
                target.start = target.start.strict_add_signed(by);
                target.end = target.end.strict_add_signed(by.min(0));
            }
        }
    };
    for (what, off) in [
        ("sides swapped", changed(&|pair| pair.sides.swap(0, 1))),
        ("mask one too early", changed(&shift(-1))),
        ("mask one too late", changed(&shift(1))),
        ("another reference", off(&at, &pairs, BETA)),
        ("sign flipped", off(&reference, &pairs, -BETA)),
    ] {
        assert!(off > FAR, "{what}: {off}");
    }
}

/// An episode of attempts, each with what was said of it.
pub fn verified(said: &[(&str, &str)], right: bool) -> Episode {
    let last = said.len() - 1;
    let turn = |(number, (attempt, review)): (usize, &(&str, &str))| {
        let verdict = if right && number == last {
            GradeVerdict::Right
        } else {
            GradeVerdict::Wrong
        };
        let (text, grade) = (
            (*attempt).to_owned(),
            Grade {
                answer: None,
                verdict,
            },
        );
        let candidate = Candidate {
            author: CandidateAuthor::Policy,
            text,
            tokens: 1,
            prompt_tokens: 1,
            finished: true,
            grade,
        };
        let review = AttemptReview {
            text: (*review).to_owned(),
            tokens: 1,
            prompt_tokens: 1,
            approves: None,
        };
        DialogueTurn {
            review: Some(review),
            ..DialogueTurn::single(candidate)
        }
    };
    Episode {
        problem: "pens".to_owned(),
        sample: 0,
        turns: said.iter().enumerate().map(turn).collect(),
    }
}

#[test]
fn the_gradient_of_a_preference_between_whole_dialogues() {
    const BETA: f64 = 0.3;
    let (model, [reference, at]) = models();
    let (question, answer) = (QUESTION.to_owned(), "7".to_owned());
    let problems = [Problem {
        id: "pens".to_owned(),
        question,
        answer,
        solution: None,
    }];
    let episodes = [
        verified(&[("3+4=8\n#### 8", "no"), ("3+4=7\n#### 7", "yes")], true),
        verified(
            &[("#### 7", "no"), ("8", "no"), ("3+4=9\n#### 9", "yes")],
            false,
        ),
    ];
    let preferences = trajectory_preferences(&problems, &episodes, PromptConfig::default());
    let pairs: Vec<EncodedPair> = preferences
        .iter()
        .map(|pair| EncodedPair::encode(pair, &model.tokenizer, 512).unwrap())
        .collect();
    let targets: Vec<usize> = pairs[0]
        .sides
        .iter()
        .map(|side| side.targets.len())
        .collect();
    assert_eq!(targets, [4, 6], "attempts and verifications");

    let truth = |decoder: &Decoder| preferred(decoder, &reference, &pairs, BETA);
    let off = |change: &dyn Fn(&mut EncodedExample)| {
        let mut pairs = pairs.clone();
        pairs
            .iter_mut()
            .flat_map(|pair| &mut pair.sides)
            .for_each(change);
        let mut objective = DpoObjective::new(&reference, &pairs, BETA, config(), Seed(1)).unwrap();
        difference(&mut objective, 0, &at, &truth)
    };
    let right = off(&|_| ());
    assert!(right < CLOSE, "{right}");
    let every_other = |side: &mut EncodedExample, odd: usize| {
        let mut number = 0;
        side.targets.retain(|_| {
            number += 1;
            number % 2 == odd
        });
    };
    for (what, off) in [
        (
            "only the last message counted",
            off(&|side| drop(side.targets.drain(..side.targets.len() - 1))),
        ),
        (
            "only the first message counted",
            off(&|side| side.targets.truncate(1)),
        ),
        ("verifications left out", off(&|side| every_other(side, 1))),
        ("attempts left out", off(&|side| every_other(side, 0))),
        (
            "mask one too late",
            off(&|side| side.targets.iter_mut().for_each(|target| target.start += 1)),
        ),
    ] {
        assert!(off > FAR, "{what}: {off}");
    }
}

/// Two problems with three episodes each; two attempts earn something.
fn groups(model: &LanguageModel) -> Vec<Vec<EncodedEpisode>> {
    let episode = |first: &str, second: &str, rewards: [f64; 2]| {
        // One attempt was cut off.
        let attempts = [(true, rewards[0]), (first != "#### 8", rewards[1])];
        EncodedEpisode::new(&dialogue(first, second), &attempts, &model.tokenizer, 512).unwrap()
    };
    vec![
        vec![
            episode("3+4=8\n#### 8", "3+4=7\n#### 7", [0.0, 1.0]),
            episode("#### 8", "#### 8", [0.0, 0.0]),
            episode("3+4=7\n#### 7", "8", [1.0, 0.0]),
        ],
        vec![
            episode("7", "3+4=7", [1.0, 0.0]),
            episode("3+4", "#### 7", [0.0, 1.0]),
            episode("3", "#### 9", [0.0, 0.0]),
        ],
    ]
}

/// What a turn adds: its number, the indices of its problem and of its episode there, and the
/// log-probabilities of its tokens under three decoders.
type Turn<'a> = &'a dyn Fn(usize, [usize; 2], [&[f64]; 3]) -> f64;

/// The sum over all turns of what each adds.
fn over_turns(groups: &[Vec<EncodedEpisode>], decoders: [&Decoder; 3], value: Turn<'_>) -> f64 {
    let mut sum = 0.0;
    for (problem, group) in groups.iter().enumerate() {
        for (number, episode) in group.iter().enumerate() {
            let said = decoders.map(|decoder| logs(decoder, &episode.example));
            for (
                turn,
                &LossTarget {
                    start: from,
                    end: to,
                    ..
                },
            ) in episode.example.targets.iter().enumerate()
            {
                sum += value(
                    turn,
                    [problem, number],
                    [0, 1, 2].map(|one| &said[one][from - 1..to - 1]),
                );
            }
        }
    }
    sum
}

fn settings(rule: PolicyLoss, passes: u32) -> OnlineConfig {
    OnlineConfig {
        iterations: 1,
        batch_problems: 2,
        group_size: 3,
        turns: 2,
        updates_per_batch: passes,
        discount: 0.0,
        unreadable_reward: 0.0,
        policy_loss: rule,
    }
}

/// The difference at the last pass over these episodes, sampled by `then` and held near `reference`.
fn practised(
    settings: OnlineConfig,
    groups: &[Vec<EncodedEpisode>],
    [then, at, reference]: [&Decoder; 3],
    truth: &dyn Fn(&Decoder) -> f64,
) -> f64 {
    let mut sampler = |_: &Decoder, _| {
        Ok(SampledGroups {
            groups: groups.to_vec(),
            counts: vec![],
        })
    };
    let mut objective =
        PolicyGradientObjective::new(settings, config(), reference.clone(), &mut sampler);
    for pass in 1..settings.updates_per_batch {
        objective.batch(pass as usize - 1, then).unwrap();
    }
    difference(
        &mut objective,
        settings.updates_per_batch as usize - 1,
        at,
        truth,
    )
}

/// Every way to spoil episodes.
fn spoilt(groups: &[Vec<EncodedEpisode>]) -> [(&'static str, Vec<Vec<EncodedEpisode>>); 3] {
    let changed = |change: &dyn Fn(&mut EncodedEpisode)| {
        let mut groups = groups.to_vec();
        groups.iter_mut().flatten().for_each(change);
        groups
    };
    let negated =
        |one: &mut EncodedEpisode| one.rewards.iter_mut().for_each(|reward| *reward = -*reward);
    let early = |one: &mut EncodedEpisode| {
        for target in &mut one.example.targets {
            target.start -= 1;
            target.end -= 1;
        }
    };
    let late = |one: &mut EncodedEpisode| {
        for target in &mut one.example.targets {
            target.start += 1;
        }
    };
    [
        ("reward sign flipped", changed(&negated)),
        ("mask one too early", changed(&early)),
        ("mask one too late", changed(&late)),
    ]
}

#[test]
fn the_gradient_of_group_relative_policy_optimisation() {
    // Bounds that no token is near: there the objective has a kink.
    const CLIP: f64 = 0.14;
    const KL: f64 = 0.5;
    let (model, [reference, at]) = models();
    let (then, groups) = (&model.decoder, groups(&model));
    // Of three rewards 1, 0, 0 (shaped at turn 2: 2, 0, -1 and 0 - 1, 2, 0): minus the mean, over
    // the standard deviation.
    let standard = |values: [f64; 3]| {
        let mean = values.iter().sum::<f64>() / 3.0;
        let deviation = (values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>()
            / 3.0)
            .sqrt();
        values.map(|value| (value - mean) / deviation)
    };
    let advantages = [
        [standard([0.0, 0.0, 1.0]), standard([1.0, 0.0, 0.0])],
        [standard([2.0, 0.0, -1.0]), standard([-1.0, 2.0, 0.0])],
    ];
    let clipped = std::cell::Cell::new(0);
    let truth = |decoder: &Decoder| {
        let turn =
            |turn: usize, [problem, number]: [usize; 2], [now, then, reference]: [&[f64]; 3]| {
                let advantage = advantages[turn][problem][number];
                let token = |at: usize| {
                    let ratio = (now[at] - then[at]).exp();
                    let bounded = ratio.clamp(1.0 - CLIP, 1.0 + CLIP);
                    clipped.set(clipped.get() + i32::from(bounded * advantage < ratio * advantage));
                    let other = (reference[at] - now[at]).exp();
                    (ratio * advantage).min(bounded * advantage) - KL * (other - other.ln() - 1.0)
                };
                (0..now.len()).map(token).sum::<f64>() / now.len() as f64
            };
        -over_turns(&groups, [decoder, then, &reference], &turn) / 12.0
    };
    let rule = |clip, kl, shaping| settings(PolicyLoss::Grpo { clip, kl, shaping }, 2);
    let decoders = [then, &at, &reference];
    let right = practised(rule(CLIP, KL, 1.0), &groups, decoders, &truth);
    assert!(right < CLOSE, "{right}");
    assert!(clipped.get() > 20, "{} tokens out of bounds", clipped.get());

    let mut broken: Vec<(&str, f64)> = spoilt(&groups)
        .iter()
        .map(|(what, groups)| {
            (
                *what,
                practised(rule(CLIP, KL, 1.0), groups, decoders, &truth),
            )
        })
        .collect();
    broken.push((
        "KL sign flipped",
        practised(rule(CLIP, -KL, 1.0), &groups, decoders, &truth),
    ));
    broken.push((
        "never clipped",
        practised(rule(9.0, KL, 1.0), &groups, decoders, &truth),
    ));
    broken.push((
        "not shaped",
        practised(rule(CLIP, KL, 0.0), &groups, decoders, &truth),
    ));
    broken.push((
        "another reference",
        practised(rule(CLIP, KL, 1.0), &groups, [then, &at, then], &truth),
    ));
    let forgotten = practised(rule(CLIP, KL, 1.0), &groups, [&at, &at, &reference], &truth);
    broken.push(("ratio forgotten", forgotten));
    for (what, off) in broken {
        assert!(off > FAR, "{what}: {off}");
    }
}

/// The advantages of both turns of both problems' episodes.
type Advantages = [[[f64; 3]; 2]; 2];

/// The loss of `SCoRe` with these advantages, and with what distance from the reference costs at either turn.
fn reinforced(
    groups: &[Vec<EncodedEpisode>],
    reference: &Decoder,
    advantages: Advantages,
    kl: [f64; 2],
) -> impl Fn(&Decoder) -> f64 {
    move |decoder| {
        let turn =
            |turn: usize, [problem, number]: [usize; 2], [now, _, reference]: [&[f64]; 3]| {
                let said: f64 = now.iter().sum();
                let apart: f64 = now
                    .iter()
                    .zip(reference)
                    .map(|(a, b)| (a - b).powi(2))
                    .sum();
                advantages[turn][problem][number] * said - 0.5 * kl[turn] * apart
            };
        -over_turns(groups, [decoder, decoder, reference], &turn) / 6.0
    }
}

#[test]
fn the_gradients_of_both_stages_of_score() {
    let (model, [reference, at]) = models();
    let groups = groups(&model);
    // What each earned more than the mean of the other two.
    let first = [[[0.0; 3], [0.0; 3]], [[1.0, -0.5, -0.5], [-0.5, 1.0, -0.5]]];
    // Turn 2 with a bonus of 3: 4, 0, -3 and -3, 4, 0.
    let second = [
        [[-0.5, -0.5, 1.0], [1.0, -0.5, -0.5]],
        [[5.5, -0.5, -5.0], [-5.0, 5.5, -0.5]],
    ];
    let truth = |advantages, kl| reinforced(&groups, &reference, advantages, kl);
    let stages = [
        (
            PolicyLoss::ScoreFirst {
                kl: 0.1,
                kl_first: 0.4,
            },
            truth(first, [0.5, 0.1]),
        ),
        (
            PolicyLoss::ScoreSecond {
                kl: 0.5,
                shaping: 3.0,
            },
            truth(second, [0.5, 0.5]),
        ),
    ];
    for (rule, truth) in &stages {
        let off = |rule, groups: &[Vec<EncodedEpisode>], reference: &Decoder| {
            practised(settings(rule, 1), groups, [&at, &at, reference], truth)
        };
        let right = off(*rule, &groups, &reference);
        assert!(right < CLOSE, "{rule:?}: {right}");

        let mut broken: Vec<(&str, f64)> = spoilt(&groups)
            .iter()
            .map(|(what, groups)| (*what, off(*rule, groups, &reference)))
            .collect();
        broken.push(("another reference", off(*rule, &groups, &at)));
        let other = |other| off(other, &groups, &reference);
        match *rule {
            PolicyLoss::ScoreFirst { kl, kl_first } => {
                broken.push((
                    "KL sign flipped",
                    other(PolicyLoss::ScoreFirst {
                        kl,
                        kl_first: -kl_first,
                    }),
                ));
                broken.push((
                    "turn 1 not held",
                    other(PolicyLoss::ScoreFirst { kl, kl_first: 0.0 }),
                ));
            }
            PolicyLoss::ScoreSecond { kl, shaping } => {
                broken.push((
                    "KL sign flipped",
                    other(PolicyLoss::ScoreSecond { kl: -kl, shaping }),
                ));
                broken.push((
                    "bonus forgotten",
                    other(PolicyLoss::ScoreSecond { kl, shaping: 0.0 }),
                ));
            }
            PolicyLoss::Grpo { .. } => unreachable!("stages of `SCoRe` only"),
        }
        for (what, off) in broken {
            assert!(off > FAR, "{rule:?}, {what}: {off}");
        }
    }
}

#[test]
fn with_a_discount_a_turn_is_credited_with_what_follows_it() {
    const DISCOUNT: f64 = 0.5;
    let (model, [reference, at]) = models();
    let groups = groups(&model);
    // Turn 1 of stage I: half of 1, 0, 0 and 0, 1, 0. Turn 1 of stage II: 0 + 4/2, 0, 1 - 3/2 and 1 - 3/2,
    // 0 + 4/2, 0. Each minus the mean of the other two; turn 2 as without a discount.
    let first = [
        [[0.5, -0.25, -0.25], [-0.25, 0.5, -0.25]],
        [[1.0, -0.5, -0.5], [-0.5, 1.0, -0.5]],
    ];
    let second = [
        [[2.25, -0.75, -1.5], [-1.5, 2.25, -0.75]],
        [[5.5, -0.5, -5.0], [-5.0, 5.5, -0.5]],
    ];
    let stages = [
        (
            PolicyLoss::ScoreFirst {
                kl: 0.1,
                kl_first: 0.4,
            },
            reinforced(&groups, &reference, first, [0.5, 0.1]),
        ),
        (
            PolicyLoss::ScoreSecond {
                kl: 0.5,
                shaping: 3.0,
            },
            reinforced(&groups, &reference, second, [0.5, 0.5]),
        ),
    ];
    for (rule, truth) in &stages {
        let off = |discount| {
            let settings = OnlineConfig {
                discount,
                ..settings(*rule, 1)
            };
            practised(settings, &groups, [&at, &at, &reference], truth)
        };
        let right = off(DISCOUNT);
        assert!(right < CLOSE, "{rule:?}: {right}");
        for (what, off) in [
            ("no discount", off(0.0)),
            ("sign flipped", off(-DISCOUNT)),
            ("all credited", off(1.0)),
        ] {
            assert!(off > FAR, "{rule:?}, {what}: {off}");
        }
    }
}

#[test]
fn a_stage_learns_from_the_pairs_of_other_stages() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::new(folder.path());
    let (model, _) = models();
    let start = finished_base(&workspace, &model);
    let pairs =
        ["one", "two"].map(|name| finished_rows(&workspace, name, "pairs.jsonl", &[preference()]));
    let train = TrainConfig {
        epochs: 8,
        batch_size: 1,
        learning_rate: 3e-3,
        ..TrainConfig::default()
    };
    let (seed, backend) = (Seed(1), "flex".to_owned());
    let stage = PreferStage {
        start,
        pairs: pairs.to_vec(),
        beta: 0.1,
        train,
        seed,
        backend,
    };
    let stage = StageNode::new("prefer".to_owned(), stage, 1.0);
    let manifest =
        execute_stage(&stage, &workspace, &Threads::default(), &mut NoopObserver).unwrap();
    let tokens: usize = [preference().chosen, preference().rejected]
        .iter()
        .map(|side| {
            model
                .tokenizer
                .encode_dialogue(&side.messages)
                .unwrap()
                .tokens
                .len()
                - 1
        })
        .sum();
    let parameters = model.decoder.weights().parameter_count();
    let expected = json!({
        "pairs": 2, "without_target": 0, "steps": 16, "parameters": parameters, "scored_tokens": 18 * tokens,
        "trained_tokens": 16 * tokens, "flops": (2 * 18 + 6 * 16) * tokens * parameters,
    });
    assert_eq!(manifest.counts, expected);

    let place = rise_lab::model::ExecutionContext::open("flex").unwrap();
    let tuned = CheckpointFolder::load(&workspace.stage_folder(&stage.key), &place).unwrap();
    let said = |model: &LanguageModel, example: &TrainingExample| -> f64 {
        let answer = |upto: usize| {
            (
                Dialogue(example.messages[..upto].to_vec()),
                example.messages[upto].text.clone(),
            )
        };
        model
            .log_likelihoods(&[answer(1), answer(3)])
            .unwrap()
            .iter()
            .sum()
    };
    let gained = |example: &TrainingExample| said(&tuned, example) - said(&model, example);
    let margin = gained(&preference().chosen) - gained(&preference().rejected);
    assert!(margin > 3.0, "{margin}");
    let points: Vec<serde_json::Value> =
        std::fs::read_to_string(workspace.stage_file(&stage.key, "points.jsonl"))
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
    let last = |series: &str| {
        let mut of = points.iter().filter(|point| point["series"] == series);
        of.next_back().expect("a curve")["value"].as_f64().unwrap()
    };
    assert!(last("reward margin") > 0.2 && last("loss") < 0.65 && last("accuracy") > 0.9);
}
