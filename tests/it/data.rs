//! Data of the user's own through the whole program: MATH, JSONL, leaks, and the command that shows them.

use std::fs;

use crate::bad_input::gsm8k;
use crate::support::{Lab, copy, manifest};

/// A base model that has read a little of the run's task, and a run that trains it on that.
const MODEL: &str = "prompt = { repeat_question = false }\nproblems = 4\n\
    [tokenizer]\nvocabulary = 300\n\
    [model]\nwidth = 16\nlayers = 1\nheads = 2\nkv_heads = 1\nhidden = 32\npositions = 1024\n\
    [train]\nslices = 1\ndocuments_per_slice = 4\nbatch = 4\n";
const RUN: &str = "data = { train = 6, validation = 0, test = 4 }\nrounds = { count = 1 }\n\
    collect = { repeat_question = false, sampling = { max_tokens = 24 } }\ntrain = { epochs = 1 }\n\
    evaluate = { turns = 2, samples = 1, sampling = { max_tokens = 24 } }\n";

const MATH: &str = "task = { math = { path = \"MATH\", test = \"all\" } }\n";
const JSONL: &str = "task = { jsonl = { train = \"lamps/train.jsonl\", test = \"lamps/test.jsonl\", name = \"lamps\", \
    question = \"prompt\", answer = \"target\", pattern = '([0-9,]+) lamps', solution = \"meta.rationale\", id = \"uid\" } }\n";

/// A folder with an experiment on this task, and both data sets.
fn lab(task: &str) -> Lab {
    let lab = Lab::new();
    lab.write(
        "own.toml",
        format!("name = \"own\"\nquestion = \"Does it run?\"\n[run]\nbase = \"own\"\n{task}{RUN}"),
    );
    lab.write("models/own.toml", format!("{task}{MODEL}"));
    copy(&manifest("tests/fixtures/math/MATH"), &lab.path("MATH"));
    copy(&manifest("tests/fixtures/jsonl"), &lab.path("lamps"));
    lab
}

#[test]
fn math_runs_and_is_told_to_box_its_answers() {
    let lab = lab(MATH);
    lab.on_store(&["sweep", "own.toml", "--jobs", "2"])
        .expect_exit(0);
    let graders = lab.query("SELECT DISTINCT name FROM graders ORDER BY name");
    assert_eq!(graders, [["boxed-latex"], ["rise-compat"]]);
    // What the run trains on: the question with the form of its answer, and a solution in that form.
    let weighed = lab.query("SELECT key FROM stages WHERE kind = 'weigh'");
    let examples = lab.path(format!("store/stages/{}/examples.jsonl", weighed[0][0]));
    let texts = fs::read_to_string(examples).unwrap();
    assert!(
        texts.contains("Put the final answer into \\\\boxed{}."),
        "{texts}"
    );
    assert!(!texts.contains("####"), "{texts}");
}

#[test]
fn jsonl_runs_under_its_own_name() {
    let lab = lab(JSONL);
    lab.on_store(&["sweep", "own.toml", "--jobs", "2", "--set", "method=sft"])
        .expect_exit(0);
    let problems = lab.query("SELECT DISTINCT name FROM problem_names ORDER BY name");
    assert!(
        problems.iter().all(|row| row[0].starts_with("lamps/p")),
        "{problems:?}"
    );
}

/// What the command says to people, with the fingerprints that it tells machines as `[own]`.
fn shown(lab: &Lab, more: &[&str]) -> String {
    let arguments = [&["data", "own.toml"], more].concat();
    let ran = lab.run(&arguments);
    ran.expect_exit(0);
    let document = lab.json(&arguments);
    let splits = document["tasks"][0]["splits"].as_array().unwrap().iter();
    splits.fold(ran.stdout, |text, split| {
        assert_eq!(
            split["prints"].as_array().unwrap().len() as u64,
            split["problems"].as_u64().unwrap()
        );
        text.replace(split["fingerprint"].as_str().unwrap(), "[own]")
    })
}

