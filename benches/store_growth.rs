//! What the run database answers, and how fast, when a laboratory has used it for long: about
//! 10,000 runs and 1,000,000 attempts.
//!
//! ```text
//! cargo bench --bench store_growth                       # fills a database (about a minute), asks, prints
//! cargo bench --bench store_growth -- --runs 2000        # fewer experiments of 100 runs each
//! cargo bench --bench store_growth -- --keep FOLDER      # fills FOLDER once, asks it again later
//! cargo bench --bench store_growth -- --repeat 9         # medians of nine instead of five
//! cargo bench --bench store_growth -- --beside rise-compat    # a further grader grades every text too
//! ```
//!
//! The database is written through the store's own functions, with made-up results that depend on
//! nothing but their place. The first experiment, `cells`, is a wide one: 100 cells around a
//! baseline on eleven axes, each evaluated on 500 problems in five turns and five samples, before
//! and after training; every metric of the program is scored on them. The other experiments have
//! as many runs on a few problems each. Then the real program is asked, as whole processes that
//! find the files in the system's cache, and the medians are printed as one line of JSON:
//!
//! ```text
//! {"part": "store", "runs": 10000, "attempts": 1078200, "runs_filter_ms": ..., "report_ms": ..., ...}
//! ```

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rise_lab::config::RunSpec;
use rise_lab::data::GraderConfig;
use rise_lab::domain::{
    Candidate, CandidateAuthor, Episode, EvalShape, Grade, GradeVerdict, Key, MetricPoint, Problem,
    Split, Turn,
};
use rise_lab::eval;
use rise_lab::pipeline::{EvalScorer, regrade};
use rise_lab::store::{
    ArtifactRow, CheckpointRow, ExperimentRow, MetricRow, PlannedRunRow, PlannedStageRow, ScoreRow,
    StageResults, Status, Store, StoreReader,
};
use serde_json::{Value, json};

/// Cells of an experiment, and its runs, since each has one seed.
const CELLS: usize = 100;
/// Axes, each with ten values: one baseline and nine others of every axis are 100 cells.
const AXES: usize = 11;
const TURNS: u32 = 5;
const SAMPLES: u32 = 5;
/// Both as the shape of an evaluation.
const EXTENT: EvalShape = EvalShape {
    turns: TURNS as usize,
    samples: SAMPLES as usize,
    may_stop_early: false,
    self_verifies: false,
};
/// Problems of the wide experiment, and of each other one.
const PROBLEMS: [usize; 2] = [500, 7];
/// Steps of a training curve.
const STEPS: u64 = 40;

fn main() {
    let options = GrowthOptions::read();
    let scratch = tempfile::tempdir().expect("there is room for temporary files");
    let folder = options
        .keep
        .clone()
        .unwrap_or_else(|| scratch.path().to_owned());
    let begun = Instant::now();
    if !folder.join("rise-lab.db").exists() {
        fill(&folder, options.runs.div_ceil(CELLS), options.beside);
    }
    let filled = begun.elapsed().as_secs_f64();
    let reader = StoreReader::open(&folder).expect("the database is there");
    let count = |sql: &str| reader.query(sql, 1).expect("a sound query").rows[0][0].clone();
    let mut line = json!({
        "part": "store",
        "runs": count("SELECT count(*) FROM runs"),
        "attempts": count("SELECT count(*) FROM candidates"),
        "scores": count("SELECT count(*) FROM scores"),
        "database_mb": folder.join("rise-lab.db").metadata().map_or(0, |file| file.len() >> 20),
        "filled_s": round(filled),
        "beside": options.beside.map(|grader| grader.to_string()),
        "cells": CELLS,
        "repeat": options.repeat,
    });
    for (name, arguments) in questions(scratch.path()) {
        line[name] = json!(round(median(options.repeat, || asked(&folder, &arguments))));
    }
    println!("{line}");
}

struct GrowthOptions {
    runs: usize,
    repeat: usize,
    keep: Option<PathBuf>,
    beside: Option<GraderConfig>,
}

