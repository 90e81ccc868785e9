//! Self-rewarding correction does what it is for, seen from outside: a model that answers, verifies
//! and corrects at random comes to say yes and no rightly and to correct what it disowned, by the
//! examples it is fine-tuned on and by preferences between whole dialogues. Each check is also put
//! to trainings that are broken on purpose, and must notice.

use rise_lab::data::{PromptConfig, ReviewedAttempt, SelfReview};
use rise_lab::domain::{
    Dialogue, Episode, NoopObserver, PreferencePair, Problem, Role, Seed, TrainingExample,
};
use rise_lab::model::LanguageModel;
use rise_lab::train::{
    AttemptPool, DpoObjective, EncodedExample, EncodedPair, LossReduction, TrainConfig, Trainer,
    TrainingPhase, encode_example, run_objectives, self_verification_examples,
    trajectory_preferences,
};

use crate::objectives::verified as episode;
use crate::support::{problems, random_model};

const QUESTION: &str = "How many pens?";
/// Answers of one token, the right one and the wrong one.
const ANSWERS: [&str; 2] = ["7", "8"];

fn prompt() -> PromptConfig {
    PromptConfig {
        repeat_question: false,
        ..PromptConfig::default()
    }
}

/// The same question under so many names.
fn asked(count: usize) -> Vec<Problem> {
    let problem = |number: usize| Problem {
        id: format!("pens/{number}"),
        question: QUESTION.to_owned(),
        answer: ANSWERS[0].to_owned(),
        solution: None,
    };
    (0..count).map(problem).collect()
}

/// The dialogue that asks about a second attempt after a first one.
fn about_second(first: &str, review: &str, second: &str) -> Dialogue {
    let earlier = [ReviewedAttempt {
        attempt: first,
        review: Some(review),
    }];
    prompt().self_review_dialogue(QUESTION, SelfReview::Verify, &earlier, second)
}

