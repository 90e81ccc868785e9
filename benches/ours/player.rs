//! The conversation with the driver: one JSON object a line, a question on standard input, its
//! answer on standard output.
//!
//! `open` loads a setting, `check` gives what both sides must agree on, `run` does the work a
//! number of times and says how much that was and how many seconds it took. Must not know what
//! the work is.

use std::error::Error;
use std::io::{Write, stdin, stdout};
use std::path::PathBuf;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::inputs::{BenchmarkKind, BenchmarkSetting};
use crate::{answers, generation, training};

/// A setting that is loaded and ready to be worked on.
pub trait BenchmarkPlayer {
    /// What the other side must compute too.
    fn check(&mut self) -> Value;

    /// Does the work once and returns how much it was, with remarks for the record.
    fn run(&mut self) -> (usize, Value);
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum PlayerCommand {
    Open { folder: PathBuf, threads: usize },
    Check,
    Run { repeats: usize },
}

/// Answers until standard input ends.
pub fn serve() -> Result<(), Box<dyn Error>> {
    say(&json!({ "ready": true, "version": env!("CARGO_PKG_VERSION") }))?;
    let mut player: Option<Box<dyn BenchmarkPlayer>> = None;
    for line in stdin().lines() {
        let answer = match (serde_json::from_str(&line?)?, player.as_deref_mut()) {
            (PlayerCommand::Open { folder, threads }, _) => {
                player = Some(open(&BenchmarkSetting::read(&folder)?, threads)?);
                json!({})
            }
            (_, None) => json!({ "error": "no setting is open" }),
            (PlayerCommand::Check, Some(player)) => player.check(),
            (PlayerCommand::Run { repeats }, Some(player)) => timed(player, repeats),
        };
        say(&answer)?;
    }
    Ok(())
}

fn open(
    setting: &BenchmarkSetting,
    threads: usize,
) -> Result<Box<dyn BenchmarkPlayer>, Box<dyn Error>> {
    Ok(match setting.kind {
        BenchmarkKind::Training => Box::new(training::TrainingBenchmark::open(setting, threads)?),
        BenchmarkKind::Generation | BenchmarkKind::Answers => {
            Box::new(generation::GenerationBenchmark::open(setting, threads)?)
        }
        BenchmarkKind::Turns => Box::new(answers::TurnsBenchmark::open(setting, threads)?),
    })
}

fn timed(player: &mut dyn BenchmarkPlayer, repeats: usize) -> Value {
    let began = Instant::now();
    let mut work = 0;
    let mut remarks = Value::Null;
    for _ in 0..repeats {
        let (more, remark) = player.run();
        work += more;
        remarks = remark;
    }
    json!({ "work": work, "seconds": began.elapsed().as_secs_f64(), "remarks": remarks })
}

fn say(answer: &Value) -> Result<(), Box<dyn Error>> {
    println!("{answer}");
    Ok(stdout().flush()?)
}
