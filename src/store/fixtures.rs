//! A planned store with results, for the tests of this module.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::domain::{
    Candidate, CandidateAuthor, Episode, Grade, GradeVerdict, Key, MetricPoint, Problem, Split,
    Turn,
};

use super::{
    ArtifactRow, CheckpointRow, ExperimentRow, MetricRow, PlannedRunRow, PlannedStageRow, ScoreRow,
    StageResults, Status, Store, StoreReader,
};

pub(super) fn key(name: &str) -> Key {
    Key::from_bytes(name.as_bytes())
}

pub(super) fn experiment(name: &str) -> ExperimentRow {
    let (question, toml) = ("Does it work?".to_owned(), format!("name = \"{name}\"\n"));
    ExperimentRow {
        name: name.to_owned(),
        question,
        toml,
        report: json!({ "baseline": null }),
    }
}

pub(super) fn stage(name: &str, inputs: &[&str]) -> PlannedStageRow {
    let inputs = inputs.iter().map(|input| key(input)).collect();
    PlannedStageRow {
        key: key(name),
        kind: name.to_owned(),
        label: format!("the {name}"),
        inputs,
    }
}

/// Two runs that share `prepare` and `base`; the second has its own evaluation.
pub(super) fn stages() -> Vec<PlannedStageRow> {
    vec![
        stage("prepare", &[]),
        stage("base", &["prepare"]),
        stage("evaluate", &["base", "prepare"]),
        stage("evaluate greedily", &["base", "prepare"]),
    ]
}

pub(super) fn run(name: &str, position: u32, evaluation: &str) -> PlannedRunRow {
    PlannedRunRow {
        key: key(name),
        label: format!("base={name} seed=3"),
        position,
        seed: 3,
        axes: vec![
            ("base".to_owned(), name.to_owned()),
            ("rounds".to_owned(), "2".to_owned()),
        ],
        spec: json!({ "seed": 3, "base": name }),
        stages: vec![key("prepare"), key("base"), key(evaluation)],
        checkpoints: vec![CheckpointRow {
            run: key(name),
            position: 0,
            name: "base".to_owned(),
            weights: key("base"),
            evaluation: key(evaluation),
        }],
    }
}

pub(super) fn runs() -> Vec<PlannedRunRow> {
    vec![
        run("weak", 0, "evaluate"),
        run("strong", 1, "evaluate greedily"),
    ]
}

pub(super) fn planned_store(folder: &Path) -> Store {
    let mut store = Store::open(folder).unwrap();
    store
        .record_experiment(&experiment("one"), &runs(), &stages())
        .unwrap();
    store
}

pub(super) fn fresh_store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = planned_store(folder.path());
    (folder, store)
}

pub(super) fn problem(id: &str) -> Problem {
    let solution = (id != "p/9").then(|| "2 + 2 = 4\n#### 4".to_owned());
    Problem {
        id: id.to_owned(),
        question: format!("What is {id}?"),
        answer: "4".to_owned(),
        solution,
    }
}

pub(super) fn candidate(text: &str, verdict: GradeVerdict) -> Candidate {
    let answer = (verdict != GradeVerdict::Unreadable).then(|| text.to_owned());
    let grade = Grade { answer, verdict };
    Candidate {
        author: CandidateAuthor::Policy,
        text: format!("#### {text}"),
        tokens: 3,
        prompt_tokens: 12,
        finished: true,
        grade,
    }
}

pub(super) fn episode(problem: &str, sample: u32) -> Episode {
    let teacher = Candidate {
        author: CandidateAuthor::Teacher,
        tokens: 0,
        prompt_tokens: 0,
        ..candidate("4", GradeVerdict::Right)
    };
    let cut = Candidate {
        finished: false,
        ..candidate("", GradeVerdict::Unreadable)
    };
    let turns = vec![
        Turn::new(vec![cut, candidate("5", GradeVerdict::Wrong)], 1),
        Turn::single(teacher),
    ];
    Episode {
        problem: problem.to_owned(),
        sample,
        turns,
    }
}

pub(super) fn metric(version: u32) -> MetricRow {
    MetricRow {
        name: "m1@t1".to_owned(),
        version,
        unit: "fraction".to_owned(),
        higher_is_better: Some(true),
        meaning: "Right at the first turn.".to_owned(),
    }
}

pub(super) fn score(problem: &str, value: f64) -> ScoreRow {
    ScoreRow {
        metric: "m1@t1".to_owned(),
        problem: problem.to_owned(),
        value,
    }
}

pub(super) fn prepare_results() -> StageResults {
    let problems = vec![
        (Split::Test, problem("p/9")),
        (Split::Test, problem("p/10")),
        (Split::Train, problem("p/1")),
    ];
    StageResults {
        problems,
        ..StageResults::default()
    }
}

pub(super) fn evaluate_results() -> StageResults {
    let file = ArtifactRow {
        name: "episodes.jsonl".to_owned(),
        sha256: key("bytes"),
        bytes: 12,
    };
    StageResults {
        seconds: 1.5,
        peak_bytes: Some(3 << 30),
        counts: json!({ "sampled": 40 }),
        origin: json!({ "backend": "flex" }),
        artifacts: vec![file],
        problems: Vec::new(),
        episodes: vec![episode("p/10", 1), episode("p/10", 0), episode("p/9", 0)],
        grader: Some(("numeric".to_owned(), 1)),
        points: vec![point(2, 0.5), point(1, f64::NAN), point(2, 0.25)],
        scores: vec![score("p/9", 1.0), score("p/10", 0.0)],
        regrades: Vec::new(),
    }
}

pub(super) fn point(step: u64, value: f64) -> MetricPoint {
    MetricPoint {
        series: "loss".to_owned(),
        step,
        value,
    }
}

pub(super) fn record_evaluation(store: &mut Store) {
    store.record_metrics(&[metric(1)]).unwrap();
    store
        .record_stage_results(&key("prepare"), &prepare_results())
        .unwrap();
    store
        .record_stage_results(&key("evaluate"), &evaluate_results())
        .unwrap();
}

pub(super) fn stage_status(reader: &StoreReader, name: &str) -> Status {
    reader.stage(&key(name)).unwrap().unwrap().status
}
