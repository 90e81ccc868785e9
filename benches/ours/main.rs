//! This program's side of the comparisons in `benches/`: the driver, `benches/compare.py`, starts it.
//!
//! `prepare FOLDER` makes a setting's model and data, `serve` works on settings as the driver asks,
//! `machine` measures the peaks of one core, `operations` the decoder's hot operations, `size SETTING`
//! large models on one device.
//! Must not know what it is compared with.

mod answers;
mod generation;
mod inputs;
mod machine;
mod operations;
mod player;
mod size;
mod training;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    rise_lab::model::tune_allocator();
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["prepare", folder] => inputs::prepare(Path::new(folder)),
        ["serve"] => player::serve(),
        ["machine"] => {
            machine::report();
            Ok(())
        }
        ["size", setting] => size::report(setting),
        ["operations", folder] => operations::report(Path::new(folder)),
        _ => Err("this is half of a comparison; run `python3 benches/compare.py`".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
