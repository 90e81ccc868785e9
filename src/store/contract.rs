//! The contract of `database.rs`, as one suite.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::domain::{Author, Candidate, Episode, Grade, Key, Point, Problem, Split, Turn, Verdict};

use super::{
    Added, ArtifactRow, CheckpointRow, ExperimentRow, Extent, GraderRows, MetricRow, PlannedRun,
    PlannedStage, Reader, Regraded, RunRow, ScoreRow, Sharing, StageResults, Status, Store, StoreError,
};

fn key(name: &str) -> Key {
    Key::of_bytes(name.as_bytes())
}

fn experiment(name: &str) -> ExperimentRow {
    let (question, toml) = ("Does it work?".to_owned(), format!("name = \"{name}\"\n"));
    ExperimentRow { name: name.to_owned(), question, toml, report: json!({ "baseline": null }) }
}

fn stage(name: &str, inputs: &[&str]) -> PlannedStage {
    let inputs = inputs.iter().map(|input| key(input)).collect();
    PlannedStage { key: key(name), kind: name.to_owned(), label: format!("the {name}"), inputs }
}

/// Two runs that share `prepare` and `base`; the second has an evaluation of its own.
fn stages() -> Vec<PlannedStage> {
    vec![
        stage("prepare", &[]),
        stage("base", &["prepare"]),
        stage("evaluate", &["base", "prepare"]),
        stage("evaluate greedily", &["base", "prepare"]),
    ]
}

fn run(name: &str, position: u32, evaluation: &str) -> PlannedRun {
    PlannedRun {
        key: key(name),
        label: format!("base={name} seed=3"),
        position,
        seed: 3,
        axes: vec![("base".to_owned(), name.to_owned()), ("rounds".to_owned(), "2".to_owned())],
        spec: json!({ "seed": 3, "base": name }),
        stages: vec![key("prepare"), key("base"), key(evaluation)],
        checkpoints: vec![CheckpointRow {
            run: key(name),
            position: 0,
            name: "base".to_owned(),
            weights: key("base"),
            evaluation: key(evaluation),
        }],
    }
}

fn runs() -> Vec<PlannedRun> {
    vec![run("weak", 0, "evaluate"), run("strong", 1, "evaluate greedily")]
}

fn planned(folder: &Path) -> Store {
    let mut store = Store::open(folder).unwrap();
    store.experiment(&experiment("one"), &runs(), &stages()).unwrap();
    store
}

fn fresh() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = planned(folder.path());
    (folder, store)
}

fn problem(id: &str) -> Problem {
    let solution = (id != "p/9").then(|| "2 + 2 = 4\n#### 4".to_owned());
    Problem { id: id.to_owned(), question: format!("What is {id}?"), answer: "4".to_owned(), solution }
}

fn candidate(text: &str, verdict: Verdict) -> Candidate {
    let answer = (verdict != Verdict::Unreadable).then(|| text.to_owned());
    let grade = Grade { answer, verdict };
    Candidate {
        author: Author::Policy,
        text: format!("#### {text}"),
        tokens: 3,
        prompt: 12,
        finished: true,
        grade,
    }
}

fn episode(problem: &str, sample: u32) -> Episode {
    let teacher =
        Candidate { author: Author::Teacher, tokens: 0, prompt: 0, ..candidate("4", Verdict::Right) };
    let cut = Candidate { finished: false, ..candidate("", Verdict::Unreadable) };
    let turns = vec![Turn::of(vec![cut, candidate("5", Verdict::Wrong)], 1), Turn::single(teacher)];
    Episode { problem: problem.to_owned(), sample, turns }
}

fn metric(version: u32) -> MetricRow {
    MetricRow {
        name: "m1@t1".to_owned(),
        version,
        unit: "fraction".to_owned(),
        higher_is_better: Some(true),
        meaning: "Right at the first turn.".to_owned(),
    }
}

fn score(problem: &str, value: f64) -> ScoreRow {
    ScoreRow { metric: "m1@t1".to_owned(), problem: problem.to_owned(), value }
}

fn prepared() -> StageResults {
    let problems =
        vec![(Split::Test, problem("p/9")), (Split::Test, problem("p/10")), (Split::Train, problem("p/1"))];
    StageResults { problems, ..StageResults::default() }
}

fn evaluated() -> StageResults {
    let file = ArtifactRow { name: "episodes.jsonl".to_owned(), sha256: key("bytes"), bytes: 12 };
    StageResults {
        seconds: 1.5,
        peak_bytes: Some(3 << 30),
        counts: json!({ "sampled": 40 }),
        origin: json!({ "backend": "flex" }),
        artifacts: vec![file],
        problems: Vec::new(),
        episodes: vec![episode("p/10", 1), episode("p/10", 0), episode("p/9", 0)],
        grader: Some(("numeric".to_owned(), 1)),
        points: vec![point(2, 0.5), point(1, f64::NAN), point(2, 0.25)],
        scores: vec![score("p/9", 1.0), score("p/10", 0.0)],
        beside: Vec::new(),
    }
}

