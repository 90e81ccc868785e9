//! A sweep's news as JSON objects, one per line, for machines.

use serde_json::{Value, json};

use crate::domain::Event;
use crate::pipeline::Stage;
use crate::sweep::News;

/// The reason and the content of a line; none for news that machines do not need.
pub fn line(news: &News<'_>) -> Option<(&'static str, Value)> {
    Some(match news {
        News::Begun { stages, open, jobs } => (
            "sweep-started",
            json!({ "stages": stages.len(), "open": open.len(), "workers": jobs }),
        ),
        News::Started { seat, stage } => ("stage-started", about(stage, json!({ "worker": seat }))),
        News::Threads { seat, threads } => (
            "worker-threads",
            json!({ "worker": seat, "threads": threads }),
        ),
        News::Event { seat, stage, event } => return event_line(*seat, stage, event),
        News::Finished {
            seat,
            stage,
            manifest,
        } => {
            let more = json!({ "worker": seat, "seconds": manifest.seconds, "peak_bytes": manifest.peak_bytes,
                "counts": manifest.counts,
            });
            ("stage-finished", about(stage, more))
        }
        News::TakenIn { stage } => ("stage-found", about(stage, json!({}))),
        News::Failed {
            seat,
            stage,
            reason,
            lost,
        } => {
            let more = json!({ "worker": seat, "error": reason, "stages-lost": lost });
            ("stage-failed", about(stage, more))
        }
        News::Died {
            seat,
            stage,
            reason,
        } => (
            "worker-died",
            about(stage, json!({ "worker": seat, "error": reason })),
        ),
        News::Interrupted { seat, stage } => {
            ("stage-interrupted", about(stage, json!({ "worker": seat })))
        }
        News::Stopping { at_once } => ("stopping", json!({ "at-once": at_once })),
        News::Tick => return None,
    })
}

fn event_line(seat: usize, stage: &Stage, event: &Event) -> Option<(&'static str, Value)> {
    match event {
        Event::Progress {
            done,
            total,
            unit,
            tokens,
            loss,
        } => {
            let more = json!({
                "worker": seat, "done": done, "total": total, "unit": unit, "tokens": tokens, "loss": loss,
            });
            Some(("stage-progress", about(stage, more)))
        }
        Event::Note(note) => Some((
            "note",
            about(stage, json!({ "worker": seat, "text": note })),
        )),
        Event::Point(_) => None,
    }
}

fn about(stage: &Stage, more: Value) -> Value {
    let mut value = json!({ "stage": stage.key, "kind": stage.kind, "label": stage.label });
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::stage;
    use crate::pipeline::Kind;

    #[test]
    fn a_line_names_the_stage_and_what_happened() {
        let stage = stage(Kind::Train, "train weak", vec![], 1.0);
        let (reason, about) = line(&News::Failed {
            seat: Some(1),
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
        assert!(line(&News::Tick).is_none());
    }
}
