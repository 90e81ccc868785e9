//! Online training does what it is for, seen from outside: a model that answers at random comes to
//! give the answer that is rewarded, or the second answer alone becomes right. Each check is also
//! put to trainings that are broken on purpose, and must notice.

use rise_lab::data::PromptConfig;
use rise_lab::domain::{
    Dialogue, Episode, Grade, GradeVerdict, NoopObserver, Policy, Problem, Role, SamplingConfig,
    Seed, TrainingExample, Turn,
};
use rise_lab::model::{Decoder, LanguageModel};
use rise_lab::rollout::{RolloutConfig, grouped_rollouts};
use rise_lab::train::{
    EncodedEpisode, LossReduction, OnlineConfig, PolicyGradientObjective, PolicyLoss,
    SampledGroups, TrainConfig, Trainer, TrainingPhase, encode_example, run_objectives,
};

use crate::support::{problems, random_model};

const QUESTION: &str = "How many pens?";
/// Answers of one token; the first is right.
const ANSWERS: [&str; 4] = ["7", "8", "9", "5"];

fn dialogue(attempts: &[&str]) -> Dialogue {
    PromptConfig::default().dialogue(QUESTION, attempts)
}

/// A model that gives each of some answers as often as the others, at both turns.
fn undecided(answers: &[&str]) -> LanguageModel {
    let model = random_model(&problems(16));
    let example = |first: &str, second: &str| {
        let messages = dialogue(&[first]).assistant(second).0;
        let weights = messages
            .iter()
            .map(|m| f64::from(u8::from(m.role == Role::Assistant)))
            .collect();
        encode_example(
            &TrainingExample { messages, weights },
            &model.tokenizer,
            512,
        )
        .unwrap()
    };
    let pairs = answers
        .iter()
        .flat_map(|first| answers.iter().map(move |second| (first, second)));
    let examples: Vec<_> = pairs
        .map(|(first, second)| example(first, second))
        .collect();
    let batch = 2 * examples.len();
    let config = TrainConfig {
        epochs: 150,
        batch_size: batch,
        learning_rate: 1e-2,
        ..TrainConfig::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let trainer = Trainer {
        reduction: LossReduction::PerTarget,
        folder: folder.path(),
    };
    let phase = TrainingPhase {
        examples: &examples,
        config,
        seed: Seed(3),
    };
    let decoder = trainer
        .train(model.decoder.clone(), &[phase], &mut NoopObserver)
        .unwrap()
        .decoder;
    LanguageModel { decoder, ..model }
}

/// The probability of the right answer after these attempts.
fn right(model: &LanguageModel, attempts: &[&str]) -> f64 {
    model
        .log_likelihoods(&[(dialogue(attempts), ANSWERS[0].to_owned())])
        .unwrap()[0]
        .exp()
}

/// The model after online training on episodes of its own that `change` may spoil.
fn practised(
    model: &LanguageModel,
    (rule, turns): (PolicyLoss, u32),
    change: &dyn Fn(&mut EncodedEpisode),
) -> LanguageModel {
    let settings = OnlineConfig {
        iterations: 40,
        batch_problems: 1,
        group_size: 24,
        turns,
        updates_per_batch: if matches!(rule, PolicyLoss::Grpo { .. }) {
            2
        } else {
            1
        },
        discount: 0.0,
        unreadable_reward: 0.0,
        policy_loss: rule,
    };
    let config = TrainConfig {
        learning_rate: 2e-3,
        ..TrainConfig::default()
    };
    let mut policy = model.clone();
    let mut sampler = |decoder: &Decoder, iteration: u32| {
        policy.decoder = decoder.clone();
        let episodes = sampled(
            &mut policy,
            &settings,
            Seed(5).derive_indexed(u64::from(iteration)),
        );
        let mut group: Vec<EncodedEpisode> = episodes
            .iter()
            .map(|episode| trajectory(episode, &model.tokenizer))
            .collect();
        group.iter_mut().for_each(change);
        policy.decoder = model.decoder.clone();
        Ok(SampledGroups {
            groups: vec![group],
            counts: vec![],
        })
    };
    let mut objective =
        PolicyGradientObjective::new(settings, config, model.decoder.clone(), &mut sampler);
    let folder = tempfile::tempdir().unwrap();
    let trained = run_objectives(
        folder.path(),
        model.decoder.clone(),
        &mut [&mut objective],
        &mut NoopObserver,
    )
    .unwrap();
    LanguageModel {
        decoder: trained.decoder,
        tokenizer: model.tokenizer.clone(),
    }
}

fn sampled(policy: &mut dyn Policy, settings: &OnlineConfig, seed: Seed) -> Vec<Episode> {
    let [id, question, answer] = ["pens", QUESTION, ANSWERS[0]].map(str::to_owned);
    let problem = Problem {
        id,
        question,
        answer,
        solution: None,
    };
    let plan = RolloutConfig::new(
        settings.turns,
        PromptConfig::default(),
        SamplingConfig {
            max_tokens: 8,
            ..SamplingConfig::default()
        },
    );
    let grade = |problem: &Problem, text: &str| {
        let verdict = if text == problem.answer {
            GradeVerdict::Right
        } else {
            GradeVerdict::Wrong
        };
        Grade {
            answer: Some(text.to_owned()),
            verdict,
        }
    };
    grouped_rollouts(policy, &[problem], &plan, settings.group_size, seed, &grade)
        .unwrap()
        .remove(0)
}

fn trajectory(episode: &Episode, tokenizer: &rise_lab::model::Tokenizer) -> EncodedEpisode {
    let chosen: Vec<_> = episode.turns.iter().map(Turn::chosen).collect();
    let texts: Vec<&str> = chosen.iter().map(|attempt| attempt.text.as_str()).collect();
    let (last, earlier) = texts.split_last().unwrap();
    let earned = |verdict: GradeVerdict| f64::from(u8::from(verdict.is_right()));
    let attempts: Vec<(bool, f64)> = chosen
        .iter()
        .map(|attempt| (attempt.finished, earned(attempt.grade.verdict)))
        .collect();
    EncodedEpisode::new(
        &dialogue(earlier).assistant(*last).0,
        &attempts,
        tokenizer,
        512,
    )
    .unwrap()
}

fn as_it_is(_: &mut EncodedEpisode) {}

fn negated(one: &mut EncodedEpisode) {
    one.rewards.iter_mut().for_each(|reward| *reward = -*reward);
}

fn unrewarded(one: &mut EncodedEpisode) {
    one.rewards.fill(0.0);
}

fn late(one: &mut EncodedEpisode) {
    one.example
        .targets
        .iter_mut()
        .for_each(|target| target.start += 1);
}

#[test]
fn the_answer_that_is_rewarded_is_found() {
    let model = undecided(&ANSWERS);
    let before = right(&model, &[]);
    assert!((before - 0.25).abs() < 0.05, "{before}");
    let after = |kl, change: &dyn Fn(&mut EncodedEpisode)| {
        right(
            &practised(
                &model,
                (
                    PolicyLoss::Grpo {
                        clip: 0.2,
                        kl,
                        shaping: 0.0,
                    },
                    1,
                ),
                change,
            ),
            &[],
        )
    };
    let finds = |kl, change: &dyn Fn(&mut EncodedEpisode)| after(kl, change) > 0.8;
    assert!(finds(0.01, &as_it_is));
    assert!(!finds(0.01, &negated), "reward sign flipped");
    assert!(!finds(0.01, &unrewarded), "rewards ignored");
    assert!(!finds(0.01, &late), "mask one too late");

    // What it costs to go away from the reference keeps the model near it.
    let stays = |kl| (before..0.6).contains(&after(kl, &as_it_is));
    assert!(stays(3.0));
    assert!(!stays(-3.0), "KL sign flipped");
}

#[test]
fn the_second_answer_becomes_right_while_the_first_is_held() {
    let model = undecided(&ANSWERS[..2]);
    let before = [right(&model, &[]), right(&model, &["8"])];
    assert!(
        before.iter().all(|right| (right - 0.5).abs() < 0.08),
        "{before:?}"
    );
    let after = |[kl, kl_first]: [f64; 2], change: &dyn Fn(&mut EncodedEpisode)| {
        let tuned = practised(&model, (PolicyLoss::ScoreFirst { kl, kl_first }, 2), change);
        [right(&tuned, &[]), right(&tuned, &["8"])]
    };
    let corrects = |kl, change: &dyn Fn(&mut EncodedEpisode)| {
        let [first, second] = after(kl, change);
        second > 0.8 && (first - before[0]).abs() < 0.1
    };
    assert!(corrects([0.01, 1.0], &as_it_is));
    assert!(!corrects([0.01, 1.0], &negated), "reward sign flipped");
    assert!(!corrects([0.01, 1.0], &unrewarded), "rewards ignored");
    assert!(!corrects([0.01, 1.0], &late), "mask one too late");
    assert!(!corrects([0.01, -1.0], &as_it_is), "KL sign flipped");

    // Stage II goes on from there, and turn 1 may move.
    let first = practised(
        &model,
        (
            PolicyLoss::ScoreFirst {
                kl: 0.01,
                kl_first: 1.0,
            },
            2,
        ),
        &as_it_is,
    );
    let both = |change: &dyn Fn(&mut EncodedEpisode)| {
        let second = practised(
            &first,
            (
                PolicyLoss::ScoreSecond {
                    kl: 0.01,
                    shaping: 10.0,
                },
                2,
            ),
            change,
        );
        right(&second, &[]) > 0.8 && right(&second, &["8"]) > 0.8
    };
    assert!(both(&as_it_is));
    assert!(!both(&negated), "reward sign flipped");
}