fn point(step: u64, value: f64) -> Point {
    Point { series: "loss".to_owned(), step, value }
}

fn evaluate(store: &mut Store) {
    store.metrics(&[metric(1)]).unwrap();
    store.stage_done(&key("prepare"), &prepared()).unwrap();
    store.stage_done(&key("evaluate"), &evaluated()).unwrap();
}

fn status(reader: &Reader, name: &str) -> Status {
    reader.stage(&key(name)).unwrap().unwrap().status
}

#[test]
fn a_plan_comes_back() {
    let (_folder, store) = fresh();
    assert_eq!(store.experiments().unwrap(), [experiment("one")]);
    let found = store.runs("one").unwrap();
    assert_eq!(found[1], store.run_of("one", &key("strong")).unwrap());
    let lines = store.run_lines(None).unwrap();
    assert_eq!(lines, store.run_lines(Some("one")).unwrap());
    let of = |run: &RunRow| (run.key.clone(), run.label.clone(), run.seed, run.axes.clone(), run.status);
    let listed: Vec<_> =
        lines.into_iter().map(|line| (line.key, line.label, line.seed, line.axes, line.status)).collect();
    assert_eq!(listed, found.iter().map(of).collect::<Vec<_>>());
    assert!(store.run_lines(Some("two")).unwrap().is_empty());
    assert_eq!((found[0].key.clone(), found[0].status), (key("weak"), Status::Queued));
    assert_eq!((found[1].seed, &found[1].axes, &found[1].spec), (3, &runs()[1].axes, &runs()[1].spec));
    let checkpoints = store.checkpoints("one").unwrap();
    assert_eq!(checkpoints, [runs()[0].checkpoints[0].clone(), runs()[1].checkpoints[0].clone()]);
    let kinds = |rows: Vec<super::StageRow>| rows.into_iter().map(|row| row.kind).collect::<Vec<_>>();
    assert_eq!(kinds(store.stages("one").unwrap()), ["prepare", "base", "evaluate", "evaluate greedily"]);
    assert_eq!(
        kinds(store.stages_of("one", &key("strong")).unwrap()),
        ["prepare", "base", "evaluate greedily"]
    );
    assert_eq!(store.sharing("one").unwrap(), Sharing { asked: 6, distinct: 4 });
    assert_eq!(store.inputs(&key("evaluate")).unwrap(), [key("base"), key("prepare")]);
}

#[test]
fn planning_again_keeps_results_and_forgets_only_runs() {
    let (_folder, mut store) = fresh();
    evaluate(&mut store);
    store.run_status("one", &key("strong"), Status::Failed, Some("no memory")).unwrap();
    let changed = ExperimentRow { question: "Still?".to_owned(), ..experiment("one") };
    let moved =
        PlannedRun { position: 0, label: "base=strong".to_owned(), ..run("strong", 0, "evaluate greedily") };
    store.experiment(&changed, &[moved], &stages()).unwrap();
    let left = store.runs("one").unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].label.as_str(), left[0].error.as_deref()), ("base=strong", Some("no memory")));
    assert_eq!(store.experiment_named("one").unwrap(), changed);
    assert_eq!(status(&store, "evaluate"), Status::Done);
    assert_eq!(store.episodes(&key("evaluate")).unwrap().len(), 3);
    assert_eq!(store.checkpoints("one").unwrap().len(), 1);
}

#[test]
fn a_done_run_that_needs_more_is_queued_again() {
    let (_folder, mut store) = fresh();
    evaluate(&mut store);
    store.stage_done(&key("base"), &StageResults::default()).unwrap();
    for name in ["weak", "strong"] {
        store.run_status("one", &key(name), Status::Done, None).unwrap();
    }
    store.experiment(&experiment("one"), &runs(), &stages()).unwrap();
    let statuses: Vec<_> = store.runs("one").unwrap().into_iter().map(|row| row.status).collect();
    assert_eq!(statuses, [Status::Done, Status::Queued]);
}

#[test]
fn one_run_may_be_part_of_two_experiments() {
    let (_folder, mut store) = fresh();
    store.experiment(&experiment("two"), &runs()[..1], &stages()).unwrap();
    store.run_status("two", &key("weak"), Status::Done, None).unwrap();
    assert_eq!(store.runs("one").unwrap()[0].status, Status::Queued);
    assert_eq!(store.run("base=weak seed=3").unwrap().experiment, "one");
}

