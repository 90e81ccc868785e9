//! The messages that a person sees after a mistake in an experiment file.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{ExperimentSpec, Method, RunSpec, canonical_json, read_experiment, required_models};

const PLAIN: &str = r#"name = "plain"
question = "Does it read?"
seeds = [0, 1]

[run]
base = "weak"
task = { word-problems = { steps = [3, 4] } }

[run.collect.sampling]
temperature = 0.7
"#;

fn read_in(files: &[(&str, &str)], overrides: &[(&str, &str)]) -> Result<ExperimentSpec, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let overrides: Vec<_> = overrides
        .iter()
        .map(|&(path, value)| (path.to_owned(), value.to_owned()))
        .collect();
    let prefix = format!("{}/", folder.path().display());
    read_experiment(&folder.path().join("a.toml"), &overrides)
        .map_err(|error| error.to_string().replace(&prefix, ""))
}

fn good(text: &str) -> ExperimentSpec {
    read_in(&[("a.toml", text)], &[]).unwrap()
}

fn message(text: &str) -> String {
    read_in(&[("a.toml", text)], &[]).unwrap_err()
}

fn run(extra: &str) -> RunSpec {
    good(&format!("{PLAIN}{extra}")).baseline.run_spec().clone()
}

/// The message about a plain file with more lines at its end.
fn with(extra: &str) -> String {
    message(&format!("{PLAIN}{extra}"))
}

#[test]
fn a_plain_file_reads() {
    let experiment = good(PLAIN);
    assert_eq!(
        (experiment.name.as_str(), experiment.seeds.as_slice()),
        ("plain", [0, 1].as_slice())
    );
    assert_eq!(experiment.text, PLAIN);
    assert!(experiment.models_folder().ends_with("models"));
    let run = experiment.baseline.run_spec();
    assert_eq!(
        (
            run.base.to_string().as_str(),
            run.collect.sampling.temperature,
            run.train.epochs
        ),
        ("weak", 0.7, 3)
    );
}

#[test]
fn seeds_are_one_zero_by_default() {
    assert_eq!(good(&PLAIN.replace("seeds = [0, 1]\n", "")).seeds, [0]);
}