impl GrowthOptions {
    /// What was typed after `--`; cargo adds a `--bench` of its own.
    fn read() -> Self {
        let mut options = Self {
            runs: 10_000,
            repeat: 5,
            keep: None,
            beside: None,
        };
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let value = words
                .next()
                .unwrap_or_else(|| panic!("`{word}` needs a value"));
            match word.as_str() {
                "--runs" => options.runs = value.parse().expect("a number of runs"),
                "--repeat" => options.repeat = value.parse().expect("a number of repetitions"),
                "--keep" => options.keep = Some(value.into()),
                "--beside" => options.beside = Some(value.parse().expect("a grader")),
                other => panic!("`{other}` is none of --runs, --repeat, --keep, --beside"),
            }
        }
        options
    }
}

/// What is asked, by the name of its figure.
fn questions(scratch: &Path) -> Vec<(&'static str, Vec<String>)> {
    let means = "SELECT label, checkpoint, mean FROM run_scores
                 WHERE experiment = 'cells' AND metric = 'm1@t5' ORDER BY mean DESC";
    let texts = "SELECT problem, text, verdict FROM attempts
                 WHERE stage = (SELECT evaluation FROM run_checkpoints
                                WHERE experiment = 'cells' AND checkpoint = 'round 1' LIMIT 1)
                 AND turn = 4 ORDER BY problem";
    let costs = "SELECT kind, count(*), sum(seconds) FROM stage_costs GROUP BY kind";
    let out = scratch.join("reports").to_string_lossy().into_owned();
    let questions: [(&str, &[&str]); 9] = [
        (
            "runs_filter_ms",
            &["runs", "--where", "axis-3=value 4", "--status", "done"],
        ),
        (
            "runs_filter_json_ms",
            &["runs", "--where", "axis-3=value 4", "--format", "json"],
        ),
        ("runs_experiment_ms", &["runs", "--experiment", "cells"]),
        ("query_means_ms", &["query", means]),
        ("query_texts_ms", &["query", texts]),
        ("query_costs_ms", &["query", costs]),
        ("show_ms", &["show", "cells/axis-3=value 4 seed=0"]),
        ("status_ms", &["status"]),
        ("report_ms", &["report", "cells", "--out", &out]),
    ];
    questions
        .map(|(name, words)| (name, words.iter().map(ToString::to_string).collect()))
        .to_vec()
}

/// Milliseconds of the program's whole life for one question.
fn asked(folder: &Path, arguments: &[String]) -> f64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rise-lab"));
    command
        .args(arguments)
        .arg("--store")
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let begun = Instant::now();
    let ended = command.output().expect("the program can be started");
    let took = begun.elapsed().as_secs_f64() * 1e3;
    assert!(
        ended.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&ended.stderr)
    );
    took
}

/// The median of so many measurements, after one that only warms the system's cache.
fn median(repeat: usize, mut measure: impl FnMut() -> f64) -> f64 {
    measure();
    let mut all: Vec<f64> = (0..repeat.max(1)).map(|_| measure()).collect();
    all.sort_by(f64::total_cmp);
    f64::midpoint(all[(all.len() - 1) / 2], all[all.len() / 2])
}

fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn fill(folder: &Path, experiments: usize, beside: Option<GraderConfig>) {
    let mut store = Store::open(folder).expect("a new store can be opened");
    let metric = |metric: eval::Metric| MetricRow {
        name: metric.name,
        version: metric.version,
        unit: metric.unit.name().to_owned(),
        higher_is_better: metric.higher_is_better,
        meaning: metric.meaning,
    };
    store
        .record_metrics(
            &eval::evaluation_metrics(EXTENT)
                .into_iter()
                .map(metric)
                .collect::<Vec<_>>(),
        )
        .expect("new");
    for number in 0..experiments {
        GrowthStore::new(number, beside).store(&mut store);
    }
}

/// One experiment: shared stages, and per run a round of training and its evaluation.
struct GrowthStore {
    number: usize,
    name: String,
    problems: usize,
    stages: Vec<PlannedStageRow>,
    beside: Option<GraderConfig>,
}

impl GrowthStore {
    fn new(number: usize, beside: Option<GraderConfig>) -> Self {
        let name = if number == 0 {
            "cells".to_owned()
        } else {
            format!("experiment-{number:03}")
        };
        Self {
            number,
            name,
            problems: PROBLEMS[number.min(1)],
            stages: Vec::new(),
            beside,
        }
    }