#[test]
fn the_data_of_an_experiment_are_shown() {
    insta::assert_snapshot!(shown(&lab(MATH), &[]), @"
    own: 1 task

    task math

    file  SHA-256                                                           official
    ----  ----------------------------------------------------------------  --------
    MATH  f7ebc87408b09eca171856721a6241419d53c3629540d377ae446b0d1b624185  no

    split   problems  longest question  characters, in                               fingerprint
    ------  --------  ----------------  -------------------------------------------  ----------------------------------------------------------------
    corpus         4                71  math/train/geometry/10.json                  [own]
    train          6                70  math/train/counting_and_probability/10.json  [own]
    test           4                71  math/test/geometry/1.json                    [own]

    Notes:
      test/algebra holds 1 problems, the original 1187
      test/counting_and_probability holds 1 problems, the original 474
      test/geometry holds 1 problems, the original 479
      test/intermediate_algebra holds 1 problems, the original 903
      test/number_theory holds 1 problems, the original 540
      test/prealgebra holds 1 problems, the original 871
      test/precalculus holds 1 problems, the original 546
      train/algebra holds 2 problems, the original 1744
      train/counting_and_probability holds 2 problems, the original 771
      train/geometry holds 2 problems, the original 870
      train/intermediate_algebra holds 2 problems, the original 1295
      train/number_theory holds 2 problems, the original 869
      and 2 more; `--format json` lists all

    No training question is also an evaluation question.
    ");
    insta::assert_snapshot!(shown(&lab(JSONL), &["--set", "data.train=8"]), @"
    own: 1 task

    task lamps

    file               SHA-256                                                           official
    -----------------  ----------------------------------------------------------------  --------
    lamps/train.jsonl  0c5ebcdce1f554f6b4a0e9d15b094b48d29f7073c20e94ca7b866b3716a56ad8  unknown
    lamps/test.jsonl   cb6631344ad4264428ebb342e3ba3230b1b2257cfd37a8dcc4f9992739f826ab  unknown

    split   problems  longest question  characters, in  fingerprint
    ------  --------  ----------------  --------------  ----------------------------------------------------------------
    corpus         4                62  lamps/p1000-10  [own]
    train          8                62  lamps/p1000-11  [own]
    test           4                59  lamps/p20-1     [own]

    No training question is also an evaluation question.
    ");
    let document = lab(JSONL).json(&["data", "own.toml"]);
    assert_eq!(document["tasks"][0]["splits"][1]["split"], "train");
    assert_eq!(document["leaks"], serde_json::json!([]));
}

/// The GSM8K experiment, evaluated on a file that asks one of its training questions again.
fn leaking() -> (Lab, [&'static str; 2]) {
    let lab = Lab::new();
    gsm8k(&lab);
    let train = fs::read_to_string(lab.path("data/train.jsonl")).unwrap();
    let rows: Vec<serde_json::Value> = train
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let again: Vec<String> = rows
        .iter()
        .map(|row| {
            serde_json::json!({ "q": row["question"].as_str().unwrap().to_uppercase(), "a": 1 })
                .to_string()
        })
        .collect();
    lab.write("again.jsonl", again.join("\n"));
    (
        lab,
        [
            "--set",
            "evaluate.task={ jsonl = { test = \"again.jsonl\", question = \"q\", answer = \"a\", name = \"again\" } }",
        ],
    )
}

#[test]
fn a_question_that_is_trained_on_is_not_evaluated_on_unless_that_is_wanted() {
    let (lab, set) = leaking();
    let plan = |more: &[&str]| lab.run(&[&["plan", "gsm8k.toml"], &set[..], more].concat());
    let refused = plan(&[]);
    refused.expect_exit(2);
    for part in [
        " split of gsm8k and again/test/",
        " in the test split of again ask the same question, ",
        "data.allow_leaks = true",
    ] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    plan(&["--set", "data.allow_leaks=true"]).expect_exit(0);

    let shown = lab.run(&[&["data", "gsm8k.toml"], &set[..]].concat());
    shown.expect_exit(2);
    assert!(
        shown.stdout.contains("leaks from training into evaluation"),
        "{}",
        shown.stdout
    );
    assert!(
        shown
            .stdout
            .contains("error: a sweep refuses this: gsm8k/train.jsonl/"),
        "{}",
        shown.stdout
    );
    let allowed = lab.run(
        &[
            &["data", "gsm8k.toml", "--set", "data.allow_leaks=true"],
            &set[..],
        ]
        .concat(),
    );
    allowed.expect_exit(0);
    assert!(
        allowed
            .stdout
            .contains("leaks from training into evaluation"),
        "{}",
        allowed.stdout
    );
}

#[test]
fn a_pattern_that_makes_no_sense_is_shown_where_it_is_written() {
    let lab = lab(&JSONL.replace("([0-9,]+) lamps", "[0-9,]+ lamps"));
    let ran = lab.run(&["data", "own.toml"]);
    ran.expect_exit(2);
    assert!(
        ran.stderr.contains("`run.task.jsonl.pattern`") && ran.stderr.contains("has no group"),
        "{}",
        ran.stderr
    );
    let lab = lab_without_path();
    let complaint = lab.run(&["plan", "own.toml"]).stderr;
    assert!(complaint.contains("did you mean ./MATH?"), "{complaint}");
}

/// An experiment on a folder one level above MATH.
fn lab_without_path() -> Lab {
    lab(&MATH.replace("\"MATH\"", "\".\""))
}