#[test]
fn misspelt_fields_are_shown_with_the_nearest_one() {
    insta::assert_snapshot!(message(&PLAIN.replace("question", "qestion")), @r#"
    a.toml:2:1: `qestion`: unknown field
      |
    2 | qestion = "Does it read?"
      | ^^^^^^^
      = did you mean `question`?
      = valid here: `name`, `question`, `extends`, `seeds`, `run`, `sweep`, `report`.
    "#);
    insta::assert_snapshot!(message(&PLAIN.replace("run.collect", "run.colect")), @"
        a.toml:9:6: `run.colect`: unknown field
          |
        9 | [run.colect.sampling]
          |      ^^^^^^
          = did you mean `collect`?
          = valid here: `base`, `task`, `data`, `method`, `boost`, `rounds`, `candidates`, `preference`, `verifier`, `glore`, `collect`, `deduplicate`, `only_solved`, `selection`, `weighting`, `train`, `grpo`, `score`, `evaluate`, `analyses`, `grader`, `backend`, `seed`.
    ");
    insta::assert_snapshot!(message(&PLAIN.replace("temperature", "temprature")), @r"
    a.toml:10:1: `run.collect.sampling.temprature`: unknown field
       |
    10 | temprature = 0.7
       | ^^^^^^^^^^
       = did you mean `temperature`?
       = valid here: `temperature`, `top_k`, `top_p`, `max_tokens`.
    ");
    insta::assert_snapshot!(with("[sweeps]\n"), @r"
    a.toml:11:2: `sweeps`: unknown field
       |
    11 | [sweeps]
       |  ^^^^^^
       = did you mean `sweep`?
       = valid here: `name`, `question`, `extends`, `seeds`, `run`, `sweep`, `report`.
    ");
}

#[test]
fn misspelt_options_of_the_report_are_shown_with_the_nearest_one() {
    insta::assert_snapshot!(with("[report]\nheadlines = []\n"), @r"
    a.toml:12:1: `report.headlines`: unknown field
       |
    12 | headlines = []
       | ^^^^^^^^^
       = did you mean `headline`?
       = valid here: `headline`, `baseline`, `regimes`.
    ");
}

#[test]
fn misspelt_choices_are_shown_with_the_nearest_one() {
    insta::assert_snapshot!(message(&PLAIN.replace("word-problems", "word_problem")), @r"
    a.toml:7:10: `run.task`: unknown choice `word_problem`
      |
    7 | task = { word_problem = { steps = [3, 4] } }
      |          ^^^^^^^^^^^^
      = did you mean `word-problems`?
      = valid here: `word-problems`, `word-problems-larger`, `word-problems-longer`, `word-problems-reworded`, `gsm8k`, `svamp`, `math`, `jsonl`.
    ");
    insta::assert_snapshot!(with("[run.rounds]\nstart = \"bsae\"\n"), @r#"
    a.toml:12:9: `run.rounds.start`: unknown choice `bsae`
       |
    12 | start = "bsae"
       |         ^^^^^^
       = did you mean `base`?
       = valid here: `base`, `previous`.
    "#);
    insta::assert_snapshot!(with("[sweep]\nmode = \"arround\"\n"), @r#"
    a.toml:12:8: `sweep.mode`: unknown choice `arround`
       |
    12 | mode = "arround"
       |        ^^^^^^^^^
       = did you mean `around`?
       = valid here: `grid`, `list`, `zip`, `around`.
    "#);
}

#[test]
fn wrong_types_say_what_is_expected() {
    insta::assert_snapshot!(with("[run.train]\nepochs = \"three\"\nbatch = -1\nclip = true\n"), @r#"
    a.toml:12:10: `run.train.epochs`: expected a whole number of at least 0, found string "three"
       |
    12 | epochs = "three"
       |          ^^^^^^^
    a.toml:13:9: `run.train.batch`: expected a whole number of at least 0, found integer `-1`
       |
    13 | batch = -1
       |         ^^
    a.toml:14:8: `run.train.clip`: expected a number, found boolean `true`
       |
    14 | clip = true
       |        ^^^^
    "#);
    insta::assert_snapshot!(with("[run.data]\ntrain = 1.5\n"), @r"
    a.toml:12:9: `run.data.train`: expected a whole number of at least 0, found floating point `1.5`
       |
    12 | train = 1.5
       |         ^^^
    ");
}

#[test]
fn wrong_lengths_say_how_many_are_expected() {
    insta::assert_snapshot!(message(&PLAIN.replace("[3, 4]", "3")), @r"
    a.toml:7:36: `run.task.word-problems.steps`: expected an array of length 2, found integer `3`
      |
    7 | task = { word-problems = { steps = 3 } }
      |                                    ^
    ");
    insta::assert_snapshot!(message(&PLAIN.replace("[3, 4]", "[3]")), @r"
    a.toml:7:36: `run.task.word-problems.steps`: invalid length 1, expected an array of length 2
      |
    7 | task = { word-problems = { steps = [3] } }
      |                                    ^^^
    ");
}

#[test]
fn a_choice_without_its_setting_shows_how_to_write_it() {
    insta::assert_snapshot!(message(&PLAIN.replace("[run.collect.sampling]\ntemperature = 0.7", "[run.collect]\nteacher = \"self\"")), @r#"
    a.toml:10:11: `run.collect.teacher`: `self` needs a setting
       |
    10 | teacher = "self"
       |           ^^^^^^
       = write { self = { best_of = ... } }.
    "#);
}

#[test]
fn what_is_missing_is_shown() {
    insta::assert_snapshot!(message(&PLAIN.replace("base = \"weak\"\n", "")), @r"
    a.toml:5:1: `run.base`: this field is required
      |
    5 | [run]
      | ^^^^^
    ");
    insta::assert_snapshot!(message("name = \"a\"\n"), @r#"
    a.toml:1:1: `run`: this table is required: it holds the baseline run
      |
    1 | name = "a"
      | ^
      = write [run] with at least `base` and `task`.
    "#);
    insta::assert_snapshot!(message(&PLAIN.replace("name = \"plain\"\n", "")), @r#"
    a.toml:1:1: `name`: this field is required
      |
    1 | question = "Does it read?"
      | ^
      = write name = "..." in the first line.
    "#);
    insta::assert_snapshot!(message(&PLAIN.replace("name = \"plain\"", "name = \"../a b\"")), @r#"
    a.toml:1:8: `name`: "../a b" cannot be the name of a folder
      |
    1 | name = "../a b"
      |        ^^^^^^^^
      = use letters, digits, - and _ only.
    "#);
}

#[test]
fn seeds_must_be_a_set() {
    insta::assert_snapshot!(message(&PLAIN.replace("[0, 1]", "[]")), @r"
    a.toml:3:9: `seeds`: an empty list of seeds leaves no run; leave it out for seeds = [0]
      |
    3 | seeds = []
      |         ^^
    ");
    insta::assert_snapshot!(message(&PLAIN.replace("[0, 1]", "[0, 1, 0]")), @r"
    a.toml:3:9: `seeds`: seed 0 is listed twice
      |
    3 | seeds = [0, 1, 0]
      |         ^^^^^^^^^
    ");
    insta::assert_snapshot!(message(&PLAIN.replace("base =", "seed = 3\nbase =")), @r"
    a.toml:6:1: `run.seed`: not set here
      |
    6 | seed = 3
      | ^^^^
      = seeds are listed at the top of the experiment: seeds = [0, 1].
    ");
}

#[test]
fn all_contradictions_are_shown() {
    insta::assert_snapshot!(with(&[
        "\n[run.evaluate]\nturns = 0\nsamples = 0\nwindow = { last = 0 }\n",
        "[run.rounds]\ncount = 0\n[run.boost]\nproblems = 4000\n",
        "[run.train]\nepochs = 0\nbatch = 0\nlearning_rate = -1e-3\n",
    ].concat()), @r"
    a.toml:19:12: `run.boost.problems`: 4000 is more than `data.train`, 3000
       |
    19 | problems = 4000
       |            ^^^^
    a.toml:21:10: `run.train.epochs`: 0 epochs train nothing
       |
    21 | epochs = 0
       |          ^
    a.toml:22:9: `run.train.batch`: a batch has at least 1 target
       |
    22 | batch = 0
       |         ^
    a.toml:23:17: `run.train.learning_rate`: -0.001 is not above 0
       |
    23 | learning_rate = -1e-3
       |                 ^^^^^
    a.toml:13:9: `run.evaluate.turns`: an evaluation has at least 1 turn
       |
    13 | turns = 0
       |         ^
    a.toml:14:11: `run.evaluate.samples`: an evaluation has at least 1 sample
       |
    14 | samples = 0
       |           ^
    a.toml:15:10: `run.evaluate.window`: a window of 0 shows the model no attempt to improve on
       |
    15 | window = { last = 0 }
       |          ^^^^^^^^^^^^
    ");
}

#[test]
fn nothing_to_train_on_is_refused() {
    insta::assert_snapshot!(with("[run.data]\ntest = 0\ntrain = 0\n"), @r"
    a.toml:13:9: `run.data.train`: 0 leaves nothing to train on
       |
    13 | train = 0
       |         ^
    a.toml:12:8: `run.data.test`: 0 leaves nothing to evaluate on
       |
    12 | test = 0
       |        ^
    ");
    insta::assert_snapshot!(with("[run.rounds]\ncount = 0\n"), @r"
    a.toml:12:9: `run.rounds.count`: 0 rounds leave the method `rise` nothing to do
       |
    12 | count = 0
       |         ^
    ");
}

#[test]
fn values_out_of_range_are_refused() {
    insta::assert_snapshot!(message(&PLAIN.replace("base =", "weighting = { centered = { temperature = 0 } }\nbase =")), @r"
    a.toml:6:42: `run.weighting.centered.temperature`: 0 is not a number above 0
      |
    6 | weighting = { centered = { temperature = 0 } }
      |                                          ^
    ");
    insta::assert_snapshot!(message(&PLAIN.replace(".sampling]\ntemperature = 0.7", "]\nteacher = { self = { best_of = 0 } }\nown_turns = { fixed = 0 }")), @r"
    a.toml:11:13: `run.collect.own_turns`: 0 own turns leave nothing to improve
       |
    11 | own_turns = { fixed = 0 }
       |             ^^^^^^^^^^^^^
    a.toml:10:32: `run.collect.teacher.self.best_of`: 0 samples have no best one
       |
    10 | teacher = { self = { best_of = 0 } }
       |                                ^
    ");
    insta::assert_snapshot!(message(&PLAIN.replace("temperature = 0.7", "temperature = -0.7\n[run.evaluate]\nturns = 21")), @r"
    a.toml:10:15: `run.collect.sampling.temperature`: -0.7 is not a number of at least 0
       |
    10 | temperature = -0.7
       |               ^^^^
    a.toml:12:9: `run.evaluate.turns`: 21 turns are more than 20, the most that are possible
       |
    12 | turns = 21
       |         ^^
    ");
    insta::assert_snapshot!(message(&PLAIN.replace("[3, 4]", "[4, 3]")), @r"
    a.toml:7:36: `run.task.word-problems.steps`: [4, 3]: write the smaller number first
      |
    7 | task = { word-problems = { steps = [4, 3] } }
      |                                    ^^^^^^
    ");
}

#[test]
fn problems_from_files_have_no_seed() {
    let files = PLAIN.replace(
        "word-problems = { steps = [3, 4] }",
        "gsm8k = { path = \"data\" }",
    );
    insta::assert_snapshot!(message(&format!("{files}\n[run.evaluate]\ndata_seed = 3\n")), @r"
    a.toml:13:13: `run.evaluate.data_seed`: the problems of `gsm8k` are read from files and are the same for every seed; leave it out
       |
    13 | data_seed = 3
       |             ^
    ");
    insta::assert_snapshot!(message(&format!("{files}\n[run.data]\ntrain_draw = \"per-seed\"\n")), @r#"
    a.toml:13:14: `run.data.train_draw`: the problems of `gsm8k` are read from files and are the same for every seed; leave it out
       |
    13 | train_draw = "per-seed"
       |              ^^^^^^^^^^
    "#);
}

#[test]
fn a_methods_value_holds_the_settings_that_it_reads() {
    let in_value = run_with_method("method = { grpo = { kl = 0.1, samples = 4 } }\n");
    let beside = run("[run.grpo]\nkl = 0.1\nsamples = 4\n");
    assert_eq!(
        (in_value.method, &in_value.grpo),
        (Method::Grpo, &beside.grpo)
    );
    let v_star =
        run_with_method("method.v-star = { candidates = 3, verifier = { samples = 2 } }\n");
    assert_eq!(
        (v_star.samples_per_problem, v_star.verifier.samples),
        (3, 2)
    );
    insta::assert_snapshot!(message(&with_method("method = { grpo = { kl = -0.1 } }\n")), @r"
    a.toml:6:26: `run.grpo.kl`: -0.1 is not a number of at least 0
      |
    6 | method = { grpo = { kl = -0.1 } }
      |                          ^^^^
    ");
    insta::assert_snapshot!(message(&with_method("method = { score = { clip = 1 } }\n")), @r"
    a.toml:6:22: `run.score.clip`: unknown field
      |
    6 | method = { score = { clip = 1 } }
      |                      ^^^^
      = valid here: `stage_one`, `stage_two`, `problems`, `samples`, `learning_rate`, `kl`, `kl_first`, `shaping`, `discount`, `unreadable`.
    ");
}

#[test]
fn a_setting_that_the_method_does_not_read_is_refused_in_its_value() {
    insta::assert_snapshot!(message(&with_method("method = { rise = { kl = 1 } }\n")), @r"
    a.toml:6:21: `run.method.rise.kl`: unknown field
      |
    6 | method = { rise = { kl = 1 } }
      |                     ^^
    ");
    insta::assert_snapshot!(message(&with_method("method = { gropo = { kl = 1 } }\n")), @r"
    a.toml:6:12: `run.method`: unknown choice `gropo`
      |
    6 | method = { gropo = { kl = 1 } }
      |            ^^^^^
      = did you mean `grpo`?
      = valid here: `rise`, `sft`, `sft-right`, `sft-right-and-wrong`, `rft`, `star`, `pair-sft`, `self-refine`, `self-rewarding`, `v-star`, `glore`, `grpo`, `score`.
    ");
}

#[test]
fn the_command_line_and_a_file_may_use_different_names() {
    let text =
        with_method("samples_per_problem = 3\ntrain = { batch_size = 5, max_grad_norm = 2 }\n");
    let files = [("a.toml", text.as_str())];
    let over = [
        ("candidates", "4"),
        ("train.batch", "6"),
        ("method.grpo.updates_per_batch", "7"),
        ("method", "{ grpo = { kl = 0.5 } }"),
    ];
    let run = read_in(&files, &over).unwrap().baseline.run_spec().clone();
    assert_eq!(
        (
            run.samples_per_problem,
            run.train.batch_size,
            run.train.max_grad_norm
        ),
        (4, 6, 2.0)
    );
    assert_eq!(
        (run.method, run.grpo.updates_per_batch, run.grpo.kl),
        (Method::Grpo, 7, 0.5)
    );
}

fn with_method(lines: &str) -> String {
    PLAIN.replace("base =", &format!("{lines}base ="))
}

fn run_with_method(lines: &str) -> RunSpec {
    good(&with_method(lines)).baseline.run_spec().clone()
}

#[test]
fn online_settings_are_checked() {
    insta::assert_snapshot!(with("[run.grpo]\nsamples = 1\nkl = -0.1\npasses = 0\n[run.score]\nstage_one = 0\nstage_two = 0\n"), @r"
    a.toml:12:11: `run.grpo.samples`: an advantage needs at least 2 episodes to compare
       |
    12 | samples = 1
       |           ^
    a.toml:14:10: `run.grpo.passes`: 0 passes train nothing
       |
    14 | passes = 0
       |          ^
    a.toml:13:6: `run.grpo.kl`: -0.1 is not a number of at least 0
       |
    13 | kl = -0.1
       |      ^^^^
    a.toml:16:13: `run.score.stage_one`: 0 iterations in both stages train nothing
       |
    16 | stage_one = 0
       |             ^
    ");
}

#[test]
fn sweeps_have_a_form() {
    insta::assert_snapshot!(with("[sweep.axes]\n\"weighting\" = \"uniform\"\n"), @r#"
    a.toml:12:15: `sweep.axes.weighting`: axis `weighting` has one value where a list of values is expected
       |
    12 | "weighting" = "uniform"
       |               ^^^^^^^^^
       = put brackets around it: [...].
    "#);
    insta::assert_snapshot!(with("[[sweep.axis]]\nname = \"regime\"\nvalues = [{ lable = \"weak\", set = {} }]\n"), @r#"
    a.toml:13:13: `sweep.axis[0].values[0].lable`: unknown field
       |
    13 | values = [{ lable = "weak", set = {} }]
       |             ^^^^^
       = did you mean `label`?
       = valid here: `label`, `set`.
    "#);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let missing = read_experiment(Path::new("nowhere/a.toml"), &[]).unwrap_err();
    insta::assert_snapshot!(missing, @"nowhere/a.toml: No such file or directory (os error 2); is this the right path?");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    fs::write(&path, b"name = \"\xff\"").unwrap();
    let cut = read_experiment(&path, &[]).unwrap_err().to_string();
    assert!(
        cut.ends_with("a.toml: byte 8 is not UTF-8; save the file as UTF-8 text"),
        "{cut}"
    );
}

#[test]
fn a_file_is_laid_over_the_one_it_extends() {
    let child = "extends = \"b.toml\"\nname = \"child\"\n[run]\nbase = \"strong\"\n[run.collect]\nteacher = { self = { best_of = 8 } }\n";
    let parent = PLAIN.replace(
        "[run.collect.sampling]",
        "[run.collect]\nteacher = { model = \"strong\" }\n[run.collect.sampling]",
    );
    let experiment = read_in(&[("a.toml", child), ("b.toml", &parent)], &[]).unwrap();
    let run = experiment.baseline.run_spec();
    assert_eq!(
        (
            experiment.name.as_str(),
            experiment.question.as_str(),
            experiment.seeds.len()
        ),
        ("child", "", 2)
    );
    assert_eq!(
        (
            run.base.to_string().as_str(),
            run.collect.sampling.temperature
        ),
        ("strong", 0.7)
    );
    assert_eq!(
        json!(run.collect.teacher),
        json!({ "self": { "best_of": 8 } })
    );
}

#[test]
fn faults_in_the_extended_file_point_there() {
    let child = "extends = \"b.toml\"\nname = \"child\"\n[run]\nbase = \"strong\"\n";
    let files = [
        ("a.toml", child),
        ("b.toml", &PLAIN.replace("temperature", "heat")),
    ];
    insta::assert_snapshot!(read_in(&files, &[]).unwrap_err(), @r"
    b.toml:10:1: `run.collect.sampling.heat`: unknown field
       |
    10 | heat = 0.7
       | ^^^^
       = valid here: `temperature`, `top_k`, `top_p`, `max_tokens`.
    ");
    let files = [
        ("a.toml", child),
        (
            "b.toml",
            &PLAIN.replace("name = \"plain\"", "extends = \"c.toml\""),
        ),
    ];
    insta::assert_snapshot!(read_in(&files, &[]).unwrap_err(), @r#"
    a.toml:1:11: `extends`: b.toml extends another file itself
      |
    1 | extends = "b.toml"
      |           ^^^^^^^^
      = only one level is possible; write the settings out.
    "#);
    insta::assert_snapshot!(read_in(&files[..1], &[]).unwrap_err(), @"b.toml: No such file or directory (os error 2); `extends` is a path relative to the file that says it");
}

#[test]
fn overrides_reach_any_field_of_the_run() {
    let overrides = [
        ("base", "strong"),
        ("collect.teacher", "{ model = \"strong\" }"),
        ("data.train", "50"),
        ("collect.sampling.top_k", "5"),
    ];
    let run = read_in(&[("a.toml", PLAIN)], &overrides)
        .unwrap()
        .baseline
        .run_spec()
        .clone();
    assert_eq!(
        (run.base.to_string().as_str(), run.data.train),
        ("strong", 50)
    );
    assert_eq!(
        (run.collect.sampling.top_k, run.collect.sampling.temperature),
        (5, 0.7)
    );
    insta::assert_snapshot!(read_in(&[("a.toml", PLAIN)], &[("data.trian", "50")]).unwrap_err(), @r"
    --set:1:6: `run.data.trian`: unknown field
      |
    1 | data.trian = 50
      |      ^^^^^
      = did you mean `train`?
      = valid here: `corpus`, `train`, `validation`, `test`, `seed`, `train_draw`, `allow_leaks`.
    ");
    insta::assert_snapshot!(read_in(&[("a.toml", PLAIN)], &[("data.train", "many")]).unwrap_err(), @r#"
    --set:1:14: `run.data.train`: expected a whole number of at least 0, found string "many"
      |
    1 | data.train = "many"
      |              ^^^^^^
    "#);
}

#[test]
fn only_what_changes_numbers_changes_the_key() {
    let plain = run("");
    let mut elsewhere = plain.clone();
    elsewhere.backend = "wgpu".to_owned();
    assert_eq!(plain.key(), elsewhere.key());
    assert_eq!(plain.key(), run("[run.train]\nepochs = 3\n").key());
    assert_ne!(plain.key(), run("[run.train]\nepochs = 4\n").key());
    let (mut seeded, mut tuned) = (plain.clone(), plain.clone());
    (seeded.seed, tuned.method) = (1, Method::Sft);
    assert_ne!(plain.key(), seeded.key());
    assert_ne!(plain.key(), tuned.key());
    let read_from = |path: &str| {
        let task =
            serde_json::from_value(serde_json::json!({ "gsm8k": { "path": path } })).unwrap();
        RunSpec {
            task,
            ..plain.clone()
        }
        .key()
    };
    assert_eq!(
        read_from("here"),
        read_from("there"),
        "the place of a file is not what is in it"
    );
}

/// A key that moves here makes every stored run a stranger: raise a version instead, or accept
/// that all runs are made again.
#[test]
fn keys_do_not_move_by_accident() {
    let defaults = good("name = \"a\"\n[run]\nbase = \"weak\"\ntask = { word-problems = {} }\n");
    insta::assert_snapshot!(canonical_json(defaults.baseline.run_spec()), @r#"{"base":"weak","task":{"word-problems":{}}}"#);
    insta::assert_snapshot!(defaults.baseline.run_spec().key(), @"55fa7ef1e027b77c14ea9eca9d3a23433faa6d008c6f29a0f395a0bf9ef9adde");
    let full = good(
        r#"name = "a"
[run]
base = "weak"
task = { gsm8k = { path = "data/gsm8k" } }
method = "sft"
selection = "better"
weighting = { exp = { temperature = 1.0 } }
[run.boost]
problems = 100
[run.rounds]
count = 3
start = "previous"
data = "latest"
[run.collect]
own_turns = { fixed = 2 }
stop_on_success = false
retry = "neutral"
rollouts = { model = "strong" }
teacher = { self = { best_of = 8 } }
[run.evaluate]
window = { last = 2 }
[run.evaluate.sampling]
temperature = 0
"#,
    );
    insta::assert_snapshot!(canonical_json(full.baseline.run_spec()), @r#"{"base":"weak","task":{"gsm8k":{"path":"data/gsm8k"}},"method":"sft","boost":{"problems":100},"rounds":{"count":3,"start":"previous","data":"latest"},"collect":{"own_turns":{"fixed":2},"stop_on_success":false,"retry":"neutral","rollouts":{"model":"strong"},"teacher":{"self":{"best_of":8}}},"selection":"better","weighting":{"exp":{"temperature":1.0}},"evaluate":{"window":{"last":2},"sampling":{"temperature":0.0}}}"#);
    insta::assert_snapshot!(full.baseline.run_spec().key(), @"03c2073b4d9004070e1af03455bafb4b0def7ed7bba0f267a7b26c79dabf67f6");
}

#[test]
fn every_model_that_a_run_needs_is_named() {
    let extra =
        "[run.collect]\nteacher = { model = \"strong\" }\nrollouts = { model = \"other\" }\n";
    let run = good(&PLAIN.replace("[run.collect.sampling]\ntemperature = 0.7\n", extra))
        .baseline
        .run_spec()
        .clone();
    assert_eq!(
        required_models(&run).into_iter().collect::<Vec<_>>(),
        ["other", "strong", "weak"]
    );
    let sft = RunSpec {
        method: Method::Sft,
        ..run
    };
    assert_eq!(
        required_models(&sft).into_iter().collect::<Vec<_>>(),
        ["weak"]
    );
}