    fn store(mut self, store: &mut Store) {
        let test = self.stage("prepare", "test", &[]);
        let base = self.stage("base", "weak", &[]);
        let first = self.stage("evaluate", "weak base", &[&test, &base]);
        let runs: Vec<PlannedRunRow> = (0..CELLS)
            .map(|cell| self.run(cell, [&test, &base, &first]))
            .collect();
        let question = "How long does it take to be told?".to_owned();
        let row = ExperimentRow {
            name: self.name.clone(),
            question,
            toml: String::new(),
            report: json!({}),
        };
        store
            .record_experiment(&row, &runs, &self.stages)
            .expect("a sound plan");
        for (place, stage) in self.stages.iter().enumerate() {
            store
                .record_stage_start(&stage.key)
                .expect("a planned stage");
            store
                .record_stage_results(&stage.key, &self.results(place, stage))
                .expect("sound results");
        }
        for run in &runs {
            store
                .set_run_status(&self.name, &run.key, Status::Done, None)
                .expect("a planned run");
        }
    }

    /// Plans a stage and returns its key.
    fn stage(&mut self, kind: &str, what: &str, inputs: &[&Key]) -> Key {
        let label = format!("{kind} {what}");
        let key = Key::from_value(&(&self.name, &label));
        let inputs = inputs.iter().map(|&input| input.clone()).collect();
        self.stages.push(PlannedStageRow {
            key: key.clone(),
            kind: kind.to_owned(),
            label,
            inputs,
        });
        key
    }

    /// A run that leaves the baseline on one axis, with one round.
    fn run(&mut self, cell: usize, [test, base, first]: [&Key; 3]) -> PlannedRunRow {
        let (axis, value) = (
            cell.saturating_sub(1) / 9,
            if cell == 0 { 0 } else { 1 + (cell - 1) % 9 },
        );
        let label_of = |at: usize| format!("value {}", if at == axis { value } else { 0 });
        let axes = (0..AXES)
            .map(|at| (format!("train.axis-{at}"), label_of(at)))
            .collect();
        let label = if cell == 0 {
            "baseline".to_owned()
        } else {
            format!("axis-{axis}=value {value}")
        };
        let collect = self.stage("collect", &format!("{cell} round 1"), &[base]);
        let improve = self.stage("improve", &format!("{cell} round 1"), &[&collect]);
        let weigh = self.stage("weigh", &format!("{cell} round 1"), &[&improve]);
        let train = self.stage("train", &format!("{cell} round 1"), &[base, &weigh]);
        let last = self.stage("evaluate", &format!("{cell} round 1"), &[test, &train]);
        let key = Key::from_value(&(&self.name, cell));
        let checkpoint = |position, name: &str, weights: &Key, evaluation: &Key| CheckpointRow {
            run: key.clone(),
            position,
            name: name.to_owned(),
            weights: weights.clone(),
            evaluation: evaluation.clone(),
        };
        let checkpoints = vec![
            checkpoint(0, "base", base, first),
            checkpoint(1, "round 1", &train, &last),
        ];
        let stages = [test, base, first, &collect, &improve, &weigh, &train, &last];
        PlannedRunRow {
            label: format!("{label} seed=0"),
            position: cell as u32,
            seed: 0,
            axes,
            spec: spec(),
            stages: stages.map(Clone::clone).to_vec(),
            checkpoints,
            key,
        }
    }

    fn results(&self, place: usize, stage: &PlannedStageRow) -> StageResults {
        let file = |name: &str| ArtifactRow {
            name: name.to_owned(),
            sha256: stage.key.clone(),
            bytes: 1,
        };
        let mut results = StageResults {
            seconds: 10.0 + place as f64,
            counts: json!({ "problems": self.problems, "sampled_tokens": 100 * place, "steps": STEPS }),
            origin: json!({ "program": "0.1.0", "backend": "flex", "instruction_set": "x86_64 avx512f" }),
            artifacts: vec![file("first.jsonl"), file("second.jsonl")],
            ..StageResults::default()
        };
        match stage.kind.as_str() {
            "prepare" => {
                let problems = (0..self.problems).map(|number| (Split::Test, self.problem(number)));
                results.problems = problems.collect();
            }
            "train" => results.points = points(place),
            "evaluate" => {
                results.grader = Some(("numeric".to_owned(), 1));
                for number in 0..self.problems {
                    let episodes = self.episodes(place, number);
                    results.scores.extend(scores(&episodes));
                    results.episodes.extend(episodes);
                }
                if let Some(grader) = &self.beside {
                    let problems: Vec<Problem> = (0..self.problems)
                        .map(|number| self.problem(number))
                        .collect();
                    let problems = problems
                        .iter()
                        .map(|problem| (problem.id.as_str(), problem))
                        .collect();
                    let scoring = Some(EvalScorer::from_stored(EXTENT));
                    results.regrades.extend(regrade(
                        grader,
                        &problems,
                        &mut results.episodes,
                        scoring,
                    ));
                }
            }
            _ => {}
        }
        results
    }

