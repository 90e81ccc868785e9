use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::data::TaskConfig;

use super::*;

/// Puts a problem into `MATH/<name>`.
fn put(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) {
    let path = folder.path().join("MATH").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn row(question: &str, level: &str, solution: &str) -> String {
    serde_json::json!({ "problem": question, "level": level, "type": "x", "solution": solution })
        .to_string()
}

/// A folder with one training problem and one test problem of each subject.
fn small() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for subject in MathSubject::ALL {
        for half in ["train", "test"] {
            let (name, question) = (
                subject.folder(),
                format!("What is {half} of {}?", subject.folder()),
            );
            put(
                &folder,
                &format!("{half}/{name}/7.json"),
                row(&question, "Level 3", "It is $\\boxed{7}$."),
            );
        }
    }
    folder
}

fn all(folder: &TempDir) -> MathTaskConfig {
    MathTaskConfig {
        test: MathTestSet::All,
        ..MathTaskConfig::new(folder.path().join("MATH"))
    }
}

fn load(
    folder: &TempDir,
    task: &MathTaskConfig,
    train: usize,
    test: usize,
) -> Result<TaskSplits, String> {
    let sizes = SplitSizes {
        train,
        test,
        ..SplitSizes::empty(0)
    };
    let message = |error: DataError| {
        error
            .to_string()
            .replace(&format!("{}/", folder.path().display()), "")
    };
    TaskConfig::Math(task.clone()).load(&sizes).map_err(message)
}