/// The model after so many epochs at this learning rate, each of them one step on all examples.
fn tuned(
    model: &LanguageModel,
    examples: &[TrainingExample],
    (epochs, learning_rate): (u32, f64),
    late: bool,
) -> LanguageModel {
    let encoded = examples
        .iter()
        .map(|example| encode_example(example, &model.tokenizer, 512).unwrap());
    let mut encoded: Vec<_> = encoded.collect();
    if late {
        encoded
            .iter_mut()
            .flat_map(|one| &mut one.targets)
            .for_each(|target| target.start += 1);
    }
    let targets = encoded.iter().map(|one| one.targets.len()).sum();
    let config = TrainConfig {
        epochs,
        batch_size: targets,
        learning_rate,
        ..TrainConfig::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let trainer = Trainer {
        reduction: LossReduction::PerTarget,
        folder: folder.path(),
    };
    let phase = TrainingPhase {
        examples: &encoded,
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

/// A model that gives either answer, approves and disowns it, and gives either answer again, each as
/// often as the other.
fn undecided() -> LanguageModel {
    let mut examples = Vec::new();
    for (first, review) in ANSWERS
        .iter()
        .flat_map(|first| ["yes", "no"].map(|review| (first, review)))
    {
        for (second, last) in ANSWERS
            .iter()
            .flat_map(|second| ["yes", "no"].map(|last| (second, last)))
        {
            let Dialogue(messages) = about_second(first, review, second).assistant(last);
            let weights = messages
                .iter()
                .map(|m| f64::from(u8::from(m.role == Role::Assistant)))
                .collect();
            examples.push(TrainingExample { messages, weights });
        }
    }
    tuned(&random_model(&problems(16)), &examples, (150, 1e-2), false)
}

/// How likely the model is to do what it should, and the opposite: to be right at once, to approve
/// what is right, to disown what is wrong, and to correct it.
fn probabilities(model: &LanguageModel) -> [[f64; 2]; 4] {
    let [right, wrong] = ANSWERS;
    let about = |attempt| prompt().self_review_dialogue(QUESTION, SelfReview::Verify, &[], attempt);
    let disowned = [ReviewedAttempt {
        attempt: wrong,
        review: Some("no"),
    }];
    let asked = [
        (prompt().dialogue(QUESTION, &[]), ANSWERS),
        (about(right), ["yes", "no"]),
        (about(wrong), ["no", "yes"]),
        (
            prompt().reviewed_dialogue(QUESTION, SelfReview::Verify, &disowned),
            ANSWERS,
        ),
    ];
    asked.map(|(dialogue, answers)| {
        let asked = answers.map(|answer| (dialogue.clone(), answer.to_owned()));
        let logs = model.log_likelihoods(&asked).unwrap();
        [logs[0].exp(), logs[1].exp()]
    })
}

/// How much more likely it is to verify and correct rightly than to do the opposite; preferences say
/// nothing of what is neither.
fn shares(model: &LanguageModel) -> [f64; 3] {
    let [_, verifies @ .., corrects] = probabilities(model);
    [verifies[0], verifies[1], corrects].map(|[right, wrong]| right / (right + wrong))
}

/// The examples of a right and a wrong attempt with the verification that is due.
fn lessons() -> Vec<TrainingExample> {
    let problems = asked(1);
    let pool = AttemptPool {
        problem: &problems[0],
        right: vec![ANSWERS[0]],
        wrong: vec![ANSWERS[1]],
    };
    self_verification_examples(&[pool], prompt(), Seed(0))
}

fn flipped(examples: &[TrainingExample]) -> Vec<TrainingExample> {
    let mut examples = examples.to_vec();
    for message in examples
        .iter_mut()
        .flat_map(|example| &mut example.messages)
    {
        if let Some(approves) = SelfReview::parse_approval(&message.text) {
            SelfReview::verification_answer(!approves).clone_into(&mut message.text);
        }
    }
    examples
}

/// Every assistant message as a target, wrong attempts too.
fn unmasked(examples: &[TrainingExample]) -> Vec<TrainingExample> {
    let mut examples = examples.to_vec();
    for TrainingExample { messages, weights } in &mut examples {
        *weights = messages
            .iter()
            .map(|m| f64::from(u8::from(m.role == Role::Assistant)))
            .collect();
    }
    examples
}

/// Dialogues that end right against such that end wrong: what is wrong is disowned and corrected, not
/// approved; what is right is approved, not disowned and spoilt.
fn pairs() -> Vec<PreferencePair> {
    let [right, wrong] = ANSWERS;
    let of = |problem: &Problem, said: &[(&str, &str)], ends_right| Episode {
        problem: problem.id.clone(),
        ..episode(said, ends_right)
    };
    let problems = asked(2);
    let episodes = [
        of(&problems[0], &[(wrong, "no"), (right, "yes")], true),
        of(&problems[0], &[(wrong, "yes")], false),
        of(&problems[1], &[(right, "yes")], true),
        of(&problems[1], &[(right, "no"), (wrong, "yes")], false),
    ];
    trajectory_preferences(&problems, &episodes, prompt())
}

/// The model after direct preference optimisation on pairs that `change` may spoil.
fn preferring(model: &LanguageModel, change: &dyn Fn(&mut EncodedPair)) -> LanguageModel {
    let pairs = pairs();
    let encoded = pairs
        .iter()
        .map(|pair| EncodedPair::encode(pair, &model.tokenizer, 512).unwrap());
    let mut encoded: Vec<EncodedPair> = encoded.collect();
    encoded.iter_mut().for_each(change);
    let config = TrainConfig {
        epochs: 100,
        batch_size: 2,
        learning_rate: 2e-3,
        ..TrainConfig::default()
    };
    let mut objective = DpoObjective::new(&model.decoder, &encoded, 0.1, config, Seed(5)).unwrap();
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

#[test]
fn verifications_and_corrections_are_learnt_by_fine_tuning_and_then_by_preferences() {
    let model = undecided();
    let before = probabilities(&model);
    assert!(
        before
            .as_flattened()
            .iter()
            .all(|one| (one - 0.5).abs() < 0.1),
        "{before:?}"
    );

    let taught = |examples: &[TrainingExample], late| {
        let after = probabilities(&tuned(&model, examples, (40, 1e-2), late));
        after.iter().all(|[right, _]| *right > 0.9)
    };
    assert!(taught(&lessons(), false));
    assert!(
        !taught(&flipped(&lessons()), false),
        "verifications flipped"
    );
    assert!(
        !taught(&unmasked(&lessons()), false),
        "wrong attempts imitated"
    );
    assert!(!taught(&lessons(), true), "mask one too late");

    // What little fine-tuning has begun, preferences finish.
    let begun = tuned(&model, &lessons(), (2, 1e-3), false);
    let before = shares(&begun);
    assert!(before.iter().all(|share| *share < 0.75), "{before:?}");
    let corrects = |change: &dyn Fn(&mut EncodedPair)| {
        let after = shares(&preferring(&begun, change));
        after.iter().all(|share| *share > 0.9)
    };
    assert!(corrects(&|_| ()));
    assert!(
        !corrects(&|pair| pair.sides.swap(0, 1)),
        "preferences turned round"
    );
    let last = |side: &mut EncodedExample| drop(side.targets.drain(..side.targets.len() - 1));
    assert!(
        !corrects(&|pair| pair.sides.iter_mut().for_each(last)),
        "only the last message counted"
    );
}
