//! A small made-up experiment for the tests of the report: two bases, two weightings, RISE and
//! supervised fine-tuning. Never compiled into the program.

use std::collections::BTreeMap;

use serde_json::json;

use crate::domain::{
    Candidate, CandidateAuthor, Episode, Grade, GradeVerdict, Key, MetricPoint, Problem, Turn,
};
use crate::stats::ResampleRng;
use crate::store::{MetricRow, StageRow, StageSharing, Status};

use super::{EvaluatedCheckpoint, MetricScores, RegradedEvaluation, ReportData, ReportRun};

/// How a made-up model behaves: right at turn 1, wrong to right, right to wrong.
type TransitionRates = (f64, f64, f64);

/// Base, weighting, method, seeds, and how each checkpoint behaves.
type SampleCondition = (
    &'static str,
    &'static str,
    &'static str,
    &'static [u64],
    &'static [(&'static str, TransitionRates)],
);

const WEAK: [(&str, TransitionRates); 3] = [
    ("base", (0.20, 0.01, 0.20)),
    ("round 1", (0.36, 0.20, 0.17)),
    ("round 2", (0.50, 0.24, 0.10)),
];
const UNIFORM: [(&str, TransitionRates); 3] = [
    ("base", (0.20, 0.01, 0.20)),
    ("round 1", (0.25, 0.18, 0.17)),
    ("round 2", (0.32, 0.18, 0.14)),
];
const STRONG: [(&str, TransitionRates); 3] = [
    ("base", (0.68, 0.01, 0.03)),
    ("round 1", (0.74, 0.30, 0.09)),
    ("round 2", (0.78, 0.33, 0.08)),
];
const WEAK_SFT: [(&str, TransitionRates); 2] =
    [("base", (0.20, 0.01, 0.20)), ("sft", (0.59, 0.01, 0.15))];
const STRONG_SFT: [(&str, TransitionRates); 2] =
    [("base", (0.68, 0.01, 0.03)), ("sft", (0.77, 0.01, 0.08))];

/// The experiment on 60 problems.
pub(crate) fn sample_data() -> ReportData {
    sample_data_with(60)
}

/// The experiment on this number of problems.
pub(crate) fn sample_data_with(problems: usize) -> ReportData {
    let mut data = ReportData {
        name: "ablations".to_owned(),
        question: "Does recursive introspection teach a small model to correct itself?".to_owned(),
        stage_counts: StageSharing {
            requested: 48,
            distinct: 20,
        },
        graders: [("numeric".to_owned(), 1).into()].into(),
        problems: (0..problems)
            .map(|at| format!("word-problems/test/{at:04}"))
            .collect(),
        metrics: ["m1@t1", "m1@t5"]
            .map(metric_row)
            .into_iter()
            .chain(nll_metrics())
            .collect(),
        ..ReportData::default()
    };
    let cells: [SampleCondition; 5] = [
        ("weak", "exp(0.4)", "rise", &[0, 1], &WEAK),
        ("weak", "uniform", "rise", &[0], &UNIFORM),
        ("weak", "exp(0.4)", "sft", &[0], &WEAK_SFT),
        ("strong", "exp(0.4)", "rise", &[0], &STRONG),
        ("strong", "exp(0.4)", "sft", &[0], &STRONG_SFT),
    ];
    for (base, weighting, method, seeds, checkpoints) in cells {
        for &seed in seeds {
            let axes = [("base", base), ("weighting", weighting), ("method", method)];
            add_run(&mut data, &axes, seed, checkpoints, problems);
        }
    }
    data.regraded = [(
        ("rise-compat".to_owned(), 1).into(),
        regraded_evaluations(&data),
    )]
    .into();
    data
}

/// A further grader that finds nothing right.
fn regraded_evaluations(data: &ReportData) -> BTreeMap<Key, RegradedEvaluation> {
    let mut regraded = BTreeMap::new();
    for (evaluation, scores) in &data.scores {
        let mut scores = scores.clone();
        for score in scores.values_mut().flatten() {
            score.1 = 0.0;
        }
        let other = RegradedEvaluation {
            scores,
            attempts: 20,
            disagreements: 5,
        };
        regraded.insert(evaluation.clone(), other);
    }
    regraded
}

fn nll_metrics() -> [MetricRow; 3] {
    ["nll@t1", "nll@t2", "nll@t3"].map(|name| MetricRow {
        unit: "nats".to_owned(),
        ..metric_row(name)
    })
}

