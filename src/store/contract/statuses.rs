//! Statuses of stages and runs, and what is told of stages that are there.

use super::*;

#[test]
fn a_stage_lives_through_its_statuses() {
    let (_folder, mut store) = fresh();
    let base = key("base");
    store.stage_started(&base).unwrap();
    assert_eq!(status(&store, "base"), Status::Running);
    store.stage_failed(&base, "it broke").unwrap();
    let row = store.stage(&base).unwrap().unwrap();
    assert_eq!(
        (row.status, row.error.as_deref()),
        (Status::Failed, Some("it broke"))
    );
    store.stage_started(&base).unwrap();
    store.stage_interrupted(&base).unwrap();
    store.stage_started(&base).unwrap();
    store
        .stage_done(
            &base,
            &StageResults {
                seconds: 2.0,
                ..StageResults::default()
            },
        )
        .unwrap();
    let row = store.stage(&base).unwrap().unwrap();
    assert_eq!(
        (row.status, row.error, row.attempts, row.seconds),
        (Status::Done, None, 3, Some(2.0))
    );
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
    assert!(
        refused
            .iter()
            .all(|result| matches!(result, Err(StoreError::UnknownStage { .. })))
    );
    let refused = store.run_status("one", &nowhere, Status::Done, None);
    assert!(matches!(refused, Err(StoreError::UnknownRun { .. })));
}

#[test]
fn results_come_back_in_order() {
    let (_folder, mut store) = fresh();
    evaluate(&mut store);
    assert_eq!(
        store.problems(&key("prepare")).unwrap(),
        prepared().problems
    );
    let asked = [episode("p/9", 0), episode("p/10", 0), episode("p/10", 1)];
    assert_eq!(store.episodes(&key("evaluate")).unwrap(), asked);
    assert_eq!(
        store.scores(&key("evaluate")).unwrap(),
        [score("p/10", 0.0), score("p/9", 1.0)]
    );
    let points = store.points(&key("evaluate")).unwrap();
    assert!(
        points.len() == 2 && points[0].value.is_nan() && points[1] == point(2, 0.25),
        "{points:?}"
    );
    assert_eq!(
        store.artifacts(&key("evaluate")).unwrap(),
        evaluated().artifacts
    );
    let row = store.stage(&key("evaluate")).unwrap().unwrap();
    assert_eq!(
        (row.counts, row.origin),
        (evaluated().counts, evaluated().origin)
    );
    assert_eq!(row.peak_bytes, Some(3 << 30));
    assert_eq!(
        store.stage(&key("prepare")).unwrap().unwrap().peak_bytes,
        None
    );
}

#[test]
fn standings_count_shared_stages_once_and_name_what_is_running_or_failed() {
    let (_folder, mut store) = fresh();
    store
        .experiment(&experiment("two"), &runs()[..1], &stages())
        .unwrap();
    store.experiment(&experiment("empty"), &[], &[]).unwrap();
    evaluate(&mut store);
    store.stage_failed(&key("base"), "no memory").unwrap();
    store.stage_started(&key("evaluate greedily")).unwrap();
    let changes = [
        (&key("weak"), Status::Done, None),
        (&key("strong"), Status::Failed, Some("no memory")),
    ];
    store.run_statuses("one", changes).unwrap();
    let standings = store.standings().unwrap();
    let names: Vec<&str> = standings
        .iter()
        .map(|standing| standing.experiment.as_str())
        .collect();
    assert_eq!(names, ["empty", "one", "two"]);
    assert!(standings[0].runs.is_empty() && standings[0].stages.is_empty());
    let (done, failed, running) = (Status::Done, Status::Failed, Status::Running);
    assert_eq!(standings[1].runs, [(done, 1), (failed, 1)]);
    assert_eq!(standings[1].stages, [(done, 2), (failed, 1), (running, 1)]);
    assert_eq!(standings[2].runs, [(Status::Queued, 1)]);
    assert_eq!(standings[2].stages, [(done, 2), (failed, 1)]);
    let noteworthy: Vec<Vec<&str>> = standings
        .iter()
        .map(|standing| {
            standing
                .noteworthy
                .iter()
                .map(|stage| stage.kind.as_str())
                .collect()
        })
        .collect();
    assert_eq!(
        noteworthy,
        [vec![], vec!["base", "evaluate greedily"], vec!["base"]]
    );
    assert_eq!(
        standings[1].noteworthy[0].error.as_deref(),
        Some("no memory")
    );
    assert_eq!(store.stages_done("one", &key("weak")).unwrap(), (2, 3));
}

#[test]
fn statuses_of_several_runs_change_together_or_not_at_all() {
    let (_folder, mut store) = fresh();
    let changes = [
        (&key("weak"), Status::Done, None),
        (&key("nowhere"), Status::Done, None),
    ];
    assert!(matches!(
        store.run_statuses("one", changes),
        Err(StoreError::UnknownRun { .. })
    ));
    assert_eq!(store.runs("one").unwrap()[0].status, Status::Queued);
}

#[test]
fn a_problem_is_the_one_its_stage_was_made_from() {
    let (_folder, mut store) = fresh();
    evaluate(&mut store);
    let other = Problem {
        question: "Another question.".to_owned(),
        ..problem("p/9")
    };
    store
        .experiment(
            &experiment("two"),
            &[],
            &[stage("other", &[]), stage("late", &["other"])],
        )
        .unwrap();
    let results = StageResults {
        problems: vec![(Split::Test, other.clone())],
        ..StageResults::default()
    };
    store.stage_done(&key("other"), &results).unwrap();
    assert_eq!(
        store.problem(&key("evaluate"), "p/9").unwrap(),
        Some(problem("p/9"))
    );
    assert_eq!(store.problem(&key("late"), "p/9").unwrap(), Some(other));
    assert_eq!(store.problem(&key("late"), "p/10").unwrap(), None);
}

#[test]
fn inputs_that_go_in_a_circle_do_not_hang() {
    let (_folder, mut store) = fresh();
    store
        .experiment(
            &experiment("two"),
            &[],
            &[stage("a", &["b", "a"]), stage("b", &["a"])],
        )
        .unwrap();
    assert_eq!(store.problem(&key("a"), "p/9").unwrap(), None);
}
