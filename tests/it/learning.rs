//! Training does what it is for, seen from outside: a model memorises what it is taught, prefers
//! what weighs more, and turns away from what weighs less than nothing. Each check is also put to
//! trainings that are broken on purpose, and must notice.

use rise_lab::domain::{
    Dialogue, NoopObserver, Policy, PolicyRequest, Problem, SamplingConfig, Seed, TrainingExample,
};
use rise_lab::model::LanguageModel;
use rise_lab::train::{
    Batch, EncodedExample, LossReduction, LossTarget, TrainConfig, Trainer, TrainingPhase,
    encode_example,
};

use crate::support::{problems, random_model};

/// Longest sequence of the models here.
const POSITIONS: usize = 512;

fn encoded(model: &LanguageModel, question: &str, answer: &str, weight: f64) -> EncodedExample {
    let mut example = TrainingExample::single_turn(question, answer);
    example.weights[1] = weight;
    encode_example(&example, &model.tokenizer, POSITIONS).unwrap()
}

/// The model after some epochs, each of them one step on all examples.
fn trained(model: &LanguageModel, examples: &[EncodedExample], epochs: u32) -> LanguageModel {
    let folder = tempfile::tempdir().unwrap();
    let config = TrainConfig {
        epochs,
        batch_size: examples.len(),
        learning_rate: 1e-2,
        ..TrainConfig::default()
    };
    let trainer = Trainer {
        reduction: LossReduction::PerTarget,
        folder: folder.path(),
    };
    let phase = TrainingPhase {
        examples,
        config,
        seed: Seed(3),
    };
    let decoder = trainer
        .train(model.decoder.clone(), &[phase], &mut NoopObserver)
        .unwrap()
        .decoder;
    LanguageModel {
        decoder,
        tokenizer: model.tokenizer.clone(),
    }
}

/// Mean negative log-likelihood of all target tokens, whatever their weights.
fn loss(model: &LanguageModel, examples: &[EncodedExample]) -> f64 {
    let batch = Batch::new(
        &examples.iter().collect::<Vec<_>>(),
        LossReduction::PerToken,
    );
    model
        .decoder
        .loss_and_gradients(&batch.inputs, &batch.targets)
        .0
}

/// The probability that the model gives this answer.
fn probability(model: &LanguageModel, question: &str, answer: &str) -> f64 {
    let example = encoded(model, question, answer, 1.0);
    let target = example.targets[0];
    (-loss(model, &[example]) * (target.end - target.start) as f64).exp()
}

/// Every way to spoil the targets of some examples.
fn changed(
    examples: &[EncodedExample],
    change: impl Fn(LossTarget) -> LossTarget,
) -> Vec<EncodedExample> {
    let mut examples = examples.to_vec();
    for target in examples.iter_mut().flat_map(|example| &mut example.targets) {
        *target = change(*target);
    }
    examples
}

/// Whether the model gives every solution word for word and stops there, and is sure of it.
fn knows(model: &LanguageModel, problems: &[Problem]) -> bool {
    let solution = |problem: &Problem| {
        problem
            .solution
            .clone()
            .expect("generated problems are solved")
    };
    let requests: Vec<PolicyRequest> = problems
        .iter()
        .map(|problem| {
            PolicyRequest::new(Dialogue::default().user(&problem.question), vec![Seed(0)])
        })
        .collect();
    let greedy = SamplingConfig {
        temperature: 0.0,
        max_tokens: 60,
        ..SamplingConfig::default()
    };
    let attempts = model.clone().respond(&requests, &greedy).unwrap();
    let said = attempts
        .iter()
        .zip(problems)
        .all(|(attempt, problem)| attempt[0].finished && attempt[0].text == solution(problem));
    let lessons: Vec<EncodedExample> = problems
        .iter()
        .map(|problem| encoded(model, &problem.question, &solution(problem), 1.0))
        .collect();
    said && loss(model, &lessons) < 0.05
}

