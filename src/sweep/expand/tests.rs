//! Expansions and refusals as a person sees them, and how many cells there are.

use proptest::prelude::*;

use crate::config;

use super::*;

const HEAD: &str = r#"name = "a"
[run]
base = "weak"
task = { word-problems = {} }
"#;

fn expanded(sweep: &str) -> Result<Vec<SweepCell>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    std::fs::write(&path, format!("{HEAD}{sweep}")).unwrap();
    let told = |error: ConfigError| {
        error
            .to_string()
            .replace(&format!("{}/", folder.path().display()), "")
    };
    expand_experiment(&config::read_experiment(&path, &[]).map_err(told)?).map_err(told)
}

fn labels(sweep: &str) -> String {
    let cells = expanded(sweep).unwrap();
    cells
        .iter()
        .map(|cell| cell.label.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

fn message(sweep: &str) -> String {
    expanded(sweep).unwrap_err()
}

#[test]
fn no_sweep_is_one_cell() {
    insta::assert_snapshot!(labels(""), @"baseline seed=0");
}

#[test]
fn a_grid_is_every_combination() {
    insta::assert_snapshot!(labels(r#"
[sweep.axes]
"weighting" = ["uniform", { exp = { temperature = 0.4 } }]
"collect.teacher" = ["reference", { model = "strong" }, { self = { best_of = 8 } }]
"#), @r"
    weighting=uniform collect.teacher=reference seed=0
    weighting=uniform collect.teacher=model(strong) seed=0
    weighting=uniform collect.teacher=self(best_of=8) seed=0
    weighting=exp(0.4) collect.teacher=reference seed=0
    weighting=exp(0.4) collect.teacher=model(strong) seed=0
    weighting=exp(0.4) collect.teacher=self(best_of=8) seed=0
    ");
}

#[test]
fn around_changes_one_axis_at_a_time() {
    insta::assert_snapshot!(labels(r#"
[sweep]
mode = "around"
[sweep.axes]
"weighting" = ["uniform", { exp = { temperature = 0.4 } }]
"rounds.count" = [1, 2, 3]
collect.stop_on_success = [false]
"#), @r"
    baseline seed=0
    weighting=uniform seed=0
    rounds.count=1 seed=0
    rounds.count=3 seed=0
    collect.stop_on_success=false seed=0
    ");
}

#[test]
fn zip_takes_values_together() {
    insta::assert_snapshot!(labels(r#"
[sweep]
mode = "zip"
[sweep.axes]
"base" = ["weak", "strong"]
"rounds.count" = [1, 3]
"#), @r"
    base=weak rounds.count=1 seed=0
    base=strong rounds.count=3 seed=0
    ");
}

const REGIMES: &str = r#"
[sweep]
mode = "around"
[[sweep.axis]]
name = "regime"
values = [
    { label = "weak, 3-4", set = { "base" = "weak" } },
    { label = "strong, 6-8", set = { "base" = "strong", "task" = { word-problems = { steps = [6, 8] } } } },
]
[sweep.axes]
"weighting" = ["uniform"]
[[sweep.list]]
regime = "strong, 6-8"
method = "sft"
[[sweep.seeds]]
where = { method = "sft" }
seeds = [0, 1]
"#;

#[test]
fn every_cell_has_a_value_on_every_axis() {
    let cells = expanded(REGIMES).unwrap();
    let lines: Vec<String> = cells
        .iter()
        .map(|cell| {
            let axes: Vec<_> = cell
                .axes
                .iter()
                .map(|(axis, label)| format!("{axis}: {label}"))
                .collect();
            format!("{} | {}", cell.label, axes.join("; "))
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    baseline seed=0 | regime: weak, 3-4; weighting: exp(0.4); method: rise
    regime=strong, 6-8 seed=0 | regime: strong, 6-8; weighting: exp(0.4); method: rise
    weighting=uniform seed=0 | regime: weak, 3-4; weighting: uniform; method: rise
    regime=strong, 6-8 method=sft seed=0 | regime: strong, 6-8; weighting: exp(0.4); method: sft
    regime=strong, 6-8 method=sft seed=1 | regime: strong, 6-8; weighting: exp(0.4); method: sft
    ");
    let last = &cells.last().unwrap().spec;
    assert_eq!((last.base.to_string().as_str(), last.seed), ("strong", 1));
    assert_eq!(
        serde_json::json!(last.task)["word-problems"]["steps"],
        serde_json::json!([6, 8])
    );
}

#[test]
fn axes_and_cells_may_use_other_names_than_the_baseline() {
    let cells = expanded(
        r#"
[run.train]
batch = 8
[sweep]
mode = "one-at-a-time"
[sweep.axes]
"train.batch_size" = [8, 16]
"method" = ["rise", { grpo = { kl = 0.1 } }]
[[sweep.list]]
"train.batch" = 32
"method.grpo.kl" = 0.2
"#,
    )
    .unwrap();
    let rows: Vec<String> = cells
        .iter()
        .map(|cell| {
            let spec = &cell.spec;
            let values = (spec.method, spec.train.batch_size, spec.grpo.kl);
            format!("{} | {values:?}", cell.label)
        })
        .collect();
    insta::assert_snapshot!(rows.join("\n"), @r"
    baseline seed=0 | (Rise, 8, 0.04)
    train.batch_size=16 seed=0 | (Rise, 16, 0.04)
    method=grpo(kl=0.1) seed=0 | (Grpo, 8, 0.1)
    train.batch_size=32 method.grpo.kl=0.2 seed=0 | (Grpo, 32, 0.2)
    ");
}

#[test]
fn exclusions_remove_cells_even_contradictory_ones() {
    let axes = "\n[sweep.axes]\n\"boost.problems\" = [0, 100]\n\"data.train\" = [50, 500]\n";
    assert!(message(axes).contains("100 is more than"));
    let exclude = "[[sweep.exclude]]\n\"boost.problems\" = 100\n\"data.train\" = 50\n";
    insta::assert_snapshot!(labels(&format!("{axes}{exclude}")), @r"
    boost.problems=0 data.train=50 seed=0
    boost.problems=0 data.train=500 seed=0
    boost.problems=100 data.train=500 seed=0
    ");
}

#[test]
fn wrong_axes_are_told_with_the_nearest_path() {
    insta::assert_snapshot!(message("[sweep.axes]\n\"colect.teacher\" = [\"reference\"]\n"), @r#"
        a.toml:6:1: `colect.teacher`: axis `colect.teacher` names no field of a run
          |
        6 | "colect.teacher" = ["reference"]
          | ^^^^^^^^^^^^^^^^
          = did you mean `collect.teacher`?
          = valid here: `base`, `task`, `data`, `method`, `boost`, `rounds`, `candidates`, `preference`, `verifier`, `glore`, `collect`, `deduplicate`, `only_solved`, `selection`, `weighting`, `train`, `grpo`, `score`, `evaluate`, `analyses`, `grader`, `backend`, `seed`.
          = in cell `colect.teacher=reference`.
    "#);
    insta::assert_snapshot!(message("[sweep.axes]\n\"teacher\" = [\"reference\", \"reference2\"]\n"), @r#"
        a.toml:6:1: `teacher`: axis `teacher` names no field of a run
          |
        6 | "teacher" = ["reference", "reference2"]
          | ^^^^^^^^^
          = did you mean `collect.teacher`?
          = valid here: `base`, `task`, `data`, `method`, `boost`, `rounds`, `candidates`, `preference`, `verifier`, `glore`, `collect`, `deduplicate`, `only_solved`, `selection`, `weighting`, `train`, `grpo`, `score`, `evaluate`, `analyses`, `grader`, `backend`, `seed`.
          = in cell `teacher=reference`.
    "#);
    insta::assert_snapshot!(message("[sweep.axes]\n\"train.learning_rte\" = [1e-3]\n"), @r#"
    a.toml:6:1: `train.learning_rte`: axis `train.learning_rte` names no field of a run
      |
    6 | "train.learning_rte" = [1e-3]
      | ^^^^^^^^^^^^^^^^^^^^
      = did you mean `train.learning_rate`?
      = valid here: `epochs`, `batch`, `learning_rate`, `warmup`, `final_rate`, `weight_decay`, `beta1`, `beta2`, `clip`, `lora`.
      = in cell `train.learning_rte=0.001`.
    "#);
    insta::assert_snapshot!(message("[sweep.axes]\n\"base.size\" = [1]\n"), @r#"
    a.toml:6:1: `base.size`: `base` is `weak` here, so nothing can be set inside it
      |
    6 | "base.size" = [1]
      | ^^^^^^^^^^^
      = set by axis `base.size` to `1`.
      = in cell `base.size=1`.
    "#);
    insta::assert_snapshot!(message("[sweep.axes]\nseed = [1, 2]\n"), @r"
    a.toml:6:1: `seed` is not set here
      |
    6 | seed = [1, 2]
      | ^^^^
      = seeds are listed at the top of the experiment: seeds = [0, 1].
      = in cell `seed=1`.
    ");
}

#[test]
fn wrong_values_are_told_with_their_axis() {
    insta::assert_snapshot!(message("[sweep.axes]\nweighting = [\"uniform\", \"unifrom\", { exp = { temp = 1 } }]\n"), @r#"
    a.toml:6:25: `weighting`: unknown choice `unifrom`
      |
    6 | weighting = ["uniform", "unifrom", { exp = { temp = 1 } }]
      |                         ^^^^^^^^^
      = did you mean `uniform`?
      = valid here: `uniform`, `success-only`, `exp`, `centered`, `centered-exp`, `turn-advantage`.
      = set by axis `weighting` to `unifrom`.
      = in cell `weighting=unifrom`.
    a.toml:6:46: `weighting.exp.temp`: unknown field
      |
    6 | weighting = ["uniform", "unifrom", { exp = { temp = 1 } }]
      |                                              ^^^^
      = did you mean `temperature`?
      = valid here: `temperature`.
      = set by axis `weighting` to `exp(temp=1)`.
      = in cell `weighting=exp(temp=1)`.
    "#);
    insta::assert_snapshot!(message("[sweep.axes]\n\"train.epochs\" = [1, \"two\"]\n\"evaluate.turns\" = [0]\n"), @r#"
    a.toml:7:21: `evaluate.turns`: an evaluation has at least 1 turn
      |
    7 | "evaluate.turns" = [0]
      |                     ^
      = set by axis `evaluate.turns` to `0`.
      = in cell `train.epochs=1 evaluate.turns=0`.
    a.toml:6:22: `train.epochs`: expected a whole number of at least 0, found string "two"
      |
    6 | "train.epochs" = [1, "two"]
      |                      ^^^^^
      = set by axis `train.epochs` to `two`.
      = in cell `train.epochs=two evaluate.turns=0`.
    "#);
    insta::assert_snapshot!(message("[sweep.axes]\n\"collect.teacher\" = [{ self = { best_of = 0 } }]\n"), @r#"
    a.toml:6:22: `collect.teacher.self.best_of`: 0 samples have no best one
      |
    6 | "collect.teacher" = [{ self = { best_of = 0 } }]
      |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^
      = set by axis `collect.teacher` to `self(best_of=0)`.
      = in cell `collect.teacher=self(best_of=0)`.
    "#);
}

#[test]
fn empty_and_repeated_axes_are_refused() {
    insta::assert_snapshot!(message("[sweep.axes]\nweighting = []\n"), @r"
    a.toml:6:1: axis `weighting` has no values
      |
    6 | weighting = []
      | ^^^^^^^^^
      = list values or remove the axis.
    ");
    insta::assert_snapshot!(message("[sweep.axes]\n\"rounds.count\" = [1, 2, 1]\n"), @r#"
    a.toml:6:25: axis `rounds.count` has the value `1` twice
      |
    6 | "rounds.count" = [1, 2, 1]
      |                         ^
    "#);
    insta::assert_snapshot!(message("[sweep.axes]\n\"rounds.count\" = [1]\nrounds.count = [2]\n"), @r"
    a.toml:7:8: axis `rounds.count` is there twice
      |
    7 | rounds.count = [2]
      |        ^^^^^
    ");
}

#[test]
fn repeated_cells_are_refused() {
    insta::assert_snapshot!(message("[sweep.axes]\ntask = [{ word-problems = {} }, { word-problems = { steps = [3, 4] } }]\n"), @r"
    a.toml:5:2: `sweep`: cells `task=word-problems seed=0` and `task=word-problems(steps=[3,4]) seed=0` are the same run
      |
    5 | [sweep.axes]
      |  ^^^^^
      = leave one of them out.
    ");
    insta::assert_snapshot!(message("[[sweep.list]]\nbase = \"weak\"\n"), @r"
    a.toml:5:3: `sweep`: cell `base=weak seed=0` is there twice
      |
    5 | [[sweep.list]]
      |   ^^^^^
      = leave one of them out.
    ");
    insta::assert_snapshot!(message("[sweep.axes]\nbackend = [\"flex\", \"wgpu\"]\n"), @r"
    a.toml:5:2: `sweep`: cells `backend=flex seed=0` and `backend=wgpu seed=0` are the same run
      |
    5 | [sweep.axes]
      |  ^^^^^
      = leave one of them out.
      = the backend is not part of a run's key, so a sweep cannot compare backends.
    ");
}

#[test]
fn modes_need_what_they_combine() {
    insta::assert_snapshot!(message("[sweep]\nmode = \"zip\"\n[sweep.axes]\nbase = [\"weak\"]\n\"rounds.count\" = [1, 2]\n"), @r#"
    a.toml:6:8: `sweep.mode`: `zip` takes one value of each axis at a time, but `base` has 1, `rounds.count` has 2
      |
    6 | mode = "zip"
      |        ^^^^^
      = give every axis as many values.
    "#);
    insta::assert_snapshot!(message("[sweep]\nmode = \"list\"\n"), @r#"
    a.toml:6:8: `sweep.mode`: `list` runs the cells of [[sweep.list]], and there are none
      |
    6 | mode = "list"
      |        ^^^^^^
    "#);
    insta::assert_snapshot!(message("[sweep]\nmode = \"list\"\nlist = [{}]\n[sweep.axes]\nbase = [\"weak\"]\n"), @r#"
    a.toml:9:1: mode `list` makes no cells of axis `base`
      |
    9 | base = ["weak"]
      | ^^^^
      = choose another mode, or write its values into [[sweep.list]].
    "#);
}

#[test]
fn tables_that_fit_no_cell_are_refused() {
    let axes = "[sweep.axes]\n\"rounds.count\" = [1, 2]\n";
    insta::assert_snapshot!(message(&format!("{axes}[[sweep.exclude]]\n\"rounds.count\" = 3\n")), @r"
    a.toml:7:1: this exclusion fits no cell
      |
    7 | [[sweep.exclude]]
      | ^^^^^^^^^^^^^^^^^
    ");
    insta::assert_snapshot!(message(&format!("{axes}[[sweep.exclude]]\n\"round.count\" = 2\n")), @r#"
        a.toml:8:1: `round.count`: this exclusion names no field of a run
          |
        8 | "round.count" = 2
          | ^^^^^^^^^^^^^
          = did you mean `rounds.count`?
          = valid here: `base`, `task`, `data`, `method`, `boost`, `rounds`, `candidates`, `preference`, `verifier`, `glore`, `collect`, `deduplicate`, `only_solved`, `selection`, `weighting`, `train`, `grpo`, `score`, `evaluate`, `analyses`, `grader`, `backend`, `seed`.
    "#);
    insta::assert_snapshot!(message(&format!("{axes}[[sweep.seeds]]\nwhere = {{ base = \"strong\" }}\nseeds = [1]\n")), @r#"
    a.toml:8:9: this rule for seeds fits no cell
      |
    8 | where = { base = "strong" }
      |         ^^^^^^^^^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(message(&format!("{axes}[[sweep.seeds]]\nwhere = {{ base = \"weak\" }}\nseeds = [1, 1]\n")), @r#"
    a.toml:8:9: seed 1 is listed twice
      |
    8 | where = { base = "weak" }
      |         ^^^^^^^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(message(&format!("{axes}[[sweep.exclude]]\nbase = \"weak\"\n")), @r"
    a.toml:5:2: `sweep`: every cell is excluded
      |
    5 | [sweep.axes]
      |  ^^^^^
    ");
    insta::assert_snapshot!(message(&REGIMES.replace("regime = \"strong, 6-8\"", "regime = \"strong, 6-7\"")), @r#"
    a.toml:17:1: axis `regime` has no value `strong, 6-7`
       |
    17 | regime = "strong, 6-7"
       | ^^^^^^
       = did you mean `strong, 6-8`?
       = it has: `weak, 3-4`, `strong, 6-8`.
    "#);
}

#[test]
fn wishes_must_be_about_the_sweep() {
    let axes = "[sweep.axes]\n\"rounds.count\" = [1, 2]\n";
    insta::assert_snapshot!(message(&format!("{axes}[report]\nregimes = [\"base\"]\n")), @r#"
    a.toml:8:11: `report.regimes`: `base` is not an axis of this sweep
      |
    8 | regimes = ["base"]
      |           ^^^^^^^^
      = its axes: `rounds.count`.
    "#);
    insta::assert_snapshot!(message(&format!("{axes}[[report.headline]]\ntitle = \"t\"\nwhere = {{ \"rounds.count\" = 3 }}\n")), @r#"
    a.toml:9:9: `report.headline.0.where`: no cell has these values
      |
    9 | where = { "rounds.count" = 3 }
      |         ^^^^^^^^^^^^^^^^^^^^^^
      = `rounds.count` is one of `1`, `2`.
    "#);
    insta::assert_snapshot!(message(&format!("{axes}[report.baseline]\n\"rounds.cuont\" = 1\n")), @r"
    a.toml:7:1: `report.baseline`: `rounds.cuont` is not an axis of this sweep
      |
    7 | [report.baseline]
      | ^^^^^^^^^^^^^^^^^
      = did you mean `rounds.count`?
    ");
    assert!(
        expanded(&format!(
            "{axes}[[report.headline]]\ntitle = \"t\"\nwhere = {{ \"rounds.count\" = 2 }}\n"
        ))
        .is_ok()
    );
}

/// Axes over whole numbers: a path and how many values it has.
fn axes(sizes: &[usize]) -> String {
    let paths = ["train.epochs", "train.batch", "evaluate.samples"];
    let axis = |(path, &size): (&&str, &usize)| {
        format!("\"{path}\" = {:?}\n", (1..=size).collect::<Vec<_>>())
    };
    paths.iter().zip(sizes).map(axis).collect()
}

fn distinct(cells: &[SweepCell]) -> bool {
    let keys: BTreeSet<_> = cells.iter().map(|cell| cell.spec.key()).collect();
    let labels: BTreeSet<_> = cells.iter().map(|cell| &cell.label).collect();
    keys.len() == cells.len() && labels.len() == cells.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_grid_has_as_many_cells_as_the_product(sizes in prop::collection::vec(1_usize..5, 1..=3)) {
        let cells = expanded(&format!("[sweep.axes]\n{}", axes(&sizes))).unwrap();
        prop_assert_eq!(cells.len(), sizes.iter().product::<usize>());
        prop_assert!(distinct(&cells));
    }

    #[test]
    fn around_has_the_baseline_and_every_other_value(sizes in prop::collection::vec(1_usize..7, 1..=3)) {
        // Defaults: 3 epochs, batches of 32, 10 samples; a value equal to them is the baseline again.
        let same = [3, 32, 10].into_iter().zip(&sizes).filter(|&(default, &size)| default <= size).count();
        let cells = expanded(&format!("[sweep]\nmode = \"around\"\n[sweep.axes]\n{}", axes(&sizes))).unwrap();
        prop_assert_eq!(cells.len(), 1 + sizes.iter().sum::<usize>() - same);
        prop_assert!(distinct(&cells));
    }

    #[test]
    fn an_exclusion_takes_one_slice_of_a_grid(sizes in prop::collection::vec(2_usize..5, 2..=3)) {
        let text = format!("[sweep.axes]\n{}[[sweep.exclude]]\n\"train.epochs\" = 1\n", axes(&sizes));
        let cells = expanded(&text).unwrap();
        prop_assert_eq!(cells.len(), (sizes[0] - 1) * sizes[1..].iter().product::<usize>());
        prop_assert!(cells.iter().all(|cell| cell.spec.train.epochs != 1));
    }
}
