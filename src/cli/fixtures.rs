//! A small store and a small plan for the tests of the commands.

use serde_json::{Value, json};

use crate::config::read_experiment;
use crate::pipeline::{StageGraph, StageKind};
use crate::store::{
    CheckpointRow, ExperimentRow, MetricRow, PlannedRunRow, PlannedStageRow, ScoreRow,
    StageResults, Status, Store, StoreError,
};
use crate::sweep::fixtures::{manifest, sweep_run};
use crate::sweep::{SweepPlan, expand_experiment};

pub use crate::sweep::fixtures::{key_for, stage};

use super::args::{ColorChoice, GlobalArguments, OutputFormat};
use super::output::CliOutput;

/// Output without colours.
pub fn plain_output() -> CliOutput {
    CliOutput::new(&GlobalArguments {
        store: ".rise-lab".into(),
        format: OutputFormat::Human,
        quiet: true,
        color: ColorChoice::Never,
    })
}

/// A plan of two runs that share a base model, which is finished.
pub fn plan() -> SweepPlan {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let file = folder.path().join("weights.toml");
    let text = "name = \"weights\"\nquestion = \"Which weighting is best?\"\n\
                [run]\nbase = \"weak\"\ntask = { word-problems = {} }\n\
                [sweep.axes]\nweighting = [\"uniform\", \"success-only\"]\n";
    std::fs::write(&file, text).expect("the file can be written");
    let experiment = read_experiment(&file, &[]).expect("the experiment is right");
    let mut graph = StageGraph::default();
    let base = graph.add(stage(StageKind::Base, "base weak", vec![], 120.0));
    let runs = expand_experiment(&experiment)
        .expect("the experiment expands")
        .into_iter()
        .map(|cell| {
            let label = format!("train {}", cell.label);
            let train = graph.add(stage(StageKind::Train, &label, vec![base.clone()], 40.0));
            sweep_run(cell, vec![base.clone(), train])
        })
        .collect();
    SweepPlan {
        experiment,
        runs,
        graph,
        finished: [(base.clone(), manifest(&base, 100.0))].into(),
    }
}

/// A store with one run that is done and one that failed.
pub fn store(folder: &tempfile::TempDir) -> Store {
    fill_store(folder).expect("a new store takes sound rows")
}

fn fill_store(folder: &tempfile::TempDir) -> Result<Store, StoreError> {
    let mut store = Store::open(folder.path())?;
    store.record_metrics(&[MetricRow {
        name: "m1@t1".to_owned(),
        version: 1,
        unit: "fraction".to_owned(),
        higher_is_better: Some(true),
        meaning: "First-turn accuracy.".to_owned(),
    }])?;
    let stages = ["base", "evaluate", "train"].map(|label| PlannedStageRow {
        key: key_for(label),
        kind: label.to_owned(),
        label: format!("{label} weak"),
        inputs: Vec::new(),
    });
    let experiment = ExperimentRow {
        name: "weights".to_owned(),
        question: "Which weighting is best?".to_owned(),
        toml: String::new(),
        report: Value::Null,
    };
    let runs = [
        run("uniform", 0, &["base", "evaluate"]),
        run("exp(0.4)", 1, &["base", "train"]),
    ];
    store.record_experiment(&experiment, &runs, &stages)?;
    let scores = (0..10).map(|problem| ScoreRow {
        metric: "m1@t1".to_owned(),
        problem: format!("p{problem}"),
        value: f64::from(u8::from(problem < 8)),
    });
    let evaluation = StageResults {
        scores: scores.collect(),
        grader: Some(("numeric".to_owned(), 1)),
        ..results()
    };
    for (label, results) in [("base", results()), ("evaluate", evaluation)] {
        store.record_stage_start(&key_for(label))?;
        store.record_stage_results(&key_for(label), &results)?;
    }
    store.record_stage_failure(&key_for("train"), "out of memory")?;
    store.set_run_status("weights", &key_for("uniform"), Status::Done, None)?;
    let error = Some("stage `train weak` failed: out of memory");
    store.set_run_status("weights", &key_for("exp(0.4)"), Status::Failed, error)?;
    Ok(store)
}

fn results() -> StageResults {
    StageResults {
        seconds: 83.0,
        peak_bytes: Some(412 << 20),
        counts: json!({ "tokens_trained": 61_200 }),
        ..StageResults::default()
    }
}

fn run(weighting: &str, position: u32, stages: &[&str]) -> PlannedRunRow {
    let checkpoint = CheckpointRow {
        run: key_for(weighting),
        position: 0,
        name: "base".to_owned(),
        weights: key_for("base"),
        evaluation: key_for("evaluate"),
    };
    PlannedRunRow {
        key: key_for(weighting),
        label: format!("weighting={weighting} seed=0"),
        position,
        seed: 0,
        axes: vec![("train.weighting".to_owned(), weighting.to_owned())],
        spec: json!({ "base": "weak", "rounds": { "count": 2 } }),
        stages: stages.iter().map(|stage| key_for(stage)).collect(),
        checkpoints: vec![checkpoint],
    }
}