#[test]
fn a_plan_that_does_not_fit_is_refused_whole() {
    let (_folder, mut store) = fresh();
    let lost = PlannedRun { stages: vec![key("nowhere")], ..run("lost", 0, "evaluate") };
    let refused = store.experiment(&experiment("two"), &[lost], &[stage("new", &[])]);
    assert!(matches!(refused, Err(StoreError::UnknownStage { .. })), "{refused:?}");
    let huge = PlannedRun { seed: u64::MAX, ..run("huge", 0, "evaluate") };
    assert!(matches!(store.experiment(&experiment("two"), &[huge], &[]), Err(StoreError::BadRun { .. })));
    let stray = PlannedRun { key: key("other"), ..run("stray", 0, "evaluate") };
    assert!(matches!(store.experiment(&experiment("two"), &[stray], &[]), Err(StoreError::BadRun { .. })));
    assert_eq!(store.experiments().unwrap().len(), 1);
    assert_eq!(store.stage(&key("new")).unwrap(), None);
}

#[test]
fn a_run_is_found_by_key_prefix_and_label() {
    let (_folder, store) = fresh();
    let weak = key("weak");
    for given in [weak.as_str(), weak.short(), &weak.as_str()[..4].to_uppercase(), "base=weak seed=3"] {
        assert_eq!(store.run(given).unwrap().key, weak, "{given}");
    }
    insta::assert_snapshot!(store.run("base=weka seed=3").unwrap_err(), @"no run has the key or label `base=weka seed=3` (did you mean `base=weak seed=3`?); `rise-lab runs` lists them");
    insta::assert_snapshot!(store.experiment_named("ome").unwrap_err(), @"no experiment is called `ome` (did you mean `one`?); `rise-lab runs` lists what there is");
    assert!(matches!(store.run("0000"), Err(StoreError::UnknownRun { nearest: None, .. })));
}

#[test]
fn a_label_of_two_different_runs_is_ambiguous() {
    let (_folder, mut store) = fresh();
    let twin = PlannedRun { label: "base=weak seed=3".to_owned(), ..run("twin", 0, "evaluate") };
    store.experiment(&experiment("two"), &[twin], &[]).unwrap();
    let found = store.run("base=weak seed=3");
    assert!(matches!(found, Err(StoreError::AmbiguousRun { ref candidates, .. }) if candidates.len() == 2));
}

#[test]
fn a_stage_lives_through_its_statuses() {
    let (_folder, mut store) = fresh();
    let base = key("base");
    store.stage_started(&base).unwrap();
    assert_eq!(status(&store, "base"), Status::Running);
    store.stage_failed(&base, "it broke").unwrap();
    let row = store.stage(&base).unwrap().unwrap();
    assert_eq!((row.status, row.error.as_deref()), (Status::Failed, Some("it broke")));
    store.stage_started(&base).unwrap();
    store.stage_interrupted(&base).unwrap();
    store.stage_started(&base).unwrap();
    store.stage_done(&base, &StageResults { seconds: 2.0, ..StageResults::default() }).unwrap();
    let row = store.stage(&base).unwrap().unwrap();
    assert_eq!((row.status, row.error, row.attempts, row.seconds), (Status::Done, None, 3, Some(2.0)));
    assert_eq!((row.counts, row.origin), (json!({}), json!({})));
}

#[test]
fn an_unknown_stage_or_run_is_refused() {
    let (_folder, mut store) = fresh();
    let nowhere = key("nowhere");
    let refused = [
        store.stage_started(&nowhere),
        store.stage_failed(&nowhere, ""),
        store.stage_done(&nowhere, &StageResults::default()),
        store.inputs(&nowhere).map(drop),
    ];
    assert!(refused.iter().all(|result| matches!(result, Err(StoreError::UnknownStage { .. }))));
    let refused = store.run_status("one", &nowhere, Status::Done, None);
    assert!(matches!(refused, Err(StoreError::UnknownRun { .. })));
}

#[test]
fn results_come_back_in_order() {
    let (_folder, mut store) = fresh();
    evaluate(&mut store);
    assert_eq!(store.problems(&key("prepare")).unwrap(), prepared().problems);
    let asked = [episode("p/9", 0), episode("p/10", 0), episode("p/10", 1)];
    assert_eq!(store.episodes(&key("evaluate")).unwrap(), asked);
    assert_eq!(store.scores(&key("evaluate")).unwrap(), [score("p/10", 0.0), score("p/9", 1.0)]);
    let points = store.points(&key("evaluate")).unwrap();
    assert!(points.len() == 2 && points[0].value.is_nan() && points[1] == point(2, 0.25), "{points:?}");
    assert_eq!(store.artifacts(&key("evaluate")).unwrap(), evaluated().artifacts);
    let row = store.stage(&key("evaluate")).unwrap().unwrap();
    assert_eq!((row.counts, row.origin), (evaluated().counts, evaluated().origin));
    assert_eq!(row.peak_bytes, Some(3 << 30));
    assert_eq!(store.stage(&key("prepare")).unwrap().unwrap().peak_bytes, None);
}