#[test]
fn a_model_memorises_what_it_is_taught() {
    let problems = problems(16);
    let model = random_model(&problems);
    let lessons: Vec<EncodedExample> = problems
        .iter()
        .map(|problem| {
            encoded(
                &model,
                &problem.question,
                problem.solution.as_deref().unwrap(),
                1.0,
            )
        })
        .collect();
    assert!(!knows(&model, &problems), "nothing is known before");
    let learns = |lessons: &[EncodedExample]| knows(&trained(&model, lessons, 150), &problems);
    assert!(learns(&lessons));

    assert!(
        !learns(&changed(&lessons, |target| LossTarget {
            start: target.start - 1,
            end: target.end - 1,
            ..target
        })),
        "mask one too early"
    );
    assert!(
        !learns(&changed(&lessons, |target| LossTarget {
            start: target.start + 1,
            ..target
        })),
        "mask one too late"
    );
    assert!(
        !learns(&changed(&lessons, |target| LossTarget {
            weight: -target.weight,
            ..target
        })),
        "sign flipped"
    );
}

const QUESTION: &str = "Ann has 3 pens. She buys 4 more. How many pens does Ann have now?";
const ANSWERS: [&str; 2] = ["3+4=7\n#### 7", "3+4=8\n#### 8"];

/// Lessons in which the same question has two answers of these weights.
fn rivals(model: &LanguageModel, weights: [f64; 2]) -> Vec<EncodedExample> {
    ANSWERS
        .iter()
        .zip(weights)
        .map(|(answer, weight)| encoded(model, QUESTION, answer, weight))
        .collect()
}

/// Whether the answers have the shares of probability that weights 3 and 1 ask for.
fn prefers_first(model: &LanguageModel) -> bool {
    let [first, second] = ANSWERS.map(|answer| probability(model, QUESTION, answer));
    first + second > 0.95 && (first - 0.75).abs() < 0.05
}

#[test]
fn a_heavier_answer_is_preferred_by_as_much_as_it_weighs() {
    let model = random_model(&problems(16));
    let prefers = |lessons: &[EncodedExample]| prefers_first(&trained(&model, lessons, 150));
    let lessons = rivals(&model, [3.0, 1.0]);
    assert!(prefers(&lessons));
    assert!(
        prefers(&rivals(&model, [0.3, 0.1])),
        "only the proportion counts"
    );

    assert!(!prefers(&rivals(&model, [1.0, 3.0])), "weights swapped");
    assert!(
        !prefers(&changed(&lessons, |target| LossTarget {
            weight: 1.0,
            ..target
        })),
        "weights ignored"
    );
    assert!(
        !prefers(&changed(&lessons, |target| LossTarget {
            weight: -target.weight,
            ..target
        })),
        "sign flipped"
    );
}

#[test]
fn an_answer_of_negative_weight_is_pushed_down() {
    let model = random_model(&problems(16));
    let undecided = trained(&model, &rivals(&model, [1.0, 1.0]), 150);
    let [_, before] = ANSWERS.map(|answer| probability(&undecided, QUESTION, answer));
    assert!((before - 0.5).abs() < 0.05, "{before}");
    let turns_away = |lessons: &[EncodedExample]| {
        let after = trained(&undecided, lessons, 4);
        probability(&after, QUESTION, ANSWERS[1]) < before / 2.0
    };
    let lessons = vec![encoded(&model, QUESTION, ANSWERS[1], -0.5)];
    assert!(turns_away(&lessons));
    assert!(
        turns_away(&rivals(&model, [0.5, -0.5])),
        "beside a positive one"
    );

    assert!(
        !turns_away(&changed(&lessons, |target| LossTarget {
            weight: target.weight.abs(),
            ..target
        })),
        "sign ignored"
    );
    assert!(
        !turns_away(&changed(&lessons, |target| LossTarget {
            weight: target.weight.max(0.0),
            ..target
        })),
        "cut off at 0"
    );
}
