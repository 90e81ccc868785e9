//! A sweep's news as JSON objects, one per line, for machines.

use serde_json::{Value, json};

use crate::domain::StageEvent;
use crate::pipeline::StageNode;
use crate::sweep::SweepEvent;

/// The reason and the content of a line; none for news that machines do not need.
pub fn json_event(news: &SweepEvent<'_>) -> Option<(&'static str, Value)> {
    Some(match news {
        SweepEvent::SweepStarted { stages, open, jobs } => (
            "sweep-started",
            json!({ "stages": stages.len(), "open": open.len(), "workers": jobs }),
        ),
        SweepEvent::StageStarted { slot, stage } => (
            "stage-started",
            stage_fields(stage, json!({ "worker": slot })),
        ),
        SweepEvent::ThreadsChanged { slot, threads } => (
            "worker-threads",
            json!({ "worker": slot, "threads": threads }),
        ),
        SweepEvent::StageEvent { slot, stage, event } => {
            return json_stage_event(*slot, stage, event);
        }
        SweepEvent::StageFinished {
            slot,
            stage,
            manifest,
        } => {
            let more = json!({ "worker": slot, "seconds": manifest.seconds, "peak_bytes": manifest.peak_bytes,
                "counts": manifest.counts,
            });
            ("stage-finished", stage_fields(stage, more))
        }
        SweepEvent::StageAdopted { stage } => ("stage-found", stage_fields(stage, json!({}))),
        SweepEvent::StageFailed {
            slot,
            stage,
            reason,
            lost,
        } => {
            let more = json!({ "worker": slot, "error": reason, "stages-lost": lost });
            ("stage-failed", stage_fields(stage, more))
        }
        SweepEvent::WorkerDied {
            slot,
            stage,
            reason,
        } => (
            "worker-died",
            stage_fields(stage, json!({ "worker": slot, "error": reason })),
        ),
        SweepEvent::StageInterrupted { slot, stage } => (
            "stage-interrupted",
            stage_fields(stage, json!({ "worker": slot })),
        ),
        SweepEvent::StopRequested { at_once } => ("stopping", json!({ "at-once": at_once })),
        SweepEvent::Tick => return None,
    })
}

fn json_stage_event(
    slot: usize,
    stage: &StageNode,
    event: &StageEvent,
) -> Option<(&'static str, Value)> {
    match event {
        StageEvent::Progress {
            done,
            total,
            unit,
            tokens,
            loss,
        } => {
            let more = json!({
                "worker": slot, "done": done, "total": total, "unit": unit, "tokens": tokens, "loss": loss,
            });
            Some(("stage-progress", stage_fields(stage, more)))
        }
        StageEvent::Note(note) => Some((
            "note",
            stage_fields(stage, json!({ "worker": slot, "text": note })),
        )),
        StageEvent::Point(_) => None,
    }
}

fn stage_fields(stage: &StageNode, more: Value) -> Value {
    let mut value = json!({ "stage": stage.key, "kind": stage.kind, "label": stage.label });
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
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
