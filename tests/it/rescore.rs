//! Several graders over the same texts: while a sweep goes on, and afterwards.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{FILE, Lab};

/// A grader that reads what the models of the small experiment write.
const LOOSE: &str = "rise-compat(boxed-only=false)";

/// Stages with texts: four evaluations, a collection and its improvement.
const WITH_TEXTS: u64 = 6;

fn rescore(lab: &Lab, more: &[&str]) -> Value {
    lab.json(&[&["rescore"], more].concat())
}

fn change(lab: &Lab, sql: &str) {
    let database = Connection::open(lab.path("store/rise-lab.db")).expect("the database is there");
    database
        .execute_batch(sql)
        .expect("the statements are sound");
}

#[test]
fn a_sweep_is_graded_beside_and_rescored_without_sampling() {
    let lab = Lab::finished();
    let own =
        "SELECT run, checkpoint, metric, grader, problems, mean FROM run_scores ORDER BY 1, 2, 3";
    let texts = "SELECT count(*), count(DISTINCT grader) FROM attempts";
    let (scores, attempts) = (lab.query(own), lab.query(texts));
    let by_grader = "SELECT grader, grader_version, count(*), sum(answer IS NOT NULL) > 0
                     FROM attempt_grades GROUP BY 1, 2 ORDER BY 1";
    let all = attempts[0][0].clone();
    let beside = [["numeric", "1", &all, "1"], ["rise-compat", "1", &all, "0"]];
    assert_eq!(lab.query(by_grader), beside, "no attempt has a box");

    let nothing = json!({ "stages": WITH_TEXTS, "lacking": [], "added": {} });
    assert_eq!(
        rescore(&lab, &["minirise"])["lacking"],
        nothing["lacking"],
        "a sweep leaves nothing to do"
    );
    let lacking = json!([{ "grader": LOOSE, "version": 1, "stages": WITH_TEXTS }]);
    let asked = rescore(&lab, &[FILE, "--grader", LOOSE, "--dry-run"]);
    assert_eq!(
        (&asked["lacking"], &asked["added"]),
        (&lacking, &Value::Null)
    );
    let added = rescore(&lab, &["--grader", LOOSE]);
    assert_eq!(added["added"][0]["grades"].to_string(), all);
    assert_eq!(added["added"][0]["stages"], WITH_TEXTS);
    let again = rescore(&lab, &["--grader", LOOSE]);
    assert_eq!(
        (&again["lacking"], &again["added"]),
        (&json!([]), &json!([]))
    );

    assert_eq!(lab.query(by_grader).len(), 3);
    assert_eq!(
        (lab.query(own), lab.query(texts)),
        (scores.clone(), attempts),
        "views answer as before"
    );
    let both = lab.query(
        "SELECT a.mean, b.mean FROM grader_scores a JOIN grader_scores b USING (run, checkpoint, metric)
         WHERE a.own AND NOT b.own AND metric = 'm1@t1'",
    );
    assert_eq!(both.len(), 6);
    assert!(
        both.iter().all(|pair| pair[0] == pair[1]),
        "one number after `####` is read alike: {both:?}"
    );
    let shown = lab.on_store(&["show", "baseline seed=0"]);
    shown.expect_exit(0);
    for part in [
        "The same texts under other graders",
        LOOSE,
        "reads no answer",
    ] {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }
    assert_eq!(
        lab.sweep(&[]).executed(),
        0,
        "and no stage has to be done again"
    );
    assert!(
        lab.context().contains("graders-all-problems"),
        "the report shows the further grader"
    );
}

#[test]
fn what_an_older_program_left_out_is_added() {
    let lab = Lab::finished();
    let own = "SELECT run, checkpoint, metric, problems, mean FROM run_scores ORDER BY 1, 2, 3";
    let before = lab.query(own);
    change(
        &lab,
        "DELETE FROM scores WHERE metric = (SELECT id FROM metrics WHERE name = 'p1@t2');
         DELETE FROM metrics WHERE name = 'p1@t2';
         DELETE FROM unread;",
    );
    assert_eq!(
        lab.query(own).len(),
        before.len() - 6,
        "one metric of three runs' two checkpoints each"
    );
    let added = rescore(&lab, &[]);
    let expected = json!([
        { "grader": "numeric", "version": 1, "stages": 4, "grades": 0, "scores": 80, "unread": 0 },
        { "grader": "rise-compat", "version": 1, "stages": WITH_TEXTS, "grades": 0, "scores": 0, "unread": WITH_TEXTS },
    ]);
    assert_eq!(added["added"], expected);
    assert_eq!(lab.query(own), before);
    let told = lab.on_store(&["rescore"]);
    told.expect_exit(0);
    assert_eq!(
        told.stdout,
        "6 finished stages with texts; no grade or score is missing\n"
    );
}

#[test]
fn what_cannot_be_rescored_is_told() {
    let lab = Lab::new();
    let wrong = |arguments: &[&str]| {
        let ran = lab.on_store(arguments);
        ran.expect_exit(2);
        ran.stderr
    };
    assert!(
        wrong(&["rescore"]).contains("rise-lab.db"),
        "a store that is not there is not made"
    );
    assert!(!lab.path("store").exists());
    let lab = Lab::finished();
    let wrong = |arguments: &[&str]| {
        let ran = lab.on_store(arguments);
        ran.expect_exit(2);
        ran.stderr
    };
    insta::assert_snapshot!(wrong(&["rescore", "--grader", "rise-compatt"]), @"error: there is no grader `rise-compatt` (did you mean `rise-compat`?); the graders are: numeric, rise-compat, boxed-latex");
    insta::assert_snapshot!(wrong(&["rescore", "minirice"]), @"error: no experiment is called `minirice` (did you mean `minirise`?); `rise-lab runs` lists what there is");
}

#[test]
fn a_run_may_name_its_grader() {
    let lab = Lab::finished();
    assert_eq!(
        lab.sweep(&["--set", "grader=numeric"]).executed(),
        0,
        "it is the task's own"
    );
    let ran = lab.sweep(&["--set", "grader=rise-compat"]);
    ran.expect_exit(0);
    assert_eq!(
        ran.executed(),
        10,
        "whatever depends on grades: all but problems, the base, and SFT's training"
    );
    let own = lab.query("SELECT DISTINCT grader, mean FROM run_scores WHERE metric = 'p1@t2'");
    assert_eq!(
        own,
        [["rise-compat", "0.0"]],
        "without a box nothing is right"
    );
    let beside = lab.query(
        "SELECT count(DISTINCT run) FROM grader_scores WHERE NOT own AND grader = 'numeric'",
    );
    assert_eq!(beside, [["3"]]);
}