#[test]
fn standings_count_shared_stages_once_and_name_what_is_running_or_failed() {
    let (_folder, mut store) = fresh();
    store.experiment(&experiment("two"), &runs()[..1], &stages()).unwrap();
    store.experiment(&experiment("empty"), &[], &[]).unwrap();
    evaluate(&mut store);
    store.stage_failed(&key("base"), "no memory").unwrap();
    store.stage_started(&key("evaluate greedily")).unwrap();
    let changes = [(&key("weak"), Status::Done, None), (&key("strong"), Status::Failed, Some("no memory"))];
    store.run_statuses("one", changes).unwrap();
    let standings = store.standings().unwrap();
    let names: Vec<&str> = standings.iter().map(|standing| standing.experiment.as_str()).collect();
    assert_eq!(names, ["empty", "one", "two"]);
    assert!(standings[0].runs.is_empty() && standings[0].stages.is_empty());
    let (done, failed, running) = (Status::Done, Status::Failed, Status::Running);
    assert_eq!(standings[1].runs, [(done, 1), (failed, 1)]);
    assert_eq!(standings[1].stages, [(done, 2), (failed, 1), (running, 1)]);
    assert_eq!(standings[2].runs, [(Status::Queued, 1)]);
    assert_eq!(standings[2].stages, [(done, 2), (failed, 1)]);
    let noteworthy: Vec<Vec<&str>> = standings
        .iter()
        .map(|standing| standing.noteworthy.iter().map(|stage| stage.kind.as_str()).collect())
        .collect();
    assert_eq!(noteworthy, [vec![], vec!["base", "evaluate greedily"], vec!["base"]]);
    assert_eq!(standings[1].noteworthy[0].error.as_deref(), Some("no memory"));
    assert_eq!(store.stages_done("one", &key("weak")).unwrap(), (2, 3));
}

#[test]
fn statuses_of_several_runs_change_together_or_not_at_all() {
    let (_folder, mut store) = fresh();
    let changes = [(&key("weak"), Status::Done, None), (&key("nowhere"), Status::Done, None)];
    assert!(matches!(store.run_statuses("one", changes), Err(StoreError::UnknownRun { .. })));
    assert_eq!(store.runs("one").unwrap()[0].status, Status::Queued);
}

#[test]
fn a_problem_is_the_one_its_stage_was_made_from() {
    let (_folder, mut store) = fresh();
    evaluate(&mut store);
    let other = Problem { question: "Another question.".to_owned(), ..problem("p/9") };
    store.experiment(&experiment("two"), &[], &[stage("other", &[]), stage("late", &["other"])]).unwrap();
    let results = StageResults { problems: vec![(Split::Test, other.clone())], ..StageResults::default() };
    store.stage_done(&key("other"), &results).unwrap();
    assert_eq!(store.problem(&key("evaluate"), "p/9").unwrap(), Some(problem("p/9")));
    assert_eq!(store.problem(&key("late"), "p/9").unwrap(), Some(other));
    assert_eq!(store.problem(&key("late"), "p/10").unwrap(), None);
}

#[test]
fn inputs_that_go_in_a_circle_do_not_hang() {
    let (_folder, mut store) = fresh();
    store.experiment(&experiment("two"), &[], &[stage("a", &["b", "a"]), stage("b", &["a"])]).unwrap();
    assert_eq!(store.problem(&key("a"), "p/9").unwrap(), None);
}

#[test]
fn what_is_done_cannot_change() {
    let (_folder, mut store) = fresh();
    evaluate(&mut store);
    let before = store.stage(&key("evaluate")).unwrap();
    let again = [
        store.stage_done(&key("evaluate"), &evaluated()),
        store.stage_done(&key("evaluate"), &StageResults::default()),
        store.stage_started(&key("evaluate")),
        store.stage_failed(&key("evaluate"), "late"),
        store.stage_interrupted(&key("evaluate")),
    ];
    assert!(again.iter().all(|result| matches!(result, Err(StoreError::StageDone { .. }))), "{again:?}");
    assert_eq!(store.stage(&key("evaluate")).unwrap(), before);
    assert_eq!(store.episodes(&key("evaluate")).unwrap().len(), 3);
}