    fn problem(&self, number: usize) -> Problem {
        Problem {
            id: format!("word-problems/test/{number}"),
            question: format!(
                "Mia has {number} cards and gets {} more. How many has she?",
                self.number
            ),
            answer: (number + self.number).to_string(),
            solution: Some(format!(
                "{number} + {} = {}\n#### {0}",
                self.number,
                number + self.number
            )),
        }
    }

    /// The sequential log and the further samples of one problem.
    fn episodes(&self, place: usize, number: usize) -> Vec<Episode> {
        let episode = |sample: u32| {
            let turns = if sample == 0 { TURNS } else { 1 };
            let attempt = |turn: u32| self.attempt(place, number, sample, turn);
            let turns = (0..turns).map(|turn| Turn::single(attempt(turn))).collect();
            Episode {
                problem: format!("word-problems/test/{number}"),
                sample,
                turns,
            }
        };
        (0..SAMPLES).map(episode).collect()
    }

    fn attempt(&self, place: usize, number: usize, sample: u32, turn: u32) -> Candidate {
        let drawn = drawn([self.number, place, number, sample as usize, turn as usize]);
        let right = drawn % 100 < 30 + 8 * u64::from(turn) + place as u64 % 20;
        let sum = number + self.number;
        let told = if right {
            sum
        } else {
            sum + 1 + drawn as usize % 7
        };
        let (verdict, answer) = (
            if right {
                GradeVerdict::Right
            } else {
                GradeVerdict::Wrong
            },
            Some(told.to_string()),
        );
        let text = format!(
            "Mia has {number} cards at first. She gets {} more from her brother, so in the end she has \
             {number} + {} = {told} cards.\n#### {told}",
            self.number, self.number
        );
        let (tokens, author) = (40 + drawn as u32 % 20, CandidateAuthor::Policy);
        Candidate {
            author,
            text,
            tokens,
            prompt_tokens: tokens,
            finished: true,
            grade: Grade { answer, verdict },
        }
    }
}

/// All settings of a run, as they are stored.
fn spec() -> Value {
    let run = json!({ "base": "weak", "task": { "word-problems": {} } });
    let run: RunSpec = serde_json::from_value(run).expect("every other setting has a default");
    serde_json::to_value(run).expect("settings are plain data")
}

fn points(place: usize) -> Vec<MetricPoint> {
    let point = |series: &str, step: u64| {
        let value = 2.0 / (1.0 + step as f64) + (place % 10) as f64 / 100.0;
        MetricPoint {
            series: series.to_owned(),
            step,
            value,
        }
    };
    let series = ["gradient_norm", "learning_rate", "loss"];
    series
        .iter()
        .flat_map(|series| (0..STEPS).map(|step| point(series, step)))
        .collect()
}

fn scores(episodes: &[Episode]) -> impl Iterator<Item = ScoreRow> {
    let (log, parallel) = episodes.split_first().expect("there is a log");
    let problem = log.problem.clone();
    let scores = eval::score_problem(log, parallel, EXTENT).into_iter();
    scores.map(move |(metric, value)| ScoreRow {
        metric,
        problem: problem.clone(),
        value,
    })
}

/// A number that depends on its place alone (the finaliser of `SplitMix64`, once per part).
fn drawn(place: [usize; 5]) -> u64 {
    place.into_iter().fold(0, |state: u64, part| {
        let mut z = state
            .wrapping_add(part as u64)
            .wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}
