use std::fs;

use crate::data::{GraderConfig, TaskConfig};

use super::*;

const OTHER: &str = r#"{"q": "How many cups?", "a": "3"}"#;
const MARKED: &str = r#"{"q": "How many hats?", "a": "so #### 3"}"#;

/// Loads files with these texts by the usual fields and `more` settings.
fn load_both(train: &str, test: &str, more: &str) -> Result<TaskSplits, String> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("train.jsonl"), train).unwrap();
    fs::write(at("test.jsonl"), test).unwrap();
    let usual = format!(
        "[jsonl]\ntrain = {:?}\ntest = {:?}\n{}{more}",
        at("train.jsonl"),
        at("test.jsonl"),
        if more.contains("answer =") {
            ""
        } else {
            "question = \"q\"\nanswer = \"a\"\n"
        },
    );
    let task: TaskConfig = toml::from_str(&usual).unwrap();
    let sizes = SplitSizes {
        train: 1,
        test: 1,
        ..SplitSizes::empty(0)
    };
    let message = |error: DataError| {
        error
            .to_string()
            .replace(&format!("{}/", folder.path().display()), "")
    };
    task.load(&sizes).map_err(message)
}

fn fault(row: &str, more: &str) -> String {
    load_both(OTHER, &format!("\n{row}"), more).unwrap_err()
}

#[test]
fn fields_are_found_by_name_or_path() {
    let row = r#"{"prompt": " How many? ", "meta": {"answer": 1080.0, "steps": ["6*180=1080"]}, "a.b": "x1"}"#;
    let more = "name = \"mine\"\nquestion = \"prompt\"\nanswer = \"meta.answer\"\nsolution = \"meta.steps.0\"\nid = \"a.b\"";
    let other =
        r#"{"prompt": "How many cups?", "meta": {"answer": "3", "steps": ["3"]}, "a.b": "x2"}"#;
    let problem = load_both(other, row, more).unwrap().test.remove(0);
    let expected = Problem {
        id: "mine/x1".into(),
        question: "How many?".into(),
        answer: "1080".into(),
        solution: Some("6*180=1080\n#### 1080".into()),
    };
    assert_eq!(problem, expected);
}

#[test]
fn the_last_match_of_the_pattern_is_the_answer() {
    let row = r#"{"q": "How many?", "a": "It is #### 5, no:\n#### 1,080"}"#;
    let problem = load_both(MARKED, row, r"pattern = '####\s*(\S+)'")
        .unwrap()
        .test
        .remove(0);
    assert_eq!(
        (
            problem.id.as_str(),
            problem.answer.as_str(),
            problem.solution
        ),
        ("jsonl/test/1", "1080", None)
    );
    // A whole solution may be its own reference.
    let more = "question = 'q'\nanswer = 'a'\nsolution = 'a'\npattern = '####\\s*(.+)$'";
    let problem = load_both(MARKED, row, more).unwrap().test.remove(0);
    assert_eq!(
        problem.solution.as_deref(),
        Some("It is #### 5, no:\n#### 1,080")
    );
}

