//! The stages and keys of the committed experiments.
//!
//! A key that changes by accident makes every store do its work again; one that fails to change
//! passes old work off as new. Accept a difference here only if the change means to do either.

use std::path::{Path, PathBuf};

use rise_lab::config;
use rise_lab::domain::Key;
use rise_lab::pipeline::{BaseModelRegistry, Workspace};
use rise_lab::sweep::SweepPlan;

pub fn plan(name: &str, overrides: &[(&str, &str)]) -> SweepPlan {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("experiments")
        .join(name);
    let overrides: Vec<_> = overrides
        .iter()
        .map(|(path, value)| (path.to_string(), value.to_string()))
        .collect();
    let experiment = config::read_experiment(&file, &overrides).expect("a committed experiment");
    let models = BaseModelRegistry::new(experiment.models_folder());
    let nowhere = Workspace::new(PathBuf::from("no such store"));
    SweepPlan::from_experiment(experiment, &models, &nowhere).expect("a plan")
}

fn digest(plan: &SweepPlan) -> String {
    let keys: Vec<&Key> = plan.graph.stages().iter().map(|stage| &stage.key).collect();
    format!(
        "{} runs ask for {} stages, {} of them different: {}",
        plan.runs.len(),
        plan.requested_stages(),
        keys.len(),
        Key::from_value(&keys).short()
    )
}

