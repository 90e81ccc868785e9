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
    assert!(
        lab.files(".") == before,
        "the refused command changed something"
    );
    ran.stderr
}

/// As [`refused`], for a sweep of the small experiment beside a finished store.
#[track_caller]
fn refused_sweep(lab: &Lab, more: &[&str]) -> String {
    let complaint = refused(
        lab,
        2,
        &[&["sweep", FILE, "--store", "store"], more].concat(),
    );
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
    insta::assert_snapshot!(refused_edit("{ epochs", "{ epoch"), @r"
    error: minirise.toml:10:11: `run.train.epoch`: unknown field
       |
    10 | train = { epoch = 2, batch = 8, learning_rate = 2e-3 }
       |           ^^^^^
       = did you mean `epochs`?
       = valid here: `epochs`, `batch`, `learning_rate`, `warmup`, `final_rate`, `weight_decay`, `beta1`, `beta2`, `clip`, `lora`.
    ");
    insta::assert_snapshot!(refused_edit("collect =", "colect ="), @"
        error: minirise.toml:9:1: `run.colect`: unknown field
          |
        9 | colect = { repeat_question = false, sampling = { max_tokens = 40 } }
          | ^^^^^^
          = did you mean `collect`?
          = valid here: `base`, `task`, `data`, `method`, `boost`, `rounds`, `candidates`, `preference`, `verifier`, `glore`, `collect`, `deduplicate`, `only_solved`, `selection`, `weighting`, `train`, `grpo`, `score`, `evaluate`, `analyses`, `grader`, `backend`, `seed`.
    ");
    let lab = Lab::finished();
    lab.edit(MODEL, "kv_heads", "kvheads");
    insta::assert_snapshot!(refused_sweep(&lab, &[]), @"
        error: cannot plan run `baseline seed=0`
          because: models/mini.toml:13:1: `model.kvheads`: unknown field
           |
        13 | kvheads = 1
           | ^^^^^^^
           = did you mean `kv_heads`?
           = valid here: `width`, `layers`, `heads`, `kv_heads`, `hidden`, `positions`, `rope_theta`, `norm_epsilon`, `tied`, `head_size`, `qkv_bias`, `qk_norm`, `window`, `rope_scaling`.
    ");
    insta::assert_snapshot!(refused_sweep(&Lab::finished(), &["--set", "train.epoch=3"]), @r"
    error: --set:1:7: `run.train.epoch`: unknown field
      |
    1 | train.epoch = 3
      |       ^^^^^
      = did you mean `epochs`?
      = valid here: `epochs`, `batch`, `learning_rate`, `warmup`, `final_rate`, `weight_decay`, `beta1`, `beta2`, `clip`, `lora`.
    ");
}

#[test]
fn a_wrong_axis_path_is_shown_with_the_nearest_name() {
    insta::assert_snapshot!(refused_edit("weighting = [", "\"train.weighting\" = ["), @r#"
    error: minirise.toml:18:1: `train.weighting`: axis `train.weighting` names no field of a run
       |
    18 | "train.weighting" = ["uniform"]
       | ^^^^^^^^^^^^^^^^^
       = did you mean `weighting`?
       = valid here: `epochs`, `batch`, `learning_rate`, `warmup`, `final_rate`, `weight_decay`, `beta1`, `beta2`, `clip`, `lora`.
       = in cell `train.weighting=uniform`.
    "#);
}

#[test]
fn an_empty_axis_is_refused() {
    insta::assert_snapshot!(refused_edit(r#"["rise", "sft"]"#, "[]"), @r"
    error: minirise.toml:19:1: axis `method` has no values
       |
    19 | method = []
       | ^^^^^^
       = list values or remove the axis.
    ");
}

#[test]
fn duplicate_cells_are_refused() {
    insta::assert_snapshot!(refused_edit(r#""sft"]"#, "\"sft\"]\n\n[[sweep.list]]\nmethod = \"sft\""), @r"
    error: minirise.toml:14:1: `sweep`: cell `method=sft seed=0` is there twice
       |
    14 | [sweep]
       | ^^^^^^^
       = leave one of them out.
    ");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let refused = |setting: &str| refused_sweep(&Lab::finished(), &["--set", setting]);
    insta::assert_snapshot!(refused(r#"collect.teacher={ model = "mnii" }"#), @r"
    error: cannot plan run `baseline seed=0`
      because: models/mnii.toml: No such file or directory (os error 2); did you mean `mini`? base models there: mini, reader
    ");
    insta::assert_snapshot!(refused("evaluate.window={ last = 0 }"), @r"
    error: --set:1:19: `run.evaluate.window`: a window of 0 shows the model no attempt to improve on
      |
    1 | evaluate.window = { last = 0 }
      |                   ^^^^^^^^^^^^
    ");
    insta::assert_snapshot!(refused("collect.teacher={ self = { best_of = 0 } }"), @r"
    error: --set:1:40: `run.collect.teacher.self.best_of`: 0 samples have no best one
      |
    1 | collect.teacher = { self = { best_of = 0 } }
      |                                        ^
    ");
    insta::assert_snapshot!(refused("boost.problems=31"), @r"
    error: --set:1:18: `run.boost.problems`: 31 is more than `data.train`, 30
      |
    1 | boost.problems = 31
      |                  ^^
    ");
    let complaint = refused("backend=abacus");
    assert!(
        complaint.contains("there is no backend `abacus`; use one of: "),
        "{complaint}"
    );
}

#[test]
fn a_checkpoint_that_is_missing_or_of_another_recipe_is_refused() {
    let lab = Lab::finished();
    let shipped = "[checkpoint]\nfile = \"mini.safetensors\"\ntokenizer = \"mini.json\"\nsha256 = \"00\"\n\
                   instruction_set = \"\"\nrecipe = \"11\"\n\n[train]";
    lab.edit(MODEL, "[train]", shipped);
    let complaint = refused_sweep(&lab, &[]);
    insta::assert_snapshot!(complaint.replace(&key_in(&complaint), "[key]"), @r"
    error: cannot plan run `baseline seed=0`
      because: the checkpoint of base model `mini` was made from another recipe (11) than the one in its file ([key]); make it again with `rise-lab base models/mini.toml --ship`, or remove `[checkpoint]` from the file
    ");
    lab.edit(
        MODEL,
        "recipe = \"11\"",
        &format!("recipe = \"{}\"", key_in(&complaint)),
    );
    insta::assert_snapshot!(refused_sweep(&lab, &[]), @r"
    error: cannot plan run `baseline seed=0`
      because: base model `mini` comes with models/mini.safetensors, which is not there; fetch it again, or make it anew with `rise-lab base models/mini.toml --ship`
    ");
}

/// Stages are keyed by the recipe, so whatever is shipped with it must be what it gives.
#[test]
fn shipped_files_that_are_not_what_the_recipe_gives_are_refused() {
    let lab = Lab::new();
    let sweep = |store: &str| lab.run(&["sweep", FILE, "--store", store]);
    lab.run(&["base", MODEL, "--ship", "--store", "shipping"])
        .expect_exit(0);
    sweep("whole").expect_exit(0);
    for (store, file, complaint) in [
        (
            "a",
            "models/mini.tokenizer.json",
            "is not the tokenizer that the base model's recipe gives",
        ),
        (
            "b",
            "models/mini.safetensors",
            "but the base model's file says",
        ),
    ] {
        let whole = fs::read(lab.path(file)).unwrap();
        lab.write(file, [whole.as_slice(), b"\n"].concat());
        let ran = sweep(store);
        ran.expect_exit(3);
        assert!(ran.stderr.contains(complaint), "{}", ran.stderr);
        lab.write(file, whole);
        sweep(store).expect_exit(0);
    }
}

/// The first SHA-256 in a text.
fn key_in(text: &str) -> String {
    let words = text.split(|letter: char| !letter.is_ascii_hexdigit());
    words
        .into_iter()
        .find(|word| word.len() == 64)
        .expect("a key is named")
        .to_owned()
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
    let complaint =
        damaged(|data| fs::remove_file(data.join("test.jsonl")).expect("the sample is there"));
    insta::assert_snapshot!(complaint, @r"
    error: cannot plan run `baseline seed=0`
      because: cannot read data/test.jsonl: No such file or directory (os error 2); `path` must be the folder that holds GSM8K's train.jsonl and test.jsonl
    ");
}

#[test]
fn a_cut_data_file_is_noticed() {
    let complaint = damaged(|data| {
        change(&data.join("train.jsonl"), |lines| {
            lines.truncate(12);
            lines[11].truncate(40);
        });
    });
    insta::assert_snapshot!(complaint, @r"
    error: cannot plan run `baseline seed=0`
      because: data/train.jsonl, line 12: the text ends in the middle of a row; the file is cut, fetch it again
    ");
    insta::assert_snapshot!(damaged(|data| fs::write(data.join("test.jsonl"), "").unwrap()), @r"
    error: cannot plan run `baseline seed=0`
      because: data/test.jsonl holds no row; fetch it again
    ");
}

#[test]
fn a_data_file_in_another_encoding_is_refused() {
    let complaint = damaged(|data| {
        let file = data.join("test.jsonl");
        let mut bytes = fs::read(&file).unwrap();
        bytes[20] = 0xe9;
        fs::write(file, bytes).unwrap();
    });
    insta::assert_snapshot!(complaint, @r"
    error: cannot plan run `baseline seed=0`
      because: data/test.jsonl is not UTF-8 from byte 20 on; convert it, or fetch it again
    ");
}

#[test]
fn a_row_without_an_answer_is_named() {
    let complaint = damaged(|data| {
        change(&data.join("train.jsonl"), |lines| {
            lines[2] = r#"{"question": "How many?"}"#.to_owned();
        });
    });
    insta::assert_snapshot!(complaint, @r"
    error: cannot plan run `baseline seed=0`
      because: data/train.jsonl, line 3: the row has no `answer`; fill it in, or take the row out
    ");
    let complaint = damaged(|data| {
        change(&data.join("train.jsonl"), |lines| {
            lines[6] = lines[6].replace("####", "answer:");
        });
    });
    insta::assert_snapshot!(complaint, @r"
    error: cannot plan run `baseline seed=0`
      because: data/train.jsonl, line 7: `answer` does not end with `#### number`; mend it, or take the row out
    ");
}

#[test]
fn a_question_in_train_and_test_is_refused() {
    let complaint = damaged(|data| {
        let train = fs::read_to_string(data.join("train.jsonl")).unwrap();
        let mut row: serde_json::Value =
            serde_json::from_str(train.lines().next().unwrap()).unwrap();
        row["question"] = format!("  {}", row["question"].as_str().unwrap().to_uppercase()).into();
        change(&data.join("test.jsonl"), |lines| {
            lines.insert(4, row.to_string());
        });
    });
    insta::assert_snapshot!(complaint, @r#"
    error: cannot plan run `baseline seed=0`
      because: data/train.jsonl line 1 and data/test.jsonl line 5 ask the same question, "NATALIA SOLD CLIPS TO 48 OF HER FRIENDS IN APRIL, AND THEN SHE SOLD HALF AS MANY CLIPS IN MAY. HOW MANY CLIPS DID NATALIA SELL ALTOGETHER IN APRIL AND MAY?"; take one of them out
    "#);
}

#[test]
fn a_place_that_cannot_be_written_is_noticed_before_any_work() {
    let lab = Lab::finished();
    lab.write("file", "mine");
    let out = |place| {
        refused(
            &lab,
            6,
            &[
                "sweep",
                FILE,
                "--store",
                "store",
                "--set",
                "train.epochs=9",
                "--out",
                place,
            ],
        )
    };
    insta::assert_snapshot!(out("file"), @r"
    error: cannot write file
      because: File exists (os error 17)
    hint: check that the folder exists, is writable and has free space
    ");
    insta::assert_snapshot!(out("file/reports"), @r"
    error: cannot write file/reports
      because: Not a directory (os error 20)
    hint: check that the folder exists, is writable and has free space
    ");
    let store = |place| refused(&lab, 6, &["sweep", FILE, "--no-report", "--store", place]);
    insta::assert_snapshot!(store("file"), @"error: file: cannot write here (File exists (os error 17)); free space, allow writing, or name another store with `--store`");
    insta::assert_snapshot!(store("file/store"), @"error: file/store: cannot write here (Not a directory (os error 20)); free space, allow writing, or name another store with `--store`");
    lab.write("kept/minirise/thesis.txt", "mine");
    insta::assert_snapshot!(out("kept"), @"error: cannot replace kept/minirise: it is not a report (it has no context.json); move it away or choose another folder");
}

fn execute(database: &Path, sql: &str) {
    fs::create_dir_all(database.parent().unwrap()).unwrap();
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.execute_batch(sql).unwrap();
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let lab = Lab::finished();
    execute(
        &lab.path("store/rise-lab.db"),
        "PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)",
    );
    insta::assert_snapshot!(refused(&lab, 5, &["sweep", FILE, "--store", "store"]), @"error: store/rise-lab.db: this database has schema version 99, and this rise-lab reads version 4 only; use the rise-lab that wrote it, or name another store with `--store`");
    let read = refused(&lab, 5, &["runs", "--store", "store"]);
    assert!(read.contains("schema version 99"), "{read}");
    execute(&lab.path("store/rise-lab.db"), "PRAGMA user_version = 4");
    assert_eq!(lab.sweep(&[]).executed(), 0, "the store is as it was");
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let lab = Lab::new();
    execute(
        &lab.path("store/rise-lab.db"),
        "CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')",
    );
    insta::assert_snapshot!(refused(&lab, 5, &["sweep", FILE, "--no-report", "--store", "store"]), @"error: store/rise-lab.db: this file is not a rise-lab database (it is a database of another program); it was left as it is; move it away, or name another store with `--store`");
    lab.write("text/rise-lab.db", "mine ".repeat(1000));
    insta::assert_snapshot!(refused(&lab, 5, &["sweep", FILE, "--no-report", "--store", "text"]), @"error: text/rise-lab.db: this file is not a rise-lab database (it is not an SQLite file); it was left as it is; move it away, or name another store with `--store`");
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
    insta::assert_snapshot!(complaint, @"error: store: another rise-lab process (process [id]) is working on this store; wait for it, stop it, or name another store with `--store`");
    // Whoever only reads is welcome meanwhile.
    assert_eq!(lab.json(&["status"])[0]["experiment"], "minirise");
    let first = first.finish();
    first.expect_exit(0);
    assert_eq!(first.executed(), 6);
    assert!(lab.done().values().all(|&times| times == 1));
}