fn metric_row(name: &str) -> MetricRow {
    MetricRow {
        name: name.to_owned(),
        version: 1,
        unit: "fraction".to_owned(),
        higher_is_better: Some(true),
        meaning: "Made up for a test.".to_owned(),
    }
}

fn add_run(
    data: &mut ReportData,
    axes: &[(&str, &str)],
    seed: u64,
    habits: &[(&str, TransitionRates)],
    problems: usize,
) {
    let axes: Vec<(String, String)> = axes
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect();
    let words: Vec<String> = axes
        .iter()
        .map(|(path, label)| format!("{path}={label}"))
        .collect();
    let label = format!("{} seed={seed}", words.join(" "));
    let mut checkpoints = Vec::new();
    for (name, habits) in habits {
        let (weights, evaluation) = (
            Key::from_value(&format!("train {label} {name}")),
            Key::from_value(&format!("evaluate {label} {name}")),
        );
        let verdicts = simulate_verdicts(*habits, &format!("{label} {name}"), problems);
        data.scores
            .insert(evaluation.clone(), sample_scores(&verdicts));
        data.episodes.insert(
            evaluation.clone(),
            sample_episodes(&data.problems, &verdicts),
        );
        if *name != "base" {
            data.curves
                .insert(weights.clone(), loss_curve(&format!("{label} {name}")));
        }
        let kind = if *name == "base" { "base" } else { "train" };
        data.stages.push(stage_row(
            &weights,
            kind,
            json!({ "trained_tokens": 61_200, "parameters": 450_000 }),
        ));
        data.stages.push(stage_row(
            &evaluation,
            "evaluate",
            json!({ "sampled_tokens": 9_300 }),
        ));
        data.inputs
            .insert(evaluation.clone(), vec![weights.clone()]);
        checkpoints.push(EvaluatedCheckpoint {
            name: (*name).into(),
            weights,
            evaluation,
        });
    }
    for id in &data.problems {
        for checkpoint in &checkpoints {
            data.problem_texts.insert(
                (checkpoint.evaluation.clone(), id.clone()),
                sample_problem(id),
            );
        }
    }
    data.runs.push(ReportRun {
        key: Key::from_value(&label),
        label,
        seed,
        spec: json!({
            "base": axes[0].1,
            "method": axes[2].1,
            "train": { "epochs": if axes[1].1 == "uniform" { 1 } else { 3 } },
        }),
        axes,
        status: Status::Done,
        error: None,
        checkpoints,
    });
}

fn sample_problem(id: &str) -> Problem {
    Problem {
        id: id.to_owned(),
        question: "Ann has 8 cards. She gives 6 away and buys 16 more. How many cards has she now?"
            .to_owned(),
        answer: "18".to_owned(),
        solution: None,
    }
}

fn stage_row(key: &Key, kind: &str, counts: serde_json::Value) -> StageRow {
    StageRow {
        key: key.clone(),
        kind: kind.to_owned(),
        label: "made up".to_owned(),
        status: Status::Done,
        seconds: Some(1.5),
        counts,
        origin: json!({ "backend": "flex", "instruction_set": "avx2", "program": "0.1.0", "host": "laptop" }),
        error: None,
        attempts: 1,
        peak_bytes: None,
    }
}

/// Right or wrong by problem and turn; five turns, then four further first turns.
fn simulate_verdicts(rates: TransitionRates, name: &str, problems: usize) -> Vec<[bool; 9]> {
    let mut stream = ResampleRng::from_name(name);
    let difficulties = (0..problems).map(|at| (at as f64 * 0.618_034).fract());
    difficulties
        .map(|difficulty| simulate_problem(rates, difficulty, &mut stream))
        .collect()
}

fn simulate_problem(
    (first, gain, loss): TransitionRates,
    difficulty: f64,
    stream: &mut ResampleRng,
) -> [bool; 9] {
    let mut right = [false; 9];
    // All attempts share the problem's difficulty.
    let chance = (first + 0.6 * (0.5 - difficulty) * first * (1.0 - first) * 4.0).clamp(0.0, 1.0);
    right[0] = stream.uniform() < chance;
    for turn in 1..5 {
        let draw = stream.uniform();
        right[turn] = if right[turn - 1] {
            draw >= loss
        } else {
            draw < gain
        };
    }
    for sample in &mut right[5..] {
        *sample = stream.uniform() < chance;
    }
    right
}

