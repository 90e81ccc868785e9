//! Sweeps that are stopped or killed half-way: the same command goes on, does nothing twice that
//! was done, and ends where an undisturbed sweep ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rise_lab::config::read_experiment;
use rise_lab::domain::{NoopObserver, Observer, Seed, StageEvent, TrainingExample};
use rise_lab::model::{LanguageModel, Threads, checkpoint};
use rise_lab::pipeline::{
    BaseModelRegistry, StageError, StageKind, StageManifest, StageNode, Workspace, execute_stage,
};
use rise_lab::sweep::SweepPlan;
use rise_lab::train::{
    EncodedExample, LossReduction, TrainConfig, TrainError, Trainer, TrainingPhase, TrainingResult,
    encode_example,
};

use crate::support::{FILE, Lab, problems, random_model};

/// Trainings long enough to be met in their middle.
const LONG: [&str; 2] = ["--set", "train.epochs=150"];

/// The context of the report of a sweep that nothing disturbed.
fn undisturbed() -> &'static str {
    static CONTEXT: OnceLock<String> = OnceLock::new();
    CONTEXT.get_or_init(|| {
        let lab = Lab::finished();
        lab.sweep(&LONG).expect_exit(0);
        lab.context()
    })
}

#[cfg(target_os = "linux")]
mod processes {
    use std::collections::BTreeSet;
    use std::fs;
    use std::process::Command;
    use std::thread::sleep;
    use std::time::Duration;

    use crate::support::{Lab, STAGES, stages};

    use super::{LONG, undisturbed};