#[test]
fn not_even_another_program_changes_what_is_done() {
    let (folder, mut store) = fresh();
    evaluate(&mut store);
    let shell = rusqlite::Connection::open(folder.path().join("rise-lab.db")).unwrap();
    let changes = [
        "UPDATE stages SET seconds = 0 WHERE status = 'done'",
        "UPDATE candidates SET text = 'better'",
        "UPDATE grades SET verdict = 'right'",
        "UPDATE scores SET value = 1",
        "UPDATE points SET value = 0",
        "UPDATE problems SET answer = '5'",
        "UPDATE artifacts SET sha256 = ''",
    ];
    for sql in changes {
        let refused = shell.execute(sql, []).unwrap_err();
        assert!(refused.to_string().contains("cannot change"), "{sql}: {refused}");
    }
}

#[test]
fn references_must_exist() {
    let (folder, _store) = fresh();
    let shell = rusqlite::Connection::open(folder.path().join("rise-lab.db")).unwrap();
    shell.pragma_update(None, "foreign_keys", true).unwrap();
    let orphan = "INSERT INTO artifacts (stage, name, sha256, bytes) VALUES (999, 'x', 'x', 0)";
    assert!(shell.execute(orphan, []).unwrap_err().to_string().contains("FOREIGN KEY"));
    assert!(shell.execute("DELETE FROM stages", []).is_err(), "a stage that a run uses cannot go");
}

#[test]
fn contradicting_results_leave_no_trace() {
    let (_folder, mut store) = fresh();
    store.metrics(&[metric(1)]).unwrap();
    let unscored =
        StageResults { scores: vec![ScoreRow { metric: "m9".into(), ..score("p", 0.0) }], ..evaluated() };
    let refused = store.stage_done(&key("evaluate"), &unscored);
    assert!(matches!(refused, Err(StoreError::UnknownMetric { .. })), "{refused:?}");
    let nan = StageResults { scores: vec![score("p/9", f64::NAN)], ..evaluated() };
    let twice = StageResults { episodes: vec![episode("p/9", 0), episode("p/9", 0)], ..evaluated() };
    let ungraded = StageResults { grader: None, ..evaluated() };
    let mut empty = evaluated();
    empty.episodes[0].turns[1] = Turn::of(Vec::new(), 0);
    for results in [nan, twice, ungraded, empty] {
        let refused = store.stage_done(&key("evaluate"), &results);
        assert!(matches!(refused, Err(StoreError::BadResults { .. })), "{refused:?}");
    }
    assert_eq!(status(&store, "evaluate"), Status::Queued);
    let left = "SELECT (SELECT count(*) FROM episodes) + (SELECT count(*) FROM points) + (SELECT count(*) FROM artifacts)";
    assert_eq!(store.query(left, 1).unwrap().rows, [[json!(0)]]);
}

#[test]
fn metrics_are_versioned() {
    let (_folder, mut store) = fresh();
    evaluate(&mut store);
    let reworded = MetricRow { meaning: "Clearer.".to_owned(), ..metric(1) };
    store.metrics(&[reworded.clone(), metric(2)]).unwrap();
    assert_eq!(store.reader().metrics().unwrap(), [reworded, metric(2)]);
    let changed = store.metrics(&[MetricRow { higher_is_better: None, ..metric(1) }]);
    assert!(matches!(changed, Err(StoreError::MetricChanged { version: 1, .. })));
    assert_eq!(store.scores(&key("evaluate")).unwrap().len(), 2, "scores of the older version still count");
    store.stage_done(&key("evaluate greedily"), &evaluated()).unwrap();
    let versions =
        store.query("SELECT DISTINCT run, metric_version FROM problem_scores ORDER BY 2", 9).unwrap();
    assert_eq!(versions.rows, [[json!(key("weak")), json!(1)], [json!(key("strong")), json!(2)]]);
}

#[test]
fn newer_grades_and_scores_stand_beside_the_old_ones() {
    let (folder, mut store) = fresh();
    evaluate(&mut store);
    store.metrics(&[metric(2)]).unwrap();
    let shell = rusqlite::Connection::open(folder.path().join("rise-lab.db")).unwrap();
    let added = "INSERT INTO graders (id, name, version) VALUES (70, 'rise-compat', 1);
                 INSERT INTO grades SELECT candidate, 70, 'x', 'wrong' FROM grades;
                 INSERT INTO scores SELECT stage, metric, 70, problem, 0.5 FROM scores;
                 INSERT INTO scores SELECT s.stage, m.id, s.grader, s.problem, 0.75 FROM scores s, metrics m
                 WHERE m.version = 2 AND s.grader <> 70;";
    shell.execute_batch(added).unwrap();
    assert_eq!(store.episodes(&key("evaluate")).unwrap()[0], episode("p/9", 0));
    assert_eq!(store.scores(&key("evaluate")).unwrap(), [score("p/10", 0.75), score("p/9", 0.75)]);
}

