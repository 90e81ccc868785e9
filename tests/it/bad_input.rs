//! Bad input gets one message that says what to do and a documented exit code, and loses nothing.

use std::fs;
use std::path::Path;

use crate::support::{FILE, Lab, MODEL, STAGES, manifest};

/// Puts the sample of GSM8K beside the experiment that reads it.
pub fn gsm8k(lab: &Lab) {
    crate::support::copy(&manifest("tests/fixtures/gsm8k"), &lab.path("data"));
}

/// What a command complains about, after making sure that it ends with `exit` and changes nothing.
#[track_caller]
fn refused(lab: &Lab, exit: i32, arguments: &[&str]) -> String {
    let before = lab.files(".");
    let ran = lab.run(arguments);
    ran.expect_exit(exit);
    assert_eq!(ran.stdout, "");
    assert!(lab.files(".") == before, "the refused command changed something");
    ran.stderr
}

/// As [`refused`], for a sweep of the small experiment beside a finished store.
#[track_caller]
fn refused_sweep(lab: &Lab, more: &[&str]) -> String {
    let complaint = refused(lab, 2, &[&["sweep", FILE, "--store", "store"], more].concat());
    assert_eq!(lab.done().len() as u64, STAGES);
    complaint
}

#[track_caller]
fn refused_edit(from: &str, to: &str) -> String {
    let lab = Lab::finished();
    lab.edit(FILE, from, to);
    refused_sweep(&lab, &[])
}

#[test]
fn a_misspelt_key_is_shown_with_the_nearest_name() {
    insta::assert_snapshot!(refused_edit("{ epochs", "{ epoch"), @"");
    insta::assert_snapshot!(refused_edit("collect =", "colect ="), @"");
    let lab = Lab::finished();
    lab.edit(MODEL, "kv_heads", "kvheads");
    insta::assert_snapshot!(refused_sweep(&lab, &[]), @"");
    insta::assert_snapshot!(refused_sweep(&Lab::finished(), &["--set", "train.epoch=3"]), @"");
}

#[test]
fn a_wrong_axis_path_is_shown_with_the_nearest_name() {
    insta::assert_snapshot!(refused_edit("weighting = [", "\"train.weighting\" = ["), @"");
}

