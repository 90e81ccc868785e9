//! Results: what is done does not change, contradicts nothing, and stands beside newer grades.

use super::*;

#[test]
fn what_is_done_cannot_change() {
    let (_folder, mut store) = fresh_store();
    record_evaluation(&mut store);
    let before = store.stage(&key("evaluate")).unwrap();
    let again = [
        store.record_stage_results(&key("evaluate"), &evaluate_results()),
        store.record_stage_results(&key("evaluate"), &StageResults::default()),
        store.record_stage_start(&key("evaluate")),
        store.record_stage_failure(&key("evaluate"), "late"),
        store.record_stage_interruption(&key("evaluate")),
    ];
    assert!(
        again
            .iter()
            .all(|result| matches!(result, Err(StoreError::StageAlreadyDone { .. }))),
        "{again:?}"
    );
    assert_eq!(store.stage(&key("evaluate")).unwrap(), before);
    assert_eq!(store.episodes(&key("evaluate")).unwrap().len(), 3);
}

#[test]
fn not_even_another_program_changes_what_is_done() {
    let (folder, mut store) = fresh_store();
    record_evaluation(&mut store);
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
        assert!(
            refused.to_string().contains("cannot change"),
            "{sql}: {refused}"
        );
    }
}

#[test]
fn references_must_exist() {
    let (folder, _store) = fresh_store();
    let shell = rusqlite::Connection::open(folder.path().join("rise-lab.db")).unwrap();
    shell.pragma_update(None, "foreign_keys", true).unwrap();
    let orphan = "INSERT INTO artifacts (stage, name, sha256, bytes) VALUES (999, 'x', 'x', 0)";
    assert!(
        shell
            .execute(orphan, [])
            .unwrap_err()
            .to_string()
            .contains("FOREIGN KEY")
    );
    assert!(
        shell.execute("DELETE FROM stages", []).is_err(),
        "a stage that a run uses cannot go"
    );
}