/// What a further grader makes of [`evaluated`]: nine texts, three of each episode.
fn further(name: &str, verdict: Verdict) -> Regraded {
    let answer = (verdict != Verdict::Unreadable).then(|| "4".to_owned());
    Regraded {
        grader: (name.to_owned(), 1),
        grades: vec![Grade { answer, verdict }; 9],
        scores: if verdict == Verdict::Unreadable {
            vec![]
        } else {
            vec![score("p/9", 0.5), score("p/10", 0.5)]
        },
    }
}

fn rows_of(store: &Store, name: &str) -> Option<GraderRows> {
    let rows = store.graders_of(&key("evaluate")).unwrap();
    rows.into_iter().find(|rows| rows.grader.0 == name)
}

#[test]
fn further_graders_stand_beside_the_stages_own() {
    let (_folder, mut store) = fresh();
    store.metrics(&[metric(1)]).unwrap();
    let beside = vec![further("right", Verdict::Right), further("silent", Verdict::Unreadable)];
    store.stage_done(&key("prepare"), &prepared()).unwrap();
    store.stage_done(&key("evaluate"), &StageResults { beside, ..evaluated() }).unwrap();
    let evaluation = key("evaluate");
    assert_eq!(store.episodes(&evaluation).unwrap()[0], episode("p/9", 0), "its own grader answers");
    assert_eq!(store.scores(&evaluation).unwrap(), [score("p/10", 0.0), score("p/9", 1.0)]);
    let right = ("right".to_owned(), 1);
    assert_eq!(store.scores_under(&evaluation, &right).unwrap(), [score("p/10", 0.5), score("p/9", 0.5)]);
    assert_eq!(store.scores_under(&evaluation, &("nobody".to_owned(), 1)).unwrap(), []);
    // Each episode has an unreadable, a wrong and a right text.
    assert_eq!(store.disagreement(&evaluation, &right).unwrap(), (6, 9));
    let names: Vec<_> =
        store.graders_of(&evaluation).unwrap().into_iter().map(|rows| rows.grader.0).collect();
    assert_eq!(names, ["numeric", "right", "silent"]);
    assert_eq!(store.graders_of(&key("evaluate greedily")).unwrap(), [], "nothing of it was graded yet");
    let silent = rows_of(&store, "silent").unwrap();
    assert_eq!((silent.unread, silent.graded, silent.attempts), (true, 0, 9));
    let counted = |sql: &str| store.query(sql, 9).unwrap().rows;
    assert_eq!(counted("SELECT count(*) FROM attempts"), [[json!(9)]]);
    assert_eq!(
        counted(
            "SELECT grader, count(*), sum(verdict = 'right') FROM attempt_grades GROUP BY grader ORDER BY 1"
        ),
        [
            [json!("numeric"), json!(9), json!(3)],
            [json!("right"), json!(9), json!(9)],
            [json!("silent"), json!(9), json!(0)]
        ]
    );
    assert_eq!(
        counted("SELECT grader, own, problems, mean FROM grader_scores ORDER BY own"),
        [
            [json!("right"), json!(0), json!(2), json!(0.5)],
            [json!("numeric"), json!(1), json!(2), json!(0.5)]
        ]
    );
    assert_eq!(counted("SELECT grader FROM run_scores"), [[json!("numeric")]]);
    assert_eq!(counted("SELECT grader FROM stage_scores"), [[json!("numeric")]]);
    assert_eq!(counted("SELECT DISTINCT grader FROM problem_scores"), [[json!("numeric")]]);
}

