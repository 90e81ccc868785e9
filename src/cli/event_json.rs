//! Sweep events as JSON objects, one per line.

use serde_json::{Value, json};

use crate::domain::StageEvent;
use crate::pipeline::StageNode;
use crate::sweep::SweepEvent;

/// The reason and the content of a line; none for events that machines do not need.
pub fn json_event(event: &SweepEvent<'_>) -> Option<(&'static str, Value)> {
    Some(match event {
        SweepEvent::SweepStarted { stages, open, jobs } => (
            "sweep-started",
            json!({ "stages": stages.len(), "open": open.len(), "workers": jobs }),
        ),
        SweepEvent::ThreadsChanged { slot, threads } => (
            "worker-threads",
            json!({ "worker": slot, "threads": threads }),
        ),
        SweepEvent::StopRequested { at_once } => ("stopping", json!({ "at-once": at_once })),
        other => {
            let (reason, stage, fields) = json_stage(other)?;
            (reason, stage_fields(stage, fields))
        }
    })
}

/// The reason, the stage and further fields of an event that is about one stage.
fn json_stage<'a>(event: &SweepEvent<'a>) -> Option<(&'static str, &'a StageNode, Value)> {
    Some(match event {
        SweepEvent::StageStarted { slot, stage } => {
            ("stage-started", stage, json!({ "worker": slot }))
        }
        SweepEvent::StageEvent { slot, stage, event } => {
            let (reason, fields) = json_stage_event(*slot, event)?;
            (reason, stage, fields)
        }
        SweepEvent::StageFinished {
            slot,
            stage,
            manifest,
        } => {
            let fields = json!({
                "worker": slot, "seconds": manifest.seconds, "peak_bytes": manifest.peak_bytes,
                "counts": manifest.counts,
            });
            ("stage-finished", stage, fields)
        }
        SweepEvent::StageAdopted { stage } => ("stage-found", stage, json!({})),
        SweepEvent::StageFailed {
            slot,
            stage,
            reason,
            lost,
        } => {
            let fields = json!({ "worker": slot, "error": reason, "stages-lost": lost });
            ("stage-failed", stage, fields)
        }
        SweepEvent::WorkerDied {
            slot,
            stage,
            reason,
        } => (
            "worker-died",
            stage,
            json!({ "worker": slot, "error": reason }),
        ),
        SweepEvent::StageInterrupted { slot, stage } => {
            ("stage-interrupted", stage, json!({ "worker": slot }))
        }
        _ => return None,
    })
}

fn json_stage_event(slot: usize, event: &StageEvent) -> Option<(&'static str, Value)> {
    match event {
        StageEvent::Progress {
            done,
            total,
            unit,
            tokens,
            loss,
        } => {
            let fields = json!({
                "worker": slot, "done": done, "total": total, "unit": unit, "tokens": tokens,
                "loss": loss,
            });
            Some(("stage-progress", fields))
        }
        StageEvent::Note(note) => Some(("note", json!({ "worker": slot, "text": note }))),
        StageEvent::Point(_) => None,
    }
}

/// The fields that name a stage, followed by others.
fn stage_fields(stage: &StageNode, fields: Value) -> Value {
    let mut value = json!({ "stage": stage.key, "kind": stage.kind, "label": stage.label });
    if let (Some(value), Value::Object(fields)) = (value.as_object_mut(), fields) {
        value.extend(fields);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures::stage;
    use crate::pipeline::StageKind;

    #[test]
    fn a_line_names_the_stage_and_what_happened() {
        let stage = stage(StageKind::Train, "train weak", vec![], 1.0);
        let (reason, about) = json_event(&SweepEvent::StageFailed {
            slot: Some(1),
            stage: &stage,
            reason: "no room",
            lost: 2,
        })
        .unwrap();
        assert_eq!(reason, "stage-failed");
        assert_eq!(about["label"], "train weak");
        assert_eq!(about["kind"], "train");
        assert_eq!(
            (&about["error"], &about["stages-lost"]),
            (&json!("no room"), &json!(2))
        );
        assert!(json_event(&SweepEvent::Tick).is_none());
    }
}