fn ids(problems: &[Problem]) -> Vec<&str> {
    let mut ids: Vec<&str> = problems.iter().map(|problem| problem.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_file_becomes_a_problem() {
    let folder = small();
    let solution = "First \\boxed{1}, then $\\boxed{\\frac{\\sqrt{3}}{2}}$.";
    put(
        &folder,
        "test/geometry/12.json",
        row(" What is $\\sin 60^\\circ$? ", "Level 2", solution),
    );
    let splits = load(&folder, &all(&folder), 0, 8).unwrap();
    let found = splits
        .test
        .iter()
        .find(|problem| problem.id.ends_with("12.json"))
        .unwrap();
    assert_eq!(found.id, "math/test/geometry/12.json");
    assert_eq!(found.question, "What is $\\sin 60^\\circ$?");
    assert_eq!(
        (found.answer.as_str(), found.solution.as_deref()),
        ("\\frac{\\sqrt{3}}{2}", Some(solution))
    );
}

#[test]
fn levels_and_subjects_pick_problems() {
    let folder = small();
    put(
        &folder,
        "test/algebra/8.json",
        row("Which?", "Level 5", "\\boxed{8}"),
    );
    put(
        &folder,
        "test/algebra/9.json",
        row("Which level?", "Level ?", "\\boxed{9}"),
    );
    let hard = MathTaskConfig {
        levels: vec![5],
        ..all(&folder)
    };
    assert_eq!(
        ids(&load(&folder, &hard, 0, 1).unwrap().test),
        ["math/test/algebra/8.json"]
    );
    let few = MathTaskConfig {
        subjects: vec![MathSubject::Geometry],
        ..all(&folder)
    };
    assert_eq!(
        ids(&load(&folder, &few, 1, 1).unwrap().train),
        ["math/train/geometry/7.json"]
    );
    insta::assert_snapshot!(load(&folder, &few, 2, 1).unwrap_err(), @"split `train` asks for 2 problems, and MATH (training problems) (1 rows) has 1 for it; ask for fewer, here or in the other splits that it is dealt out to");
}

#[test]
fn the_test_sets_are_their_lists_and_the_rest_may_be_trained_on() {
    let folder = small();
    let listed = MathTestSet::Math500.file_names().unwrap();
    for (number, name) in listed.iter().enumerate() {
        let question = format!("What is question {number}?");
        put(&folder, name, row(&question, "Level 1", "\\boxed{1}"));
    }
    let task = MathTaskConfig::new(folder.path().join("MATH"));
    let splits = load(&folder, &task, 7, 500).unwrap();
    let mut names: Vec<String> = listed.iter().map(|name| format!("math/{name}")).collect();
    names.sort_unstable();
    assert_eq!(ids(&splits.test), names);
    assert!(
        ids(&splits.train)
            .iter()
            .all(|id| id.starts_with("math/train/"))
    );
    insta::assert_snapshot!(load(&folder, &task, 8, 500).unwrap_err(), @"split `train` asks for 8 problems, and MATH (training problems) (7 rows) has 7 for it; ask for fewer, here or in the other splits that it is dealt out to");

    // Besides the 7 training problems there are 7 of the test folder, less those that a list names.
    let rest = MathTaskConfig {
        train: MathTrainSet::Rest,
        ..task.clone()
    };
    let listed = MathSubject::ALL
        .iter()
        .filter(|s| names.contains(&format!("math/test/{}/7.json", s.folder())))
        .count();
    let splits = load(&folder, &rest, 14 - listed, 500).unwrap();
    let mut trained = splits.train.iter();
    assert!(trained.all(|problem| !names.contains(&problem.id)));
    assert!(load(&folder, &rest, 15 - listed, 500).is_err());

    let rise = MathTaskConfig {
        test: MathTestSet::Rise1000,
        ..task
    };
    insta::assert_snapshot!(load(&folder, &rise, 0, 1).unwrap_err(), @r#"MATH: 909 of the 1000 problems of `rise-1000` are missing, the first of them test/counting_and_probability/47.json; fetch MATH again, or take `test = "all"`"#);
}

#[test]
fn order_and_fingerprint_do_not_depend_on_the_order_of_writing() {
    let names = ["2.json", "10.json", "1.json"];
    let write = |names: &[&str]| {
        let folder = small();
        for name in names {
            put(
                &folder,
                &format!("train/algebra/{name}"),
                row(&format!("Is it {name}?"), "Level 1", "\\boxed{1}"),
            );
        }
        let task = all(&folder);
        let splits = load(&folder, &task, 7 + names.len(), 7).unwrap();
        (splits, TaskConfig::Math(task).fingerprint().unwrap())
    };
    let reversed: Vec<&str> = names.iter().rev().copied().collect();
    assert_eq!(write(&names), write(&reversed));
    assert_ne!(write(&names).1, write(&names[1..]).1);
}

#[test]
fn the_fingerprint_is_that_of_a_listing_by_sha256sum() {
    let folder = small();
    let few = MathTaskConfig {
        subjects: vec![MathSubject::Algebra],
        ..all(&folder)
    };
    let [(_, _, key)] = MathReader(&few).files().unwrap().try_into().unwrap();
    let line = |name: &str| {
        let bytes = fs::read(folder.path().join("MATH").join(name)).unwrap();
        format!("{}  {name}\n", Key::from_bytes(&bytes))
    };
    let listing = line("test/algebra/7.json") + &line("train/algebra/7.json");
    assert_eq!(key, Key::from_bytes(listing.as_bytes()));
    let print = |task| TaskConfig::Math(task).fingerprint().unwrap();
    assert_ne!(
        print(few.clone()),
        print(MathTaskConfig {
            levels: vec![3],
            ..few.clone()
        })
    );
    assert_eq!(
        print(few.clone())["settings"],
        serde_json::json!({ "test": "all", "train": "official", "subjects": ["algebra"] })
    );
}

#[test]
fn a_training_question_that_is_asked_again_is_left_out_and_told() {
    let folder = small();
    put(
        &folder,
        "train/prealgebra/70.json",
        row("WHAT is train of algebra", "Level 1", "\\boxed{7}"),
    );
    put(&folder, "train/prealgebra/notes.txt", "mine");
    assert_eq!(load(&folder, &all(&folder), 7, 0).unwrap().train.len(), 7);
    insta::assert_snapshot!(MathReader(&all(&folder)).notes().unwrap().join("\n"), @"
    math/train/prealgebra/70.json asks the same as math/train/algebra/7.json and is left out
    train/prealgebra/notes.txt is passed over, since it is not called <number>.json
    ");
    let found = MathReader(&all(&folder)).part_counts().unwrap();
    insta::assert_snapshot!(found[0].mismatch().unwrap(), @"test/algebra holds 1 problems, the original 1187");
}

#[test]
fn a_test_question_among_those_trained_on_is_refused() {
    let folder = small();
    put(
        &folder,
        "train/prealgebra/70.json",
        row("WHAT is test of algebra", "Level 1", "\\boxed{7}"),
    );
    insta::assert_snapshot!(load(&folder, &all(&folder), 8, 7).unwrap_err(), @r#"math/train/prealgebra/70.json and math/test/algebra/7.json ask the same question, "What is test of algebra?"; take one of them out"#);
    let sizes = SplitSizes {
        train: 8,
        test: 7,
        allow_leaks: true,
        ..SplitSizes::empty(0)
    };
    assert_eq!(
        TaskConfig::Math(all(&folder))
            .load(&sizes)
            .unwrap()
            .train
            .len(),
        8
    );
}

#[test]
fn faults_name_the_file() {
    let fault = |text: &str| {
        let folder = small();
        put(&folder, "test/algebra/7.json", text);
        load(&folder, &all(&folder), 0, 7).unwrap_err()
    };
    insta::assert_snapshot!(fault(&row("Which?", "Level 1", "\\boxed{7}")[..30]), @"MATH/test/algebra/7.json, line 1: the text ends in the middle of a row; the file is cut, fetch it again");
    insta::assert_snapshot!(fault(r#"{"problem": "Which?", "level": "Level 1"}"#), @"MATH/test/algebra/7.json, line 1: the row has no `solution`; fill it in, or take the row out");
    insta::assert_snapshot!(fault(r#"{"solution": "\\boxed{1}", "level": "Level 1"}"#), @"MATH/test/algebra/7.json, line 1: the row has no `problem`; fill it in, or take the row out");
    insta::assert_snapshot!(fault(&row("Which?", "Level 1", "It is 7.")), @r"MATH/test/algebra/7.json, line 1: `solution` has no complete `\boxed{...}` to take the answer from; mend it, or take the file out");
    insta::assert_snapshot!(fault(&row("Which?", "Level 1", "It is \\boxed{7")), @r"MATH/test/algebra/7.json, line 1: `solution` has no complete `\boxed{...}` to take the answer from; mend it, or take the file out");
    insta::assert_snapshot!(fault("seven"), @"MATH/test/algebra/7.json, line 1: expected value at column 1; mend it, or fetch the file again");
    insta::assert_snapshot!(fault(""), @"MATH/test/algebra/7.json holds no row; fetch it again");
}

#[test]
fn another_folder_is_refused_with_the_one_that_was_meant() {
    let folder = small();
    let at = |location: &str| {
        let path = folder.path().join(location);
        let task = MathTaskConfig {
            test: MathTestSet::All,
            ..MathTaskConfig::new(path)
        };
        let error = load(&folder, &task, 1, 1).unwrap_err();
        error.replace(&folder.path().display().to_string(), "there")
    };
    insta::assert_snapshot!(at(""), @": there is no folder `test` and no folder `train` in it; did you mean MATH?");
    insta::assert_snapshot!(at("MATH/train"), @"MATH/train: there is no folder `test` and no folder `train` in it; did you mean MATH?");
    insta::assert_snapshot!(at("MATH/train/algebra"), @"MATH/train/algebra: there is no folder `test` and no folder `train` in it; did you mean MATH?");
    insta::assert_snapshot!(at("nowhere"), @"cannot read nowhere: No such file or directory (os error 2); `path` must be the folder MATH, which holds `train` and `test`");
    insta::assert_snapshot!(at("MATH/train/algebra/7.json"), @"cannot read MATH/train/algebra/7.json: Not a directory (os error 20); `path` must be the folder MATH, which holds `train` and `test`");
    fs::remove_dir_all(folder.path().join("MATH/test/geometry")).unwrap();
    insta::assert_snapshot!(at("MATH"), @"MATH: the folder test/geometry is missing; fetch MATH again, or name the subjects that are there in `subjects`");
    fs::remove_dir_all(folder.path().join("MATH/test")).unwrap();
    insta::assert_snapshot!(at("MATH"), @"MATH: there is no folder `test` in it; `path` must be the folder MATH, which holds `train` and `test`");
    assert!(!Path::new("MATH").exists());
}