const fn one_if(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// Scores like those of the analyses of a checkpoint.
fn add_analysis_scores(right: &[bool; 9], problem: u32, put: &mut impl FnMut(&str, f64)) {
    for turn in 2..=5 {
        let (before, now) = (right[turn - 2], right[turn - 1]);
        put(
            &format!("edit@t{turn}"),
            if before == now { 0.1 } else { 0.4 },
        );
        put(
            &format!("same@t{turn}"),
            one_if(before == now && problem.is_multiple_of(2)),
        );
        put(
            &format!("corrected-small@t{turn}"),
            one_if(!before && now && problem.is_multiple_of(3)),
        );
        put(&format!("right-to-right@t{turn}"), one_if(before && now));
    }
    let unsolved = !right[0] && !right[5..].contains(&true);
    put("unsolved@5", one_if(unsolved));
    if unsolved {
        put("unsolved-any@5", one_if(right[1..5].contains(&true)));
        put("unsolved-more@5", one_if(problem.is_multiple_of(7)));
        put("unsolved-vote@5", one_if(right[3] && right[4]));
        put("unsolved-more-vote@5", 0.0);
    }
    for (turn, less) in [(1, 0.0), (2, 0.1), (3, 0.15)] {
        put(
            &format!("nll@t{turn}"),
            0.4 - less + 0.2 * one_if(!right[0]),
        );
    }
}

fn sample_scores(verdicts: &[[bool; 9]]) -> MetricScores {
    let mut scores: MetricScores = BTreeMap::new();
    for (right, problem) in verdicts.iter().zip(0..) {
        let mut put = |metric: &str, value: f64| {
            scores
                .entry(metric.into())
                .or_default()
                .push((problem, value));
        };
        let sequential = right[..5].iter().filter(|&&right| right).count();
        let parallel = usize::from(right[0]) + right[5..].iter().filter(|&&right| right).count();
        put("m1@t1", one_if(right[0]));
        put("m5@t1", one_if(parallel >= 2));
        put("m1@t5", one_if(sequential >= 2));
        put("m1@t5-low", one_if(sequential >= 3));
        put("m1@t5-high", one_if(sequential >= 2));
        put("p1@t5", one_if(sequential >= 1));
        put("tie@t5", one_if(sequential == 2));
        put("unreadable", 0.0);
        put("tokens", 28.0 + f64::from(problem % 5));
        for turns in 2..5 {
            put(
                &format!("m1@t{turns}"),
                one_if(right[..turns].iter().filter(|&&right| right).count() * 2 > turns),
            );
        }
        add_analysis_scores(right, problem, &mut put);
        for (turn, &right) in (1..=5).zip(right) {
            put(&format!("accuracy@t{turn}"), one_if(right));
        }
        for turn in 1..5 {
            let (was, is) = (right[turn - 1], right[turn]);
            put(&format!("wrong-to-right@t{}", turn + 1), one_if(!was && is));
            put(&format!("right-to-wrong@t{}", turn + 1), one_if(was && !is));
            put(&format!("unchanged@t{}", turn + 1), one_if(was == is));
        }
    }
    scores
}

fn sample_episodes(ids: &[String], verdicts: &[[bool; 9]]) -> Vec<Episode> {
    let episodes = ids.iter().zip(verdicts).map(|(id, right)| Episode {
        problem: id.clone(),
        sample: 0,
        turns: right[..5]
            .iter()
            .map(|&right| Turn::single(sample_candidate(right)))
            .collect(),
    });
    episodes.collect()
}

fn sample_candidate(right: bool) -> Candidate {
    let (text, answer, verdict) = if right {
        ("8-6=2\n2+16=18\n#### 18", "18", GradeVerdict::Right)
    } else {
        ("8-6=2\n2+16=19\n#### 19", "19", GradeVerdict::Wrong)
    };
    Candidate {
        author: CandidateAuthor::Policy,
        text: text.to_owned(),
        tokens: 28,
        prompt_tokens: 40,
        finished: true,
        grade: Grade {
            answer: Some(answer.to_owned()),
            verdict,
        },
    }
}

fn loss_curve(name: &str) -> Vec<MetricPoint> {
    let mut stream = ResampleRng::from_name(name);
    let level = 0.15 + 0.3 * stream.uniform();
    let points = (0..300).map(|step: u64| MetricPoint {
        series: "loss".to_owned(),
        step,
        value: level + 0.9 * (-(step as f64) / 90.0).exp() + 0.08 * stream.uniform(),
    });
    points.collect()
}
