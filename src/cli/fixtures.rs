//! A small store and a small plan for the tests of the commands.

use serde_json::{Value, json};

use crate::config::read_experiment;
use crate::domain::{Key, Seed};
use crate::model::footprint::Footprint;
use crate::pipeline::{
    ResourceEstimate, RunStages, StageGraph, StageKind, StageManifest, StageNode, TrainStage,
};
use crate::store::{
    CheckpointRow, ExperimentRow, MetricRow, PlannedRunRow as RunToStore, PlannedStageRow,
    ScoreRow, StageResults, Status, Store,
};
use crate::sweep::{SweepPlan, SweepRun, expand_experiment};

use super::args::{ColorChoice, GlobalArguments, OutputFormat};
use super::output::CliOutput;

/// Output without colours.
pub fn plain_output() -> CliOutput {
    let store = ".rise-lab".into();
    CliOutput::new(&GlobalArguments {
        store,
        format: OutputFormat::Human,
        quiet: true,
        color: ColorChoice::Never,
    })
}

/// A key made of a name.
pub fn key_for(name: &str) -> Key {
    Key::from_bytes(name.as_bytes())
}

/// A stage of any kind.
pub fn stage(kind: StageKind, label: &str, inputs: Vec<Key>, estimate: f64) -> StageNode {
    let spec = TrainStage {
        start: key_for("start"),
        examples: Vec::new(),
        train: serde_json::from_value(json!({}))
            .expect("every setting of a training has a default"),
        seed: Seed(0),
        backend: "flex".to_owned(),
    };
    StageNode {
        key: key_for(label),
        kind,
        label: label.to_owned(),
        spec: spec.into(),
        inputs,
        estimated_seconds: estimate,
    }
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
    let cells = expand_experiment(&experiment)
        .expect("the experiment expands")
        .into_iter()
        .map(|cell| {
            let train = graph.add(stage(
                StageKind::Train,
                &format!("train {}", cell.label),
                vec![base.clone()],
                40.0,
            ));
            let run = RunStages {
                stages: vec![base.clone(), train],
                checkpoints: vec![],
            };
            let sampling = Footprint {
                weights: 4 << 20,
                cache: 60 << 20,
                ..Footprint::default()
            };
            let training = Footprint {
                weights: 4 << 20,
                moments: 8 << 20,
                activations: 90 << 20,
                ..Footprint::default()
            };
            let needs = ResourceEstimate {
                backend: "flex".to_owned(),
                sampling,
                training: Some(training),
                checkpoint_bytes: 4 << 20,
            };
            SweepRun {
                key: key_for(&cell.label),
                cell,
                stages: run,
                resources: needs,
            }
        });
    let cells = cells.collect();
    let finished = [(base.clone(), manifest(&base))].into();
    SweepPlan {
        experiment,
        runs: cells,
        graph,
        finished,
    }
}

fn manifest(key: &Key) -> StageManifest {
    let (counts, origin) = (json!({}), json!({}));
    StageManifest {
        key: key.clone(),
        artifacts: Vec::new(),
        seconds: 100.0,
        peak_bytes: None,
        counts,
        origin,
    }
}

/// A store with one run that is done and one that failed.
pub fn store(folder: &tempfile::TempDir) -> Store {
    let mut store = Store::open(folder.path()).expect("a new store can be opened");
    let metric = MetricRow {
        name: "m1@t1".to_owned(),
        version: 1,
        unit: "fraction".to_owned(),
        higher_is_better: Some(true),
        meaning: "First-turn accuracy.".to_owned(),
    };
    store
        .record_metrics(&[metric])
        .expect("a new metric is recorded");
    let stages = ["base", "evaluate", "train"].map(|label| PlannedStageRow {
        key: key_for(label),
        kind: label.to_owned(),
        label: format!("{label} weak"),
        inputs: Vec::new(),
    });
    let row = ExperimentRow {
        name: "weights".to_owned(),
        question: "Which weighting is best?".to_owned(),
        toml: String::new(),
        report: Value::Null,
    };
    let runs = [
        run("uniform", 0, &["base", "evaluate"]),
        run("exp(0.4)", 1, &["base", "train"]),
    ];
    store
        .record_experiment(&row, &runs, &stages)
        .expect("the experiment is recorded");
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
    store
        .record_stage_start(&key_for("base"))
        .expect("the stage is known");
    store
        .record_stage_results(&key_for("base"), &results())
        .expect("the results are sound");
    store
        .record_stage_start(&key_for("evaluate"))
        .expect("the stage is known");
    store
        .record_stage_results(&key_for("evaluate"), &evaluation)
        .expect("the results are sound");
    store
        .record_stage_failure(&key_for("train"), "out of memory")
        .expect("the stage is known");
    store
        .set_run_status("weights", &key_for("uniform"), Status::Done, None)
        .expect("the run is known");
    let error = Some("stage `train weak` failed: out of memory");
    store
        .set_run_status("weights", &key_for("exp(0.4)"), Status::Failed, error)
        .expect("the run is known");
    store
}

fn results() -> StageResults {
    StageResults {
        seconds: 83.0,
        peak_bytes: Some(412 << 20),
        counts: json!({ "tokens_trained": 61_200 }),
        ..StageResults::default()
    }
}

fn run(weighting: &str, position: u32, stages: &[&str]) -> RunToStore {
    let checkpoint = CheckpointRow {
        run: key_for(weighting),
        position: 0,
        name: "base".to_owned(),
        weights: key_for("base"),
        evaluation: key_for("evaluate"),
    };
    RunToStore {
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
