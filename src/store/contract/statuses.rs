//! Statuses of stages and runs, and what is told of stages that are there.

use super::*;

#[test]
fn a_stage_lives_through_its_statuses() {
    let (_folder, mut store) = fresh_store();
    let base = key("base");
    store.record_stage_start(&base).unwrap();
    assert_eq!(stage_status(&store, "base"), Status::Running);
    store.record_stage_failure(&base, "it broke").unwrap();
    let row = store.stage(&base).unwrap().unwrap();
    assert_eq!(
        (row.status, row.error.as_deref()),
        (Status::Failed, Some("it broke"))
    );
    store.record_stage_start(&base).unwrap();
    store.record_stage_interruption(&base).unwrap();
    store.record_stage_start(&base).unwrap();
    store
        .record_stage_results(
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
    let (_folder, mut store) = fresh_store();
    let nowhere = key("nowhere");
    let refused = [
        store.record_stage_start(&nowhere),
        store.record_stage_failure(&nowhere, ""),
        store.record_stage_results(&nowhere, &StageResults::default()),
        store.stage_inputs(&nowhere).map(drop),
    ];
    assert!(
        refused
            .iter()
            .all(|result| matches!(result, Err(StoreError::UnknownStage { .. })))
    );
    let refused = store.set_run_status("one", &nowhere, Status::Done, None);
    assert!(matches!(refused, Err(StoreError::UnknownRun { .. })));
}

#[test]
fn results_come_back_in_order() {
    let (_folder, mut store) = fresh_store();
    record_evaluation(&mut store);
    assert_eq!(
        store.problems(&key("prepare")).unwrap(),
        prepare_results().problems
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
        store.stage_artifacts(&key("evaluate")).unwrap(),
        evaluate_results().artifacts
    );
    let row = store.stage(&key("evaluate")).unwrap().unwrap();
    assert_eq!(
        (row.counts, row.origin),
        (evaluate_results().counts, evaluate_results().origin)
    );
    assert_eq!(row.peak_bytes, Some(3 << 30));
    assert_eq!(
        store.stage(&key("prepare")).unwrap().unwrap().peak_bytes,
        None
    );
}

#[test]
fn standings_count_shared_stages_once_and_name_what_is_running_or_failed() {
    let (_folder, mut store) = fresh_store();
    store
        .record_experiment(&experiment("two"), &runs()[..1], &stages())
        .unwrap();
    store
        .record_experiment(&experiment("empty"), &[], &[])
        .unwrap();
    record_evaluation(&mut store);
    store
        .record_stage_failure(&key("base"), "no memory")
        .unwrap();
    store.record_stage_start(&key("evaluate greedily")).unwrap();
    let changes = [
        (&key("weak"), Status::Done, None),
        (&key("strong"), Status::Failed, Some("no memory")),
    ];
    store.set_run_statuses("one", changes).unwrap();
    let standings = store.experiment_progress().unwrap();
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
                .active_or_failed
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
        standings[1].active_or_failed[0].error.as_deref(),
        Some("no memory")
    );
    assert_eq!(
        store.count_done_stages("one", &key("weak")).unwrap(),
        (2, 3)
    );
}

#[test]
fn statuses_of_several_runs_change_together_or_not_at_all() {
    let (_folder, mut store) = fresh_store();
    let changes = [
        (&key("weak"), Status::Done, None),
        (&key("nowhere"), Status::Done, None),
    ];
    assert!(matches!(
        store.set_run_statuses("one", changes),
        Err(StoreError::UnknownRun { .. })
    ));
    assert_eq!(store.runs("one").unwrap()[0].status, Status::Queued);
}

#[test]
fn a_problem_is_the_one_its_stage_was_made_from() {
    let (_folder, mut store) = fresh_store();
    record_evaluation(&mut store);
    let other = Problem {
        question: "Another question.".to_owned(),
        ..problem("p/9")
    };
    store
        .record_experiment(
            &experiment("two"),
            &[],
            &[stage("other", &[]), stage("late", &["other"])],
        )
        .unwrap();
    let results = StageResults {
        problems: vec![(Split::Test, other.clone())],
        ..StageResults::default()
    };
    store.record_stage_results(&key("other"), &results).unwrap();
    assert_eq!(
        store.find_problem(&key("evaluate"), "p/9").unwrap(),
        Some(problem("p/9"))
    );
    assert_eq!(
        store.find_problem(&key("late"), "p/9").unwrap(),
        Some(other)
    );
    assert_eq!(store.find_problem(&key("late"), "p/10").unwrap(), None);
}

#[test]
fn inputs_that_go_in_a_circle_do_not_hang() {
    let (_folder, mut store) = fresh_store();
    store
        .record_experiment(
            &experiment("two"),
            &[],
            &[stage("a", &["b", "a"]), stage("b", &["a"])],
        )
        .unwrap();
    assert_eq!(store.find_problem(&key("a"), "p/9").unwrap(), None);
}