#[test]
fn quickstart_is_two_rounds_of_the_algorithm() {
    let plan = plan("quickstart.toml", &[]);
    let stage = |key| plan.graph.get(key).expect("a planned stage");
    let place = |key| {
        plan.runs[0]
            .stages
            .stages
            .iter()
            .position(|other| other == key)
            .expect("an input")
    };
    let lines: Vec<String> = plan.runs[0]
        .stages
        .stages
        .iter()
        .enumerate()
        .map(|(number, key)| {
            let stage = stage(key);
            let inputs: Vec<String> = stage
                .inputs
                .iter()
                .map(|input| place(input).to_string())
                .collect();
            let reads = if inputs.is_empty() {
                String::new()
            } else {
                format!(" <- {}", inputs.join(" "))
            };
            format!("{number:>2} {} {}{reads}", key.short(), stage.label)
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @"
         0 3b1703328544 prepare word-problems train
         1 80dea12933fa prepare word-problems test
         2 90177c156a17 prepare word-problems corpus
         3 c9fffc9b33be tokenize weak <- 2
         4 33b38b088476 base weak <- 2 3
         5 5e4ab71c06d9 evaluate weak base <- 1 4
         6 100feaf9013f collect weak round 1 <- 0 4
         7 e611cfd69960 improve weak round 1 <- 0 6
         8 a6eaa175754e weigh weak round 1 <- 0 7
         9 6da5b73da31e train weak round 1 <- 4 8
        10 b7c46e970e64 evaluate weak round 1 <- 1 9
        11 cd3d95bbf077 collect weak round 2 <- 0 9
        12 28703d9eae76 improve weak round 2 <- 0 11
        13 f3b7b07b1624 weigh weak round 2 <- 0 12
        14 414bfa02afa0 train weak round 2 <- 4 8 13
        15 aba5ff35caf0 evaluate weak round 2 <- 1 14
    ");
    let names: Vec<&str> = plan.runs[0]
        .stages
        .checkpoints
        .iter()
        .map(|checkpoint| checkpoint.name.as_str())
        .collect();
    assert_eq!(names, ["base", "round 1", "round 2"]);
}

/// The stages of a method after its base model, each with the places of those that it reads.
fn stages_of(overrides: &[(&str, &str)]) -> String {
    let plan = plan("quickstart.toml", overrides);
    let stages = &plan.runs[0].stages.stages;
    let place = |key| {
        stages
            .iter()
            .position(|other| other == key)
            .expect("an input")
            .to_string()
    };
    let line = |(number, key): (usize, &Key)| {
        let stage = plan.graph.get(key).expect("a planned stage");
        let inputs: Vec<String> = stage.inputs.iter().map(place).collect();
        format!("{number:>2} {} <- {}", stage.label, inputs.join(" "))
    };
    stages
        .iter()
        .enumerate()
        .skip(5)
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn online_methods_start_from_the_base_or_its_boost() {
    insta::assert_snapshot!(stages_of(&[("method", "grpo")]), @r"
     5 evaluate weak base <- 1 4
     6 reinforce weak grpo <- 0 4 4
     7 evaluate weak grpo <- 1 6
    ");
    insta::assert_snapshot!(stages_of(&[("method", "score"), ("boost.problems", "100")]), @r"
     5 evaluate weak base <- 1 4
     6 weigh weak solutions <- 0
     7 train weak boost <- 4 6
     8 evaluate weak boost <- 1 7
     9 reinforce weak score stage 1 <- 0 7 7
    10 evaluate weak score stage 1 <- 1 9
    11 reinforce weak score stage 2 <- 0 9 7
    12 evaluate weak score stage 2 <- 1 11
    ");
}

#[test]
fn problems_that_another_seed_picks_are_evaluated_on_and_change_nothing_else() {
    let (own, others) = (
        plan("quickstart.toml", &[]),
        plan("quickstart.toml", &[("evaluate.data_seed", "7")]),
    );
    let labels = |plan: &SweepPlan| -> Vec<String> {
        plan.runs[0]
            .stages
            .stages
            .iter()
            .map(|key| plan.graph.get(key).unwrap().label.clone())
            .collect()
    };
    assert_eq!(labels(&own), labels(&others));
    let pairs = own.runs[0]
        .stages
        .stages
        .iter()
        .zip(&others.runs[0].stages.stages);
    let moved: Vec<String> = labels(&own)
        .into_iter()
        .zip(pairs)
        .filter(|(_, (a, b))| a != b)
        .map(|(label, _)| label)
        .collect();
    insta::assert_snapshot!(moved.join("\n"), @r"
    prepare word-problems test
    evaluate weak base
    evaluate weak round 1
    evaluate weak round 2
    ");
    // The run's own seed names the same problems: no work is done twice.
    let same = plan("quickstart.toml", &[("evaluate.data_seed", "1")]);
    assert_eq!(own.runs[0].stages.stages, same.runs[0].stages.stages);
}

#[test]
fn training_problems_are_drawn_anew_for_every_seed_but_the_first() {
    let boost = ("boost", "{ problems = 10, model = \"strong\", turns = 2 }");
    let [shared, anew] = ["shared", "per-seed"]
        .map(|draw| plan("baseline.toml", &[("data.train_draw", draw), boost]));
    // The file has three seeds: the first two cells are one setting under the seeds 0 and 1.
    let [first, second] = [0, 1].map(|cell| {
        (
            &shared.runs[cell].stages.stages,
            &anew.runs[cell].stages.stages,
        )
    });
    assert_eq!(first.0, first.1);
    let kept = second.0.iter().filter(|key| second.1.contains(key));
    let kept: Vec<String> = kept
        .map(|key| shared.graph.get(key).unwrap().label.clone())
        .collect();
    insta::assert_snapshot!(kept.join("\n"), @r"
    prepare word-problems test
    prepare word-problems corpus
    tokenize weak
    base weak
    evaluate weak base
    prepare word-problems corpus
    tokenize strong
    base strong
    ");
}

#[test]
fn the_last_checkpoint_alone_is_evaluated_as_it_is_among_all() {
    let last = |more: &[(&'static str, &'static str)]| -> Vec<(String, Key)> {
        let [all, last] = ["all", "last"].map(|which| {
            let overrides = [more, &[("evaluate.checkpoints", which)]].concat();
            plan("quickstart.toml", &overrides)
        });
        let (all, last) = (&all.runs[0].stages, &last.runs[0].stages);
        assert!(
            last.stages.iter().all(|key| all.stages.contains(key)),
            "the same stages, but fewer"
        );
        assert!(
            all.checkpoints.ends_with(&last.checkpoints),
            "the last ones"
        );
        last.checkpoints
            .iter()
            .map(|checkpoint| (checkpoint.name.clone(), checkpoint.evaluation.clone()))
            .collect()
    };
    let names = |method| -> Vec<String> {
        last(&[("method", method)])
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    };
    assert_eq!(names("rise"), ["round 2"]);
    assert_eq!(names("sft-right"), ["sft-right"]);
    assert_eq!(names("self-refine"), ["self-refine"]);
    // What ranks or refines comes after whatever it starts from.
    assert_eq!(names("glore"), ["glore"]);
    assert_eq!(names("v-star"), ["v-star round 2", "v-star"]);
}

#[test]
fn ablations_share_their_stages() {
    let plan = plan("ablations.toml", &[]);
    assert!(
        2 * plan.graph.stages().len() <= plan.requested_stages(),
        "at most half of what is asked for is executed"
    );
    insta::assert_snapshot!(digest(&plan), @"54 runs ask for 646 stages, 241 of them different: 362ec7c3b2dd");
}

#[test]
fn gsm8k_is_the_same_wherever_its_files_lie() {
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gsm8k");
    let elsewhere = tempfile::tempdir().expect("a folder");
    for file in ["train.jsonl", "test.jsonl"] {
        std::fs::copy(Path::new(fixture).join(file), elsewhere.path().join(file)).expect("a copy");
    }
    let sizes = [
        ("data.train", "4"),
        ("data.validation", "0"),
        ("data.test", "4"),
        ("base", "tiny"),
    ];
    let [here, there] = [fixture, elsewhere.path().to_str().expect("a path")].map(|path| {
        let mut overrides = vec![("task.gsm8k.path", path)];
        overrides.extend(sizes);
        keys_on_a_small_base(&overrides)
    });
    assert_eq!(here, there);
}

/// Stage and run keys of the GSM8K experiment on a base whose corpus fits the fixture.
fn keys_on_a_small_base(overrides: &[(&str, &str)]) -> (Vec<Key>, Vec<Key>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("models")).expect("a folder");
    let recipe = std::fs::read_to_string(root.join("models/gsm8k.toml")).expect("the recipe");
    let recipe = recipe.replace("problems = 4_000", "problems = 6");
    std::fs::write(folder.path().join("models/tiny.toml"), recipe).expect("a recipe");
    let file = folder.path().join("gsm8k.toml");
    std::fs::copy(root.join("gsm8k.toml"), &file).expect("a copy");
    let overrides: Vec<_> = overrides
        .iter()
        .map(|&(path, value)| (path.to_owned(), value.to_owned()))
        .collect();
    let experiment = config::read_experiment(&file, &overrides).expect("the experiment");
    let models = BaseModelRegistry::new(experiment.models_folder());
    let plan = SweepPlan::from_experiment(experiment, &models, &Workspace::new("no such store"))
        .expect("a plan");
    let stages = plan
        .graph
        .stages()
        .iter()
        .map(|stage| stage.key.clone())
        .collect();
    (
        stages,
        plan.runs.iter().map(|cell| cell.key.clone()).collect(),
    )
}