#[test]
fn grades_are_added_to_finished_stages_once_and_nothing_else_changes() {
    let (folder, mut store) = fresh();
    let evaluation = key("evaluate");
    let early = store.regraded(&evaluation, &[], &further("right", Verdict::Right));
    assert!(matches!(early, Err(StoreError::BadResults { .. })), "{early:?}");
    assert!(matches!(
        store.regraded(&key("no"), &[], &further("x", Verdict::Right)),
        Err(StoreError::UnknownStage { .. })
    ));
    evaluate(&mut store);
    let (stage, episodes) = (store.stage(&evaluation).unwrap(), store.episodes(&evaluation).unwrap());
    assert_eq!(
        store.extent(&evaluation).unwrap(),
        Some(Extent { problems: 2, turns: 2, samples: 1, stops: false, verifies: false })
    );
    assert_eq!(store.extent(&key("prepare")).unwrap(), None);
    let behind = store.problems_behind(&evaluation).unwrap();
    assert_eq!(behind.keys().collect::<Vec<_>>(), ["p/1", "p/10", "p/9"]);
    let right = further("right", Verdict::Right);
    let added = store.regraded(&evaluation, &episodes, &right).unwrap();
    assert_eq!(added, Added { grades: 9, scores: 2, unread: false });
    let changed = Regraded { grades: further("x", Verdict::Wrong).grades, ..right };
    assert_eq!(
        store.regraded(&evaluation, &episodes, &changed).unwrap(),
        Added::default(),
        "what is there stays"
    );
    let silent = further("silent", Verdict::Unreadable);
    assert!(store.regraded(&evaluation, &episodes, &silent).unwrap().unread);
    assert_eq!(store.regraded(&evaluation, &episodes, &silent).unwrap(), Added::default());
    let newer = Regraded { grader: ("right".to_owned(), 2), ..further("right", Verdict::Wrong) };
    assert_eq!(
        store.regraded(&evaluation, &episodes, &newer).unwrap().grades,
        9,
        "an older version's rows stay"
    );
    let lost = store.regraded(&evaluation, &[episode("p/1", 0)], &further("lost", Verdict::Right));
    assert!(matches!(lost, Err(StoreError::BadResults { .. })), "{lost:?}");
    assert_eq!(rows_of(&store, "lost"), None, "nothing of it is stored");
    assert_eq!((store.stage(&evaluation).unwrap(), store.episodes(&evaluation).unwrap()), (stage, episodes));
    assert_eq!(store.disagreement(&evaluation, &("right".to_owned(), 1)).unwrap(), (6, 9));
    let shell = rusqlite::Connection::open(folder.path().join("rise-lab.db")).unwrap();
    let refused = shell.execute("UPDATE unread SET attempts = 0", []).unwrap_err();
    assert!(refused.to_string().contains("cannot change"), "{refused}");
}

#[test]
fn the_second_writer_is_told_who_is_first() {
    let (folder, store) = fresh();
    match Store::open(folder.path()) {
        Err(StoreError::Busy { path, pid }) => {
            assert_eq!((path.as_path(), pid), (folder.path(), Some(std::process::id())));
        }
        other => panic!("{other:?}"),
    }
    drop(store);
    Store::open(folder.path()).unwrap();
}

#[test]
fn readers_read_while_the_writer_writes() {
    let (folder, mut store) = fresh();
    let reader = Reader::open(folder.path()).unwrap();
    let seen = store.write("testing", |transaction| {
        transaction.execute("DELETE FROM runs", [])?;
        Ok((reader.runs("one")?.len(), Reader::open(folder.path())?.runs("one")?.len()))
    });
    assert_eq!(seen.unwrap(), (2, 2), "what is not committed is not seen");
    assert_eq!(reader.runs("one").unwrap().len(), 0);
    evaluate(&mut store);
    drop(store);
    assert_eq!(reader.episodes(&key("evaluate")).unwrap().len(), 3, "a reader outlives the writer");
}

