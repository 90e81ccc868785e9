//! A small store and a small plan for the tests of the commands.

use serde_json::{Value, json};

use crate::domain::{Key, Seed};
use crate::pipeline::{Footprint, Graph, Job, Kind, Manifest, Needs, PlannedRun, Stage};
use crate::spec::read;
use crate::store::{
    CheckpointRow, ExperimentRow, MetricRow, PlannedRun as RunToStore, PlannedStage, ScoreRow,
    StageResults, Status, Store,
};
use crate::sweep::{PlannedCell, SweepPlan, expand};

use super::args::{ColorChoice, Format, Global};
use super::output::Output;

/// Output without colours.
pub fn plain() -> Output {
    let store = ".rise-lab".into();
    Output::new(&Global {
        store,
        format: Format::Human,
        quiet: true,
        color: ColorChoice::Never,
    })
}

/// A key made of a name.
pub fn key(name: &str) -> Key {
    Key::of_bytes(name.as_bytes())
}

/// A stage of any kind.
pub fn stage(kind: Kind, label: &str, inputs: Vec<Key>, estimate: f64) -> Stage {
    let job = Job::Train {
        start: key("start"),
        examples: Vec::new(),
        train: serde_json::from_value(json!({}))
            .expect("every setting of a training has a default"),
        seed: Seed(0),
        backend: "flex".to_owned(),
    };
    Stage {
        key: key(label),
        kind,
        label: label.to_owned(),
        job,
        inputs,
        estimate,
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
    let experiment = read(&file, &[]).expect("the experiment is right");
    let mut graph = Graph::default();
    let base = graph.add(stage(Kind::Base, "base weak", vec![], 120.0));
    let cells = expand(&experiment)
        .expect("the experiment expands")
        .into_iter()
        .map(|cell| {
            let train = graph.add(stage(
                Kind::Train,
                &format!("train {}", cell.label),
                vec![base.clone()],
                40.0,
            ));
            let run = PlannedRun {
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
            let needs = Needs {
                backend: "flex".to_owned(),
                sampling,
                training: Some(training),
                checkpoint: 4 << 20,
            };
            PlannedCell {
                key: key(&cell.label),
                cell,
                run,
                needs,
            }
        });
    let cells = cells.collect();
    let finished = [(base.clone(), manifest(&base))].into();
    SweepPlan {
        experiment,
        cells,
        graph,
        finished,
    }
}

fn manifest(key: &Key) -> Manifest {
    let (counts, origin) = (json!({}), json!({}));
    Manifest {
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
    store.metrics(&[metric]).expect("a new metric is recorded");
    let stages = ["base", "evaluate", "train"].map(|label| PlannedStage {
        key: key(label),
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
        .experiment(&row, &runs, &stages)
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
        .stage_started(&key("base"))
        .expect("the stage is known");
    store
        .stage_done(&key("base"), &results())
        .expect("the results are sound");
    store
        .stage_started(&key("evaluate"))
        .expect("the stage is known");
    store
        .stage_done(&key("evaluate"), &evaluation)
        .expect("the results are sound");
    store
        .stage_failed(&key("train"), "out of memory")
        .expect("the stage is known");
    store
        .run_status("weights", &key("uniform"), Status::Done, None)
        .expect("the run is known");
    let error = Some("stage `train weak` failed: out of memory");
    store
        .run_status("weights", &key("exp(0.4)"), Status::Failed, error)
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
        run: key(weighting),
        position: 0,
        name: "base".to_owned(),
        weights: key("base"),
        evaluation: key("evaluate"),
    };
    RunToStore {
        key: key(weighting),
        label: format!("weighting={weighting} seed=0"),
        position,
        seed: 0,
        axes: vec![("train.weighting".to_owned(), weighting.to_owned())],
        spec: json!({ "base": "weak", "rounds": { "count": 2 } }),
        stages: stages.iter().map(|stage| key(stage)).collect(),
        checkpoints: vec![checkpoint],
    }
}
