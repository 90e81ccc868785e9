//! Every method, protocol and analysis through the program: what each leaves in the database.

use crate::support::{Lab, METHODS};

/// (label, checkpoint, mean) of a metric.
fn scores(lab: &Lab, metric: &str) -> Vec<(String, String, String)> {
    let sql = format!(
        "SELECT label, checkpoint, mean FROM run_scores WHERE metric = '{metric}' ORDER BY label, position"
    );
    let row = |row: Vec<String>| {
        let [label, checkpoint, mean] = row.try_into().expect("three columns");
        (label, checkpoint, mean)
    };
    lab.query(&sql).into_iter().map(row).collect()
}

fn finished() -> Lab {
    let lab = Lab::new();
    lab.on_store(&["sweep", METHODS, "--jobs", "2", "--no-report"])
        .expect_exit(0);
    lab
}

#[test]
fn every_method_protocol_and_analysis_leaves_its_scores() {
    let lab = finished();
    let sql = "SELECT DISTINCT label, checkpoint FROM run_scores ORDER BY label, checkpoint";
    let scored: Vec<[String; 2]> = lab
        .query(sql)
        .into_iter()
        .map(|row| row.try_into().expect("two columns"))
        .collect();
    for (method, checkpoint) in [
        ("baseline", "round 1"),
        ("method=sft-right", "sft-right"),
        ("method=sft-right-and-wrong", "sft-right-and-wrong"),
        ("method=rft", "rft round 1"),
        ("method=star", "star round 1"),
        ("method=pair-sft", "pair-sft"),
        ("method=self-refine", "self-refine"),
        ("method=v-star", "v-star"),
        ("method=glore", "glore"),
        ("method=self-rewarding", "self-rewarding"),
        ("method=score", "score stage 2"),
        ("method=grpo", "grpo"),
        ("boost=", "boost"),
    ] {
        let there = |[label, name]: &[String; 2]| {
            (label == &format!("{method} seed=0")
                || label.starts_with(method) && method.ends_with('='))
                && name == checkpoint
        };
        assert!(
            scored.iter().any(there),
            "{method} has no scores of `{checkpoint}`: {scored:?}"
        );
    }
    for metric in [
        "unsolved@2",
        "nll@t2",
        "equal-tokens@t1",
        "equal-tokens-short",
        "verified@t1",
        "best-of-1",
        "reranked-of-3",
    ] {
        assert!(
            !scores(&lab, metric).is_empty(),
            "no run has a score `{metric}`"
        );
    }
    let rescored = lab.on_store(&["rescore"]);
    rescored.expect_exit(0);
    assert!(
        rescored.stdout.contains("no grade or score is missing"),
        "{}",
        rescored.stdout
    );
    // With an oracle a dialogue ends where it is right: its last turns are right just as often as
    // any turn is without one.
    let of = |metric: &str, run: &str| -> Vec<String> {
        let all = scores(&lab, metric);
        all.into_iter()
            .filter(|(label, ..)| label == &format!("{run} seed=0"))
            .map(|row| row.2)
            .collect()
    };
    let oracle = of("accuracy@t2", "evaluate.oracle=true");
    assert_eq!(oracle, of("p1@t2", "baseline"));
    assert_eq!(oracle.len(), 2);
    // The first attempt does not depend on what is said after it.
    assert_eq!(
        of("m1@t1", "evaluate.protocol=self-refine"),
        of("m1@t1", "baseline")
    );
}