#[test]
fn contradicting_results_leave_no_trace() {
    let (_folder, mut store) = fresh_store();
    store.record_metrics(&[metric(1)]).unwrap();
    let unscored = StageResults {
        scores: vec![ScoreRow {
            metric: "m9".into(),
            ..score("p", 0.0)
        }],
        ..evaluate_results()
    };
    let refused = store.record_stage_results(&key("evaluate"), &unscored);
    assert!(
        matches!(refused, Err(StoreError::UnknownMetric { .. })),
        "{refused:?}"
    );
    let nan = StageResults {
        scores: vec![score("p/9", f64::NAN)],
        ..evaluate_results()
    };
    let twice = StageResults {
        episodes: vec![episode("p/9", 0), episode("p/9", 0)],
        ..evaluate_results()
    };
    let ungraded = StageResults {
        grader: None,
        ..evaluate_results()
    };
    let mut empty = evaluate_results();
    empty.episodes[0].turns[1] = Turn::new(Vec::new(), 0);
    for results in [nan, twice, ungraded, empty] {
        let refused = store.record_stage_results(&key("evaluate"), &results);
        assert!(
            matches!(refused, Err(StoreError::BadResults { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(stage_status(&store, "evaluate"), Status::Queued);
    let left = "SELECT (SELECT count(*) FROM episodes) + (SELECT count(*) FROM points) + (SELECT count(*) FROM artifacts)";
    assert_eq!(store.query(left, 1).unwrap().rows, [[json!(0)]]);
}

#[test]
fn metrics_are_versioned() {
    let (_folder, mut store) = fresh_store();
    record_evaluation(&mut store);
    let reworded = MetricRow {
        meaning: "Clearer.".to_owned(),
        ..metric(1)
    };
    store
        .record_metrics(&[reworded.clone(), metric(2)])
        .unwrap();
    assert_eq!(store.reader().metrics().unwrap(), [reworded, metric(2)]);
    let changed = store.record_metrics(&[MetricRow {
        higher_is_better: None,
        ..metric(1)
    }]);
    assert!(matches!(
        changed,
        Err(StoreError::MetricChanged { version: 1, .. })
    ));
    assert_eq!(
        store.scores(&key("evaluate")).unwrap().len(),
        2,
        "scores of the older version still count"
    );
    store
        .record_stage_results(&key("evaluate greedily"), &evaluate_results())
        .unwrap();
    let versions = store
        .query(
            "SELECT DISTINCT run, metric_version FROM problem_scores ORDER BY 2",
            9,
        )
        .unwrap();
    assert_eq!(
        versions.rows,
        [
            [json!(key("weak")), json!(1)],
            [json!(key("strong")), json!(2)]
        ]
    );
}

#[test]
fn newer_grades_and_scores_stand_beside_the_old_ones() {
    let (folder, mut store) = fresh_store();
    record_evaluation(&mut store);
    store.record_metrics(&[metric(2)]).unwrap();
    let shell = rusqlite::Connection::open(folder.path().join("rise-lab.db")).unwrap();
    let added = "INSERT INTO graders (id, name, version) VALUES (70, 'rise-compat', 1);
                 INSERT INTO grades SELECT candidate, 70, 'x', 'wrong' FROM grades;
                 INSERT INTO scores SELECT stage, metric, 70, problem, 0.5 FROM scores;
                 INSERT INTO scores SELECT s.stage, m.id, s.grader, s.problem, 0.75 FROM scores s, metrics m
                 WHERE m.version = 2 AND s.grader <> 70;";
    shell.execute_batch(added).unwrap();
    assert_eq!(
        store.episodes(&key("evaluate")).unwrap()[0],
        episode("p/9", 0)
    );
    assert_eq!(
        store.scores(&key("evaluate")).unwrap(),
        [score("p/10", 0.75), score("p/9", 0.75)]
    );
}

/// What a further grader makes of [`evaluated`]: nine texts, three of each episode.
fn regrade_results(name: &str, verdict: GradeVerdict) -> RegradeResults {
    let answer = (verdict != GradeVerdict::Unreadable).then(|| "4".to_owned());
    RegradeResults {
        grader: (name.to_owned(), 1),
        grades: vec![Grade { answer, verdict }; 9],
        scores: if verdict == GradeVerdict::Unreadable {
            vec![]
        } else {
            vec![score("p/9", 0.5), score("p/10", 0.5)]
        },
    }
}

fn coverage_by_grader(store: &Store, name: &str) -> Option<GraderCoverage> {
    let rows = store.grader_coverage(&key("evaluate")).unwrap();
    rows.into_iter().find(|rows| rows.grader.0 == name)
}

#[test]
fn further_graders_stand_beside_the_stages_own() {
    let (_folder, mut store) = fresh_store();
    store.record_metrics(&[metric(1)]).unwrap();
    let beside = vec![
        regrade_results("right", GradeVerdict::Right),
        regrade_results("silent", GradeVerdict::Unreadable),
    ];
    store
        .record_stage_results(&key("prepare"), &prepare_results())
        .unwrap();
    store
        .record_stage_results(
            &key("evaluate"),
            &StageResults {
                regrades: beside,
                ..evaluate_results()
            },
        )
        .unwrap();
    let evaluation = key("evaluate");
    assert_eq!(
        store.episodes(&evaluation).unwrap()[0],
        episode("p/9", 0),
        "its own grader answers"
    );
    assert_eq!(
        store.scores(&evaluation).unwrap(),
        [score("p/10", 0.0), score("p/9", 1.0)]
    );
    let right = ("right".to_owned(), 1);
    assert_eq!(
        store.scores_by_grader(&evaluation, &right).unwrap(),
        [score("p/10", 0.5), score("p/9", 0.5)]
    );
    assert_eq!(
        store
            .scores_by_grader(&evaluation, &("nobody".to_owned(), 1))
            .unwrap(),
        []
    );
    // Each episode has an unreadable, a wrong and a right text.
    assert_eq!(
        store.grader_disagreement(&evaluation, &right).unwrap(),
        (6, 9)
    );
    let names: Vec<_> = store
        .grader_coverage(&evaluation)
        .unwrap()
        .into_iter()
        .map(|rows| rows.grader.0)
        .collect();
    assert_eq!(names, ["numeric", "right", "silent"]);
    assert_eq!(
        store.grader_coverage(&key("evaluate greedily")).unwrap(),
        [],
        "nothing of it was graded yet"
    );
    let silent = coverage_by_grader(&store, "silent").unwrap();
    assert_eq!(
        (silent.reads_nothing, silent.graded, silent.attempts),
        (true, 0, 9)
    );
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
    assert_eq!(
        counted("SELECT grader FROM run_scores"),
        [[json!("numeric")]]
    );
    assert_eq!(
        counted("SELECT grader FROM stage_scores"),
        [[json!("numeric")]]
    );
    assert_eq!(
        counted("SELECT DISTINCT grader FROM problem_scores"),
        [[json!("numeric")]]
    );
}

#[test]
fn grades_are_added_to_finished_stages_once_and_nothing_else_changes() {
    let (folder, mut store) = fresh_store();
    let evaluation = key("evaluate");
    let early = store.add_regrade(
        &evaluation,
        &[],
        &regrade_results("right", GradeVerdict::Right),
    );
    assert!(
        matches!(early, Err(StoreError::BadResults { .. })),
        "{early:?}"
    );
    assert!(matches!(
        store.add_regrade(&key("no"), &[], &regrade_results("x", GradeVerdict::Right)),
        Err(StoreError::UnknownStage { .. })
    ));
    record_evaluation(&mut store);
    let (stage, episodes) = (
        store.stage(&evaluation).unwrap(),
        store.episodes(&evaluation).unwrap(),
    );
    assert_eq!(
        store.eval_shape(&evaluation).unwrap(),
        Some(EvalShapeRow {
            problems: 2,
            turns: 2,
            samples: 1,
            may_stop_early: false,
            self_verifies: false
        })
    );
    assert_eq!(store.eval_shape(&key("prepare")).unwrap(), None);
    let behind = store.ancestor_problems(&evaluation).unwrap();
    assert_eq!(behind.keys().collect::<Vec<_>>(), ["p/1", "p/10", "p/9"]);
    let right = regrade_results("right", GradeVerdict::Right);
    let added = store.add_regrade(&evaluation, &episodes, &right).unwrap();
    assert_eq!(
        added,
        InsertedCounts {
            grades: 9,
            scores: 2,
            reads_nothing: false
        }
    );
    let changed = RegradeResults {
        grades: regrade_results("x", GradeVerdict::Wrong).grades,
        ..right
    };
    assert_eq!(
        store.add_regrade(&evaluation, &episodes, &changed).unwrap(),
        InsertedCounts::default(),
        "what is there stays"
    );
    let silent = regrade_results("silent", GradeVerdict::Unreadable);
    assert!(
        store
            .add_regrade(&evaluation, &episodes, &silent)
            .unwrap()
            .reads_nothing
    );
    assert_eq!(
        store.add_regrade(&evaluation, &episodes, &silent).unwrap(),
        InsertedCounts::default()
    );
    let newer = RegradeResults {
        grader: ("right".to_owned(), 2),
        ..regrade_results("right", GradeVerdict::Wrong)
    };
    assert_eq!(
        store
            .add_regrade(&evaluation, &episodes, &newer)
            .unwrap()
            .grades,
        9,
        "an older version's rows stay"
    );
    let lost = store.add_regrade(
        &evaluation,
        &[episode("p/1", 0)],
        &regrade_results("lost", GradeVerdict::Right),
    );
    assert!(
        matches!(lost, Err(StoreError::BadResults { .. })),
        "{lost:?}"
    );
    assert_eq!(
        coverage_by_grader(&store, "lost"),
        None,
        "nothing of it is stored"
    );
    assert_eq!(
        (
            store.stage(&evaluation).unwrap(),
            store.episodes(&evaluation).unwrap()
        ),
        (stage, episodes)
    );
    assert_eq!(
        store
            .grader_disagreement(&evaluation, &("right".to_owned(), 1))
            .unwrap(),
        (6, 9)
    );
    let shell = rusqlite::Connection::open(folder.path().join("rise-lab.db")).unwrap();
    let refused = shell
        .execute("UPDATE unread SET attempts = 0", [])
        .unwrap_err();
    assert!(refused.to_string().contains("cannot change"), "{refused}");
}

#[test]
fn a_hundred_thousand_texts_go_in_with_one_transaction() {
    let (_folder, mut store) = fresh_store();
    let turns = || {
        (0..10)
            .map(|n| Turn::single(candidate(&n.to_string(), GradeVerdict::Wrong)))
            .collect()
    };
    let episodes = (0..10_000).map(|n| Episode {
        problem: format!("p/{n}"),
        sample: 0,
        turns: turns(),
    });
    let results = StageResults {
        episodes: episodes.collect(),
        grader: Some(("numeric".to_owned(), 1)),
        ..StageResults::default()
    };
    store
        .record_stage_results(&key("evaluate"), &results)
        .unwrap();
    let counted = store
        .query("SELECT count(*), count(DISTINCT problem) FROM attempts", 1)
        .unwrap();
    assert_eq!(counted.rows, [[json!(100_000), json!(10_000)]]);
    let back = store.episodes(&key("evaluate")).unwrap();
    assert!(back.len() == 10_000 && back.iter().all(|episode| episode.turns.len() == 10));
}

#[test]
fn every_view_speaks_in_names() {
    let (_folder, mut store) = fresh_store();
    record_evaluation(&mut store);
    let first = |sql: &str| {
        let table = store.query(sql, 1).unwrap();
        table
            .rows
            .first()
            .map(|row| serde_json::to_string(row).unwrap())
            .unwrap_or_default()
    };
    let shown = [
        first("SELECT label, axis, value FROM run_axes WHERE axis = 'rounds'"),
        first("SELECT label, checkpoint, status FROM run_checkpoints"),
        first(
            "SELECT label, checkpoint, metric, metric_version, grader, problems, mean FROM run_scores",
        ),
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
