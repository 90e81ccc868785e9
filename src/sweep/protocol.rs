//! The messages of coordinator and worker: one JSON value per line over standard input and output.
//!
//! Both ends are the same program, so the form may change with any version.

use std::io::{self, BufRead, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::StageEvent;
use crate::pipeline::{StageManifest, StageNode};

/// A coordinator's request to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerRequest {
    /// Execute this stage.
    Stage(Box<StageNode>),
    /// Use this many threads from now on, even in the middle of a stage.
    Threads(usize),
    /// Stop at the next safe place and keep the partial work.
    Stop,
}

/// A worker's reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerReply {
    /// An event inside the stage.
    Event(StageEvent),
    /// The stage is finished and published.
    Done(StageManifest),
    /// The stage cannot be executed, for this reason.
    Failed(String),
    /// The stage was stopped on request; its partial work is kept.
    Stopped,
}

/// Writes one message and flushes it.
///
/// # Errors
/// If the other end is gone.
pub fn send<T: Serialize>(output: &mut impl Write, message: &T) -> io::Result<()> {
    let mut line = serde_json::to_string(message)?;
    line.push('\n');
    output.write_all(line.as_bytes())?;
    output.flush()
}

/// Reads the next message; none when the other end is gone.
///
/// It skips other lines: a library's own output, a line cut by a kill.
pub fn receive<T: DeserializeOwned>(input: &mut impl BufRead) -> Option<T> {
    let mut line = String::new();
    loop {
        line.clear();
        match input.read_line(&mut line) {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
        if let Ok(message) = serde_json::from_str(&line) {
            return Some(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::fixtures::stages;

    #[test]
    fn a_stage_survives_the_way_to_a_worker() {
        let request = WorkerRequest::Stage(Box::new(stages(&[("a", "b", 0.1 + 0.2)]).remove(0)));
        let mut wire = Vec::new();
        send(&mut wire, &request).unwrap();
        send(&mut wire, &WorkerRequest::Stop).unwrap();
        let mut input = wire.as_slice();
        assert_eq!(receive(&mut input), Some(request));
        assert_eq!(receive(&mut input), Some(WorkerRequest::Stop));
        assert_eq!(receive::<WorkerRequest>(&mut input), None);
    }

    #[test]
    fn a_number_of_threads_survives_the_way_to_a_worker() {
        let mut wire = Vec::new();
        send(&mut wire, &WorkerRequest::Threads(2)).unwrap();
        assert_eq!(
            String::from_utf8(wire.clone()).unwrap(),
            "{\"threads\":2}\n"
        );
        assert_eq!(
            receive(&mut wire.as_slice()),
            Some(WorkerRequest::Threads(2))
        );
    }

    #[test]
    fn foreign_and_cut_lines_are_passed_over() {
        let mut input = "hello\n\"stopped\"\n{\"failed\":\"no sp".as_bytes();
        assert_eq!(receive(&mut input), Some(WorkerReply::Stopped));
        assert_eq!(receive::<WorkerReply>(&mut input), None);
    }
}
