//! Verifiers do what they are for: one that learns preferences ranks right above wrong, and the
//! methods that use verifiers run through the program and score what they say.

use std::collections::BTreeMap;

use rise_lab::domain::{Dialogue, NoopObserver, PreferencePair, Problem, Seed};
use rise_lab::eval::{RankedAttempt, ranking_scores};
use rise_lab::model::LanguageModel;
use rise_lab::train::{
    AttemptPool, DpoObjective, EncodedPair, TrainConfig, attempt_preferences, run_objectives,
};

use crate::support::{FILE, Lab, problems, random_model};

/// Longest sequence of the models here.
const POSITIONS: usize = 512;

/// A right and a wrong answer to every problem; they differ in the last digit only.
fn answers(problems: &[Problem]) -> Vec<[String; 2]> {
    let of = |problem: &Problem| {
        let right = problem
            .solution
            .clone()
            .expect("generated problems are solved");
        let (all, last) = right.split_at(right.len() - 1);
        let wrong = format!("{all}{}", (last.parse::<u32>().expect("a digit") + 1) % 10);
        [right, wrong]
    };
    problems.iter().map(of).collect()
}

/// The model after direct preference optimisation on these pairs.
fn verifier(model: &LanguageModel, pairs: &[PreferencePair]) -> LanguageModel {
    let folder = tempfile::tempdir().unwrap();
    let encoded = pairs
        .iter()
        .map(|pair| EncodedPair::encode(pair, &model.tokenizer, POSITIONS));
    let encoded: Vec<EncodedPair> = encoded.collect::<Result<_, _>>().unwrap();
    let config = TrainConfig {
        epochs: 30,
        batch_size: 16,
        learning_rate: 3e-3,
        ..TrainConfig::default()
    };
    let mut objective = DpoObjective::new(&model.decoder, &encoded, 0.1, config, Seed(5)).unwrap();
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

/// The part of problems whose right answer is ranked above the wrong one.
fn ranked(model: &LanguageModel, problems: &[Problem], answers: &[[String; 2]]) -> f64 {
    let question = |problem: &Problem| Dialogue::default().user(&problem.question);
    let asked = problems.iter().zip(answers);
    let asked: Vec<(Dialogue, String)> = asked
        .flat_map(|(problem, answers)| answers.clone().map(|answer| (question(problem), answer)))
        .collect();
    let values = model.log_likelihoods(&asked).unwrap();
    let area = |values: &[f64]| {
        let samples = [(values[0], true), (values[1], false)].map(|(value, right)| RankedAttempt {
            rank_score: value,
            right,
        });
        ranking_scores(&samples).last().expect("there is a score").1
    };
    values.chunks_exact(2).map(area).sum::<f64>() / problems.len() as f64
}

#[test]
fn a_verifier_ranks_right_above_wrong() {
    let problems = problems(16);
    let model = random_model(&problems);
    let answers = answers(&problems);
    let pools: Vec<AttemptPool<'_>> = problems
        .iter()
        .zip(&answers)
        .map(|(problem, [right, wrong])| AttemptPool {
            problem,
            right: vec![right],
            wrong: vec![wrong],
        })
        .collect();
    let questions: BTreeMap<&str, &str> = problems
        .iter()
        .map(|problem| (problem.id.as_str(), problem.question.as_str()))
        .collect();
    let layout = |id: &str, _: &[&str]| Dialogue::default().user(questions[id]);
    let pairs = attempt_preferences(&pools, &layout, Seed(0));
    assert_eq!(pairs.len(), 16);
    let learns = |pairs: &[PreferencePair]| ranked(&verifier(&model, pairs), &problems, &answers);
    assert!(learns(&pairs) > 0.95);

    let flip = |pair: &PreferencePair| PreferencePair {
        chosen: pair.rejected.clone(),
        rejected: pair.chosen.clone(),
    };
    let flipped: Vec<PreferencePair> = pairs.iter().map(flip).collect();
    assert!(learns(&flipped) < 0.05, "the order is ignored");
}

#[test]
fn methods_with_verifiers_run_to_their_scores() {
    let lab = Lab::new();
    lab.edit(FILE, "base = \"mini\"", "base = \"mini\"\nmethod = \"v-star\"\ncandidates = 4\nverifier = { samples = 4 }\nglore = { attempts = 2, rollouts = 2 }");
    lab.edit(
        FILE,
        "weighting = [\"uniform\"]\nmethod = [\"rise\", \"sft\"]",
        "method = [\"glore\"]",
    );
    lab.sweep(&["--jobs", "1"]).expect_exit(0);
    let scores = |kinds: &str| -> BTreeMap<String, (u64, f64)> {
        let sql = format!(
            "SELECT m.name, count(*), sum(s.value) FROM scores s JOIN metrics m ON m.id = s.metric \
             JOIN stages t ON t.id = s.stage WHERE {kinds} GROUP BY m.name"
        );
        let row = |row: Vec<String>| {
            (
                row[0].clone(),
                (row[1].parse().unwrap(), row[2].parse().unwrap()),
            )
        };
        lab.query(&sql).into_iter().map(row).collect()
    };
    let ranked = scores("t.kind = 'rank'");
    let generator = scores("t.label LIKE 'evaluate % v-star round 1'");
    for name in ["best-of-1", "best-of-2", "best-of-4"] {
        assert_eq!(ranked[name].0, 20, "{name}");
    }
    assert_eq!(
        ranked["best-of-1"], generator["m1@t1"],
        "the first of one sample is the sample"
    );
    assert!(ranked["best-of-4"].1 <= generator["pass@4"].1);

    let refined = scores("t.kind = 'refine'");
    let drafts = scores("t.label LIKE 'evaluate % sft'");
    let names = [
        "m3@t1",
        "global@t2",
        "local@t2",
        "reranked-of-3",
        "gated",
        "oracle-of-3",
        "orm-accuracy",
    ];
    for name in names {
        assert_eq!(refined[name].0, 20, "{name}");
    }
    assert_eq!(
        refined["m1@t1"], drafts["m1@t1"],
        "drafts are the generator's own first attempts"
    );
    assert!(refined["reranked-of-3"].1 <= refined["oracle-of-3"].1);

    let spent = lab.query(
        "SELECT kind, min(json_extract(counts, '$.flops')) FROM stages \
         WHERE kind IN ('rank', 'steps', 'refine', 'prefer') GROUP BY kind ORDER BY kind",
    );
    assert_eq!(spent.len(), 4, "{spent:?}");
    for kind in &spent {
        assert!(
            kind[1].parse::<u64>().is_ok_and(|flops| flops > 0),
            "{spent:?}"
        );
    }
}