#[test]
fn a_reader_does_not_create_anything() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Reader::open(folder.path()), Err(StoreError::Missing { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_a_dead_process_left_running_is_interrupted() {
    let (folder, mut store) = fresh();
    evaluate(&mut store);
    store.stage_started(&key("base")).unwrap();
    store.run_status("one", &key("weak"), Status::Running, None).unwrap();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(status(&store, "base"), Status::Interrupted);
    assert_eq!(status(&store, "evaluate"), Status::Done);
    assert_eq!(status(&store, "evaluate greedily"), Status::Queued);
    let statuses: Vec<_> = store.runs("one").unwrap().into_iter().map(|row| row.status).collect();
    assert_eq!(statuses, [Status::Interrupted, Status::Queued]);
}

/// The files as they lie on disk while the writer is at work are what a kill leaves behind.
#[test]
fn files_left_by_a_kill_hold_every_finished_transaction() {
    let (folder, mut store) = fresh();
    evaluate(&mut store);
    store.stage_started(&key("base")).unwrap();
    let left = tempfile::tempdir().unwrap();
    for file in ["rise-lab.db", "rise-lab.db-wal"] {
        fs::copy(folder.path().join(file), left.path().join(file)).unwrap();
    }
    let reader = Reader::open(left.path()).unwrap();
    assert_eq!(status(&reader, "base"), Status::Running, "a reader reports what is written");
    let survivor = Store::open(left.path()).unwrap();
    assert_eq!(status(&survivor, "base"), Status::Interrupted);
    assert_eq!(survivor.episodes(&key("evaluate")).unwrap(), store.episodes(&key("evaluate")).unwrap());
    assert_eq!(survivor.query("PRAGMA integrity_check", 1).unwrap().rows, [[json!("ok")]]);
}

#[test]
fn opening_again_changes_nothing() {
    let (folder, mut store) = fresh();
    evaluate(&mut store);
    let dump = |reader: &Reader| {
        (
            reader.stages("one").unwrap(),
            reader.runs("one").unwrap(),
            reader.episodes(&key("evaluate")).unwrap(),
        )
    };
    let before = dump(&store);
    drop(store);
    assert_eq!(dump(&planned(folder.path())), before);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let refused = Store::open(&file.join("store")).unwrap_err();
    assert!(matches!(&refused, StoreError::CannotWrite { path, .. } if path.starts_with(&file)), "{refused}");
    let blocked = folder.path().join("blocked");
    fs::create_dir_all(blocked.join("rise-lab.db")).unwrap();
    assert!(matches!(Store::open(&blocked), Err(StoreError::CannotWrite { .. })));
}

#[test]
fn damage_is_reported_as_damage() {
    let (folder, mut store) = fresh();
    evaluate(&mut store);
    drop(store);
    let path = folder.path().join("rise-lab.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let found = Reader::open(folder.path()).and_then(|reader| reader.runs("one"));
    assert!(matches!(found, Err(StoreError::Damaged { .. })), "{found:?}");
}

#[test]
fn words_that_mean_nothing_are_damage() {
    let (folder, store) = fresh();
    let shell = rusqlite::Connection::open(folder.path().join("rise-lab.db")).unwrap();
    shell.execute("UPDATE runs SET spec = '{'", []).unwrap();
    assert!(matches!(store.runs("one"), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_hundred_thousand_texts_go_in_with_one_transaction() {
    let (_folder, mut store) = fresh();
    let turns = || (0..10).map(|n| Turn::single(candidate(&n.to_string(), Verdict::Wrong))).collect();
    let episodes = (0..10_000).map(|n| Episode { problem: format!("p/{n}"), sample: 0, turns: turns() });
    let results = StageResults {
        episodes: episodes.collect(),
        grader: Some(("numeric".to_owned(), 1)),
        ..StageResults::default()
    };
    store.stage_done(&key("evaluate"), &results).unwrap();
    let counted = store.query("SELECT count(*), count(DISTINCT problem) FROM attempts", 1).unwrap();
    assert_eq!(counted.rows, [[json!(100_000), json!(10_000)]]);
    let back = store.episodes(&key("evaluate")).unwrap();
    assert!(back.len() == 10_000 && back.iter().all(|episode| episode.turns.len() == 10));
}

#[test]
fn every_view_speaks_in_names() {
    let (_folder, mut store) = fresh();
    evaluate(&mut store);
    let first = |sql: &str| {
        let table = store.query(sql, 1).unwrap();
        table.rows.first().map(|row| serde_json::to_string(row).unwrap()).unwrap_or_default()
    };
    let shown = [
        first("SELECT label, axis, value FROM run_axes WHERE axis = 'rounds'"),
        first("SELECT label, checkpoint, status FROM run_checkpoints"),
        first("SELECT label, checkpoint, metric, metric_version, grader, problems, mean FROM run_scores"),
        first("SELECT label, metric, problem, value FROM problem_scores ORDER BY problem"),
        first(
            "SELECT label, problem, sample, turn, tokens, grader, answer, verdict FROM attempts ORDER BY problem, sample, turn, candidate",
        ),
        first("SELECT position, problem, split, answer FROM problem_texts ORDER BY position"),
        first("SELECT label, status, executions, runs FROM stage_costs WHERE kind = 'prepare'"),
        first("SELECT label, name, value FROM stage_counts"),
        first("SELECT label, series, step, value FROM curves WHERE step = 2"),
        first("SELECT label, name, bytes FROM files"),
    ];
    insta::assert_snapshot!(shown.join("\n"), @r#"
    ["base=weak seed=3","rounds","2"]
    ["base=weak seed=3","base","done"]
    ["base=weak seed=3","base","m1@t1",1,"numeric",2,0.5]
    ["base=weak seed=3","m1@t1","p/10",0.0]
    ["the evaluate","p/10",0,0,3,"numeric",null,"unreadable"]
    [0,"p/9","test","4"]
    ["the prepare","done",0,2]
    ["the evaluate","sampled",40]
    ["the evaluate","loss",2,0.25]
    ["the evaluate","episodes.jsonl",12]
    "#);
}

#[test]
fn a_reader_knows_whether_somebody_is_writing() {
    let (folder, store) = fresh();
    let reader = Reader::open(folder.path()).unwrap();
    assert!(reader.is_being_written());
    drop(store);
    assert!(!reader.is_being_written());
    assert!(Store::open(folder.path()).is_ok(), "looking leaves no lock behind");
}
