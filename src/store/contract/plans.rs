//! Plans: experiments, runs and stages as they are written down, planned again and found.

use super::*;

#[test]
fn a_plan_comes_back() {
    let (_folder, store) = fresh_store();
    assert_eq!(store.experiments().unwrap(), [experiment("one")]);
    let found = store.runs("one").unwrap();
    assert_eq!(found[1], store.run_by_key("one", &key("strong")).unwrap());
    let lines = store.list_runs(None).unwrap();
    assert_eq!(lines, store.list_runs(Some("one")).unwrap());
    let of = |run: &RunRow| {
        (
            run.key.clone(),
            run.label.clone(),
            run.seed,
            run.axes.clone(),
            run.status,
        )
    };
    let listed: Vec<_> = lines
        .into_iter()
        .map(|line| (line.key, line.label, line.seed, line.axes, line.status))
        .collect();
    assert_eq!(listed, found.iter().map(of).collect::<Vec<_>>());
    assert!(store.list_runs(Some("two")).unwrap().is_empty());
    assert_eq!(
        (found[0].key.clone(), found[0].status),
        (key("weak"), Status::Queued)
    );
    assert_eq!(
        (found[1].seed, &found[1].axes, &found[1].spec),
        (3, &runs()[1].axes, &runs()[1].spec)
    );
    let checkpoints = store.checkpoints("one").unwrap();
    assert_eq!(
        checkpoints,
        [
            runs()[0].checkpoints[0].clone(),
            runs()[1].checkpoints[0].clone()
        ]
    );
    let kinds = |rows: Vec<crate::store::StageRow>| {
        rows.into_iter().map(|row| row.kind).collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(store.experiment_stages("one").unwrap()),
        ["prepare", "base", "evaluate", "evaluate greedily"]
    );
    assert_eq!(
        kinds(store.run_stages("one", &key("strong")).unwrap()),
        ["prepare", "base", "evaluate greedily"]
    );
    assert_eq!(
        store.stage_sharing("one").unwrap(),
        StageSharing {
            requested: 6,
            distinct: 4
        }
    );
    assert_eq!(
        store.stage_inputs(&key("evaluate")).unwrap(),
        [key("base"), key("prepare")]
    );
}

#[test]
fn planning_again_keeps_results_and_forgets_only_runs() {
    let (_folder, mut store) = fresh_store();
    record_evaluation(&mut store);
    store
        .set_run_status("one", &key("strong"), Status::Failed, Some("no memory"))
        .unwrap();
    let changed = ExperimentRow {
        question: "Still?".to_owned(),
        ..experiment("one")
    };
    let moved = PlannedRunRow {
        position: 0,
        label: "base=strong".to_owned(),
        ..run("strong", 0, "evaluate greedily")
    };
    store
        .record_experiment(&changed, &[moved], &stages())
        .unwrap();
    let left = store.runs("one").unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(
        (left[0].label.as_str(), left[0].error.as_deref()),
        ("base=strong", Some("no memory"))
    );
    assert_eq!(store.find_experiment("one").unwrap(), changed);
    assert_eq!(stage_status(&store, "evaluate"), Status::Done);
    assert_eq!(store.episodes(&key("evaluate")).unwrap().len(), 3);
    assert_eq!(store.checkpoints("one").unwrap().len(), 1);
}

#[test]
fn a_done_run_that_needs_more_is_queued_again() {
    let (_folder, mut store) = fresh_store();
    record_evaluation(&mut store);
    store
        .record_stage_results(&key("base"), &StageResults::default())
        .unwrap();
    for name in ["weak", "strong"] {
        store
            .set_run_status("one", &key(name), Status::Done, None)
            .unwrap();
    }
    store
        .record_experiment(&experiment("one"), &runs(), &stages())
        .unwrap();
    let statuses: Vec<_> = store
        .runs("one")
        .unwrap()
        .into_iter()
        .map(|row| row.status)
        .collect();
    assert_eq!(statuses, [Status::Done, Status::Queued]);
}

#[test]
fn one_run_may_be_part_of_two_experiments() {
    let (_folder, mut store) = fresh_store();
    store
        .record_experiment(&experiment("two"), &runs()[..1], &stages())
        .unwrap();
    store
        .set_run_status("two", &key("weak"), Status::Done, None)
        .unwrap();
    assert_eq!(store.runs("one").unwrap()[0].status, Status::Queued);
    assert_eq!(
        store.find_run("base=weak seed=3").unwrap().experiment,
        "one"
    );
}

#[test]
fn a_plan_that_does_not_fit_is_refused_whole() {
    let (_folder, mut store) = fresh_store();
    let lost = PlannedRunRow {
        stages: vec![key("nowhere")],
        ..run("lost", 0, "evaluate")
    };
    let refused = store.record_experiment(&experiment("two"), &[lost], &[stage("new", &[])]);
    assert!(
        matches!(refused, Err(StoreError::UnknownStage { .. })),
        "{refused:?}"
    );
    let huge = PlannedRunRow {
        seed: u64::MAX,
        ..run("huge", 0, "evaluate")
    };
    assert!(matches!(
        store.record_experiment(&experiment("two"), &[huge], &[]),
        Err(StoreError::BadRun { .. })
    ));
    let stray = PlannedRunRow {
        key: key("other"),
        ..run("stray", 0, "evaluate")
    };
    assert!(matches!(
        store.record_experiment(&experiment("two"), &[stray], &[]),
        Err(StoreError::BadRun { .. })
    ));
    assert_eq!(store.experiments().unwrap().len(), 1);
    assert_eq!(store.stage(&key("new")).unwrap(), None);
}

#[test]
fn a_run_is_found_by_key_prefix_and_label() {
    let (_folder, store) = fresh_store();
    let weak = key("weak");
    for given in [
        weak.as_str(),
        weak.short(),
        &weak.as_str()[..4].to_uppercase(),
        "base=weak seed=3",
    ] {
        assert_eq!(store.find_run(given).unwrap().key, weak, "{given}");
    }
    insta::assert_snapshot!(store.find_run("base=weka seed=3").unwrap_err(), @"no run has the key or label `base=weka seed=3` (did you mean `base=weak seed=3`?); `rise-lab runs` lists them");
    insta::assert_snapshot!(store.find_experiment("ome").unwrap_err(), @"no experiment is called `ome` (did you mean `one`?); `rise-lab runs` lists what there is");
    assert!(matches!(
        store.find_run("0000"),
        Err(StoreError::UnknownRun { nearest: None, .. })
    ));
}

#[test]
fn a_label_of_two_different_runs_is_ambiguous() {
    let (_folder, mut store) = fresh_store();
    let twin = PlannedRunRow {
        label: "base=weak seed=3".to_owned(),
        ..run("twin", 0, "evaluate")
    };
    store
        .record_experiment(&experiment("two"), &[twin], &[])
        .unwrap();
    let found = store.find_run("base=weak seed=3");
    assert!(
        matches!(found, Err(StoreError::AmbiguousRun { ref candidates, .. }) if candidates.len() == 2)
    );
}