    /// The processes that a process has started and that are still there.
    fn children(id: u32) -> Vec<u32> {
        let threads = fs::read_dir(format!("/proc/{id}/task")).expect("the process is there");
        let lists = threads
            .flatten()
            .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        lists
            .flat_map(|list| {
                list.split_whitespace()
                    .map(|id| id.parse().unwrap())
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// Whether a process is there and not merely unburied.
    fn lives(id: u32) -> bool {
        let status = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        status
            .rsplit(") ")
            .next()
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }

    fn signal(signal: &str, id: u32) {
        let sent = Command::new("kill")
            .args([signal, &id.to_string()])
            .status()
            .expect("there is `kill`");
        assert!(sent.success(), "kill {signal} {id}");
    }

    #[test]
    fn a_killed_coordinator_loses_nothing() {
        let lab = Lab::new();
        let mut done = lab_done(&lab);
        for kind in ["base", "train", "train"] {
            let mut sweep = lab.begin(&LONG);
            sweep.wait_for("stage-progress", Some(kind));
            let workers = children(sweep.id());
            assert!(!workers.is_empty());
            let news = sweep.kill();
            assert!(
                stages(&news, "stage-started").is_disjoint(&done),
                "a finished stage was begun again"
            );
            done = lab_done(&lab);
            let patience = (0..100).take_while(|_| {
                sleep(Duration::from_millis(50));
                workers.iter().any(|&worker| lives(worker))
            });
            assert!(patience.count() < 100, "a worker outlives its coordinator");
        }
        assert!(
            done.len() > 5 && (done.len() as u64) < STAGES,
            "{} stages done",
            done.len()
        );
        let counts = lab.done();
        let last = lab.sweep(&LONG);
        last.expect_exit(0);
        assert!(
            stages(&last.news(), "stage-started").is_disjoint(&done),
            "a finished stage was begun again"
        );
        let after = lab.done();
        assert_eq!(after.len() as u64, STAGES);
        assert!(counts.iter().all(|(stage, times)| after[stage] == *times));
        assert_eq!(lab.context(), undisturbed());
    }

    fn lab_done(lab: &Lab) -> BTreeSet<String> {
        if lab.path("store").exists() {
            lab.done().into_keys().collect()
        } else {
            BTreeSet::new()
        }
    }

    #[test]
    fn a_killed_worker_is_replaced() {
        let lab = Lab::finished();
        let mut sweep = lab.begin(&[&LONG[..], &["--jobs", "2"]].concat());
        sweep.wait_for("stage-progress", Some("train"));
        for worker in children(sweep.id()) {
            signal("-9", worker);
        }
        let ran = sweep.finish();
        ran.expect_exit(0);
        let news = ran.news();
        let deaths = news
            .iter()
            .filter(|line| line["reason"] == "worker-died")
            .count() as u64;
        assert!(deaths >= 1, "no death was told");
        let begun: u64 = lab.done().values().sum();
        assert_eq!(begun, STAGES + 6 + deaths, "only what died is begun again");
        assert_eq!(lab.context(), undisturbed());
        let again = lab.sweep(&LONG);
        again.expect_exit(0);
        assert_eq!(again.executed(), 0);
    }

    #[test]
    fn an_interrupted_sweep_goes_on_in_the_middle_of_a_training() {
        let lab = Lab::finished();
        let mut sweep = lab.begin(&[&LONG[..], &["--jobs", "1"]].concat());
        let progress = sweep.wait_for("stage-progress", Some("train"));
        signal("-INT", sweep.id());
        let stopped = sweep.finish();
        stopped.expect_exit(4);
        insta::assert_snapshot!(stopped.stderr.lines().last().unwrap_or_default(), @"stopped; run the same command to resume");
        assert_eq!(stopped.news().last().unwrap()["interrupted"], true);
        let training = progress["stage"].as_str().unwrap();
        let sql = format!("SELECT status, attempts FROM stages WHERE key = '{training}'");
        assert_eq!(lab.query(&sql), [["interrupted", "1"]]);
        let standing = lab.json(&["status"]);
        assert!(
            standing[0]["runs"]["done"].is_null()
                && standing[0]["stages"]["done"].as_u64() >= Some(11)
        );

        let resumed = lab.sweep(&LONG);
        resumed.expect_exit(0);
        let news = resumed.news();
        let first = news
            .iter()
            .find(|line| line["reason"] == "stage-progress" && line["stage"] == training);
        let done = first.expect("the training goes on")["done"]
            .as_u64()
            .unwrap();
        assert!(
            done > progress["done"].as_u64().unwrap(),
            "the training began again: step {done}"
        );
        let done: BTreeSet<String> = stages(&stopped.news(), "stage-finished");
        assert!(done.is_disjoint(&stages(&news, "stage-started")));
        assert_eq!(lab.context(), undisturbed());
    }
}

/// Asks for a stop once it has been told of some progress.
struct Impatient {
    told: usize,
    enough: usize,
}

impl Impatient {
    fn after(enough: usize) -> Self {
        Self { told: 0, enough }
    }
}

impl Observer for Impatient {
    fn on_event(&mut self, event: StageEvent) {
        self.told += usize::from(matches!(event, StageEvent::Progress { .. }));
    }

    fn stop_requested(&self) -> bool {
        self.told >= self.enough
    }
}

/// Executes a stage with many stops, after each of which its working folder looks as if the
/// process had been killed while it was writing. Returns how often it was stopped.
fn with_stops(stage: &StageNode, workspace: &Workspace) -> (StageManifest, usize) {
    let mut stops = 0;
    loop {
        match execute_stage(
            stage,
            workspace,
            &Threads::default(),
            &mut Impatient::after(1 << stops),
        ) {
            Ok(manifest) => return (manifest, stops),
            Err(StageError::Stopped) => stops += 1,
            Err(error) => panic!("{}: {error}", stage.label),
        }
        tear(&workspace.working_folder(&stage.key).unwrap());
    }
}

fn tear(folder: &Path) {
    let files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|end| end == "jsonl"))
    {
        let mut bytes = fs::read(file).unwrap();
        bytes.extend(br#"{"problem":"word-pro"#);
        fs::write(file, bytes).unwrap();
    }
    for leftover in ["progress.tmp", "progress-7-7.safetensors", "manifest.tmp"] {
        fs::write(folder.join(leftover), "cut").unwrap();
    }
}

#[test]
fn every_stage_goes_on_where_it_was_stopped() {
    let lab = Lab::new();
    lab.edit(FILE, "steps = [1, 1], largest = 5", "steps = [1, 2]");
    lab.edit(
        FILE,
        "train = 30, validation = 0, test = 20",
        "train = 600, validation = 0, test = 300",
    );
    let (whole, broken) = (
        Workspace::new(lab.path("whole")),
        Workspace::new(lab.path("broken")),
    );
    let experiment = read_experiment(&lab.path(FILE), &[]).unwrap();
    let plan = SweepPlan::from_experiment(
        experiment,
        &BaseModelRegistry::new(lab.path("models")),
        &whole,
    )
    .unwrap();
    let mut all: BTreeMap<&str, usize> = BTreeMap::new();
    for stage in plan.graph.stages() {
        let unbroken =
            execute_stage(stage, &whole, &Threads::default(), &mut NoopObserver).unwrap();
        let (stopped, stops) = with_stops(stage, &broken);
        assert_eq!(stopped.artifacts, unbroken.artifacts, "{}", stage.label);
        assert_eq!(stopped.counts, unbroken.counts, "{}", stage.label);
        broken.verify(&stopped).unwrap();
        *all.entry(stage.kind.name()).or_default() += stops;
    }
    for (kind, least) in [("base", 5), ("train", 9), ("collect", 2), ("evaluate", 8)] {
        assert!(all[kind] >= least, "{kind} was stopped {} times", all[kind]);
    }
}

/// Online trainings of a few steps, which may be stopped at every second one.
const ONLINE: &str = "
[run.grpo]
iterations = 9
problems = 4
samples = 3
passes = 2

[run.score]
stage_one = 5
stage_two = 6
problems = 4
samples = 3

[sweep]
";

#[test]
fn an_online_training_goes_on_where_it_was_stopped() {
    let lab = Lab::new();
    lab.edit(
        FILE,
        r#"method = ["rise", "sft"]"#,
        r#"method = ["rise", "grpo", "score"]"#,
    );
    lab.edit(FILE, "[sweep]\n", ONLINE);
    let (whole, broken) = (
        Workspace::new(lab.path("whole")),
        Workspace::new(lab.path("broken")),
    );
    let experiment = read_experiment(&lab.path(FILE), &[]).unwrap();
    let plan = SweepPlan::from_experiment(
        experiment,
        &BaseModelRegistry::new(lab.path("models")),
        &whole,
    )
    .unwrap();
    let mut stops = Vec::new();
    for stage in plan.graph.stages() {
        if matches!(
            stage.kind,
            StageKind::Prepare | StageKind::Tokenize | StageKind::Base
        ) {
            for workspace in [&whole, &broken] {
                execute_stage(stage, workspace, &Threads::default(), &mut NoopObserver).unwrap();
            }
        } else if stage.kind == StageKind::TrainOnline {
            let unbroken =
                execute_stage(stage, &whole, &Threads::default(), &mut NoopObserver).unwrap();
            let (stopped, times) = with_stops(stage, &broken);
            assert_eq!(stopped.artifacts, unbroken.artifacts, "{}", stage.label);
            assert_eq!(stopped.counts, unbroken.counts, "{}", stage.label);
            stops.push((stage.label.clone(), times));
        }
    }
    // At steps 2, 4, 8 and 16 of 18; at steps 1 and 3 of 5 and of 6.
    let expected = [("grpo", 4), ("score stage 1", 2), ("score stage 2", 2)];
    assert_eq!(
        stops,
        expected.map(|(name, times)| (["reinforce mini", name].join(" "), times))
    );
}

/// A small training of two phases, on its way in a folder.
struct Training {
    model: LanguageModel,
    examples: Vec<EncodedExample>,
    folder: tempfile::TempDir,
}

impl Training {
    fn new() -> Self {
        let problems = problems(12);
        let model = random_model(&problems);
        let answered = problems
            .iter()
            .map(|p| TrainingExample::single_turn(&p.question, p.solution.as_deref().unwrap()));
        let examples = answered
            .map(|example| encode_example(&example, &model.tokenizer, 512).unwrap())
            .collect();
        Self {
            model,
            examples,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn go(&self, observer: &mut dyn Observer) -> Result<TrainingResult, TrainError> {
        let phase = |epochs, seed| TrainingPhase {
            examples: &self.examples,
            config: TrainConfig {
                epochs,
                batch_size: 4,
                ..TrainConfig::default()
            },
            seed: Seed(seed),
        };
        let trainer = Trainer {
            reduction: LossReduction::PerTarget,
            folder: self.folder.path(),
        };
        trainer.train(
            self.model.decoder.clone(),
            &[phase(4, 1), phase(3, 2)],
            observer,
        )
    }
}

#[track_caller]
fn same(a: &TrainingResult, b: &TrainingResult) {
    assert!(
        checkpoint::encode_weights(&a.decoder) == checkpoint::encode_weights(&b.decoder),
        "other weights"
    );
    assert_eq!((&a.curve, a.steps, a.tokens), (&b.curve, b.steps, b.tokens));
}

#[test]
fn a_stopped_training_ends_with_the_bytes_of_an_unbroken_one() {
    let unbroken = Training::new().go(&mut NoopObserver).unwrap();
    assert_eq!(unbroken.steps, 7 * 3);
    // Step 12 is the last of the first phase.
    for enough in [1, 5, 11, 12, 13, 20] {
        let training = Training::new();
        assert!(
            matches!(
                training.go(&mut Impatient::after(enough)),
                Err(TrainError::Stopped)
            ),
            "{enough}"
        );
        let mut rest = Impatient::after(usize::MAX);
        same(&training.go(&mut rest).unwrap(), &unbroken);
        assert_eq!(
            rest.told,
            21 - enough,
            "steps after a stop at step {enough}"
        );
        let left = fs::read_dir(training.folder.path()).unwrap().count();
        assert_eq!(left, 0, "a finished training leaves nothing behind");
    }
}

#[test]
fn a_training_with_damaged_progress_begins_again() {
    let training = Training::new();
    assert!(matches!(
        training.go(&mut Impatient::after(8)),
        Err(TrainError::Stopped)
    ));
    let kept = fs::read_dir(training.folder.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let tensors: BTreeSet<PathBuf> = kept
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    let file = tensors.first().expect("progress was kept");
    let mut bytes = fs::read(file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(file, bytes).unwrap();
    let mut rest = Impatient::after(usize::MAX);
    same(
        &training.go(&mut rest).unwrap(),
        &Training::new().go(&mut NoopObserver).unwrap(),
    );
    assert_eq!(rest.told, 21);
}