#[test]
fn an_empty_axis_is_refused() {
    insta::assert_snapshot!(refused_edit(r#"["rise", "sft"]"#, "[]"), @"");
}

#[test]
fn duplicate_cells_are_refused() {
    insta::assert_snapshot!(refused_edit(r#""sft"]"#, "\"sft\"]\n\n[[sweep.list]]\nmethod = \"sft\""), @"");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let refused = |setting: &str| refused_sweep(&Lab::finished(), &["--set", setting]);
    insta::assert_snapshot!(refused(r#"collect.teacher={ model = "mnii" }"#), @"");
    insta::assert_snapshot!(refused("evaluate.window={ last = 0 }"), @"");
    insta::assert_snapshot!(refused("collect.teacher={ self = { best_of = 0 } }"), @"");
    insta::assert_snapshot!(refused("boost.problems=31"), @"");
    insta::assert_snapshot!(refused("backend=cuda"), @"");
}

#[test]
fn a_checkpoint_of_another_recipe_is_refused() {
    let lab = Lab::finished();
    let shipped = "[checkpoint]\nfile = \"mini.safetensors\"\ntokenizer = \"mini.json\"\nsha256 = \"00\"\n\
                   instruction_set = \"\"\nrecipe = \"11\"\n\n[train]";
    lab.edit(MODEL, "[train]", shipped);
    let complaint = refused_sweep(&lab, &[]);
    let hidden: String = complaint.split_inclusive(['(', ')', ' ']).map(without_keys).collect();
    insta::assert_snapshot!(hidden, @"");
}

fn without_keys(word: &str) -> String {
    let key = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let core = word.trim_end_matches(['(', ')', ' ']);
    if key(core) { word.replace(core, "[key]") } else { word.to_owned() }
}

/// What the sweep of the GSM8K experiment complains about after its data were damaged.
#[track_caller]
fn damaged(damage: impl FnOnce(&Path)) -> String {
    let lab = Lab::finished();
    gsm8k(&lab);
    damage(&lab.path("data"));
    refused(&lab, 2, &["sweep", "gsm8k.toml", "--store", "store"])
}

/// Changes the lines of a data file.
fn change(file: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let text = fs::read_to_string(file).expect("the sample is there");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    fs::write(file, lines.join("\n")).expect("a file can be written");
}

#[test]
fn a_missing_data_file_is_named() {
    let complaint = damaged(|data| fs::remove_file(data.join("test.jsonl")).expect("the sample is there"));
    insta::assert_snapshot!(complaint, @"");
}

#[test]
fn a_cut_data_file_is_noticed() {
    let complaint = damaged(|data| {
        change(&data.join("train.jsonl"), |lines| {
            lines.truncate(12);
            lines[11].truncate(40);
        });
    });
    insta::assert_snapshot!(complaint, @"");
    insta::assert_snapshot!(damaged(|data| fs::write(data.join("test.jsonl"), "").unwrap()), @"");
}

#[test]
fn a_data_file_in_another_encoding_is_refused() {
    let complaint = damaged(|data| {
        let file = data.join("test.jsonl");
        let mut bytes = fs::read(&file).unwrap();
        bytes[20] = 0xe9;
        fs::write(file, bytes).unwrap();
    });
    insta::assert_snapshot!(complaint, @"");
}

#[test]
fn a_row_without_an_answer_is_named() {
    let complaint = damaged(|data| {
        change(&data.join("train.jsonl"), |lines| lines[2] = r#"{"question": "How many?"}"#.to_owned());
    });
    insta::assert_snapshot!(complaint, @"");
    let complaint = damaged(|data| {
        change(&data.join("train.jsonl"), |lines| lines[6] = lines[6].replace("####", "answer:"));
    });
    insta::assert_snapshot!(complaint, @"");
}

#[test]
fn a_question_in_train_and_test_is_refused() {
    let complaint = damaged(|data| {
        let train = fs::read_to_string(data.join("train.jsonl")).unwrap();
        let mut row: serde_json::Value = serde_json::from_str(train.lines().next().unwrap()).unwrap();
        row["question"] = format!("  {}", row["question"].as_str().unwrap().to_uppercase()).into();
        change(&data.join("test.jsonl"), |lines| lines.insert(4, row.to_string()));
    });
    insta::assert_snapshot!(complaint, @"");
}

#[test]
fn a_place_that_cannot_be_written_is_noticed_before_any_work() {
    let lab = Lab::finished();
    lab.write("file", "mine");
    let out = |place| {
        refused(&lab, 6, &["sweep", FILE, "--store", "store", "--set", "train.epochs=9", "--out", place])
    };
    insta::assert_snapshot!(out("file"), @"");
    insta::assert_snapshot!(out("file/reports"), @"");
    let store = |place| refused(&lab, 6, &["sweep", FILE, "--no-report", "--store", place]);
    insta::assert_snapshot!(store("file"), @"");
    insta::assert_snapshot!(store("file/store"), @"");
    lab.write("kept/minirise/thesis.txt", "mine");
    insta::assert_snapshot!(out("kept"), @"");
}

fn execute(database: &Path, sql: &str) {
    fs::create_dir_all(database.parent().unwrap()).unwrap();
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.execute_batch(sql).unwrap();
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let lab = Lab::finished();
    execute(&lab.path("store/rise-lab.db"), "PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)");
    insta::assert_snapshot!(refused(&lab, 5, &["sweep", FILE, "--store", "store"]), @"");
    let read = refused(&lab, 5, &["runs", "--store", "store"]);
    assert!(read.contains("schema version 99"), "{read}");
    execute(&lab.path("store/rise-lab.db"), "PRAGMA user_version = 1");
    assert_eq!(lab.sweep(&[]).executed(), 0, "the store is as it was");
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let lab = Lab::new();
    execute(&lab.path("store/rise-lab.db"), "CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')");
    insta::assert_snapshot!(refused(&lab, 5, &["sweep", FILE, "--no-report", "--store", "store"]), @"");
    lab.write("text/rise-lab.db", "mine ".repeat(1000));
    insta::assert_snapshot!(refused(&lab, 5, &["sweep", FILE, "--no-report", "--store", "text"]), @"");
}

#[test]
fn a_second_sweep_on_the_same_store_is_refused_and_does_no_harm() {
    let lab = Lab::finished();
    let long = ["--set", "train.epochs=100", "--jobs", "1"];
    let mut first = lab.begin(&long);
    first.wait_for("stage-started", Some("train"));
    let second = lab.sweep(&long);
    second.expect_exit(5);
    let complaint = second.stderr.replace(&first.id().to_string(), "[id]");
    insta::assert_snapshot!(complaint, @"");
    // Whoever only reads is welcome meanwhile.
    assert_eq!(lab.json(&["status"])[0]["experiment"], "minirise");
    let first = first.finish();
    first.expect_exit(0);
    assert_eq!(first.executed(), 6);
    assert!(lab.done().values().all(|&times| times == 1));
}