#[test]
fn a_boxed_answer_may_stand_in_its_box() {
    let more = "grader = 'boxed-latex'\nsolution = 's'";
    let row = r#"{"q": "Which?", "a": "so \\boxed{\\frac{1}{2}}", "s": "half of one"}"#;
    let problem = load_both(r#"{"q":"?x","a":"1","s":"1"}"#, row, more)
        .unwrap()
        .test
        .remove(0);
    assert_eq!(problem.answer, "\\frac{1}{2}");
    assert_eq!(
        problem.solution.as_deref(),
        Some("half of one\n\\boxed{\\frac{1}{2}}")
    );
    let grade = GraderConfig::BoxedLatex.grade(&problem, "\\boxed{0.5}");
    assert!(grade.verdict.is_right());
}

#[test]
fn faults_name_file_and_line() {
    insta::assert_snapshot!(fault(&OTHER[..20], ""), @"test.jsonl, line 2: the text ends in the middle of a row; the file is cut, fetch it again");
    insta::assert_snapshot!(fault("{", ""), @"test.jsonl, line 2: an object goes on over several lines; write one object a line instead, e.g. with `jq -c . file.json`");
    insta::assert_snapshot!(fault("[", ""), @"test.jsonl, line 2: a JSON array begins here; write one object a line instead, e.g. with `jq -c '.[]' file.json`");
    insta::assert_snapshot!(fault("5", ""), @"test.jsonl, line 2: the line is not a JSON object; write one object a line");
    insta::assert_snapshot!(fault("q,a", ""), @"test.jsonl, line 2: expected value at column 1; mend it, or fetch the file again");
    insta::assert_snapshot!(fault(r#"{"question": "How many?", "a": 5}"#, ""), @"test.jsonl, line 2: the row has no `q` (it has `question`, `a`); name another field, fill it in, or take the row out");
    insta::assert_snapshot!(fault(r#"{"q": "How many?", "a": " "}"#, ""), @"test.jsonl, line 2: the row has no `a`; fill it in, or take the row out");
    insta::assert_snapshot!(fault(r#"{"q": "How many?", "a": [5]}"#, ""), @"test.jsonl, line 2: `a` is neither a text nor a number; name another field");
    insta::assert_snapshot!(fault(r#"{"q": "How many?", "a": "five"}"#, ""), @r#"test.jsonl, line 2: the answer "five" in `a` is not a number; mend it, give a `pattern` that takes the answer out, or take the row out"#);
    let marked = |row: &str| load_both(MARKED, row, "pattern = '#### (.+)$'").unwrap_err();
    insta::assert_snapshot!(marked(OTHER), @r#"test.jsonl, line 1: `a` is "3", where the pattern `#### (.+)$` matches nothing; mend the pattern or the row"#);
    insta::assert_snapshot!(marked(r#"{"q": "How many?", "a": "so #### 5 apples"}"#), @r#"test.jsonl, line 1: the answer "5 apples" in `a` is not a number; mend it, or take the row out"#);
    insta::assert_snapshot!(fault(OTHER, ""), @r#"train.jsonl line 1 and test.jsonl line 2 ask the same question, "How many cups?"; take one of them out"#);
    insta::assert_snapshot!(load_both("", OTHER, "").unwrap_err(), @"train.jsonl holds no row; fetch it again");
    let same = r#"{"q": "How many pens?", "a": "3", "n": 7}"#;
    let ids = "id = 'n'";
    insta::assert_snapshot!(load_both(&OTHER.replace('}', ", \"n\": 7}"), same, ids).unwrap_err(), @"test.jsonl, line 1: jsonl/7 is the id of train.jsonl line 1 too; give it another");
}

#[test]
fn a_task_that_is_only_tested_on_needs_no_training_file() {
    let folder = tempfile::tempdir().unwrap();
    let test = folder.path().join("test.jsonl");
    fs::write(&test, OTHER).unwrap();
    let task: TaskConfig = toml::from_str(&format!(
        "[jsonl]\ntest = {test:?}\nquestion = 'q'\nanswer = 'a'"
    ))
    .unwrap();
    assert_eq!(
        task.load(&SplitSizes {
            test: 1,
            ..SplitSizes::empty(0)
        })
        .unwrap()
        .test
        .len(),
        1
    );
    let error = task
        .load(&SplitSizes {
            train: 2,
            test: 1,
            ..SplitSizes::empty(0)
        })
        .unwrap_err();
    insta::assert_snapshot!(error, @"split `train` asks for 2 problems, and task `jsonl`, which has no `train` file, has 0 for it; name its `train` file, or ask for none");
    insta::assert_snapshot!(task.fingerprint().unwrap(), @r#"{"name":"jsonl","version":1,"settings":{"question":"q","answer":"a","grader":"numeric"},"files":{"test":"a3c7e9d992a2b34630397abf807f59a53a6aab968bbd4e7ea278e023007b68d3"}}"#);
}
