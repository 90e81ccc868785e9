//! The record of one problem: turns, candidates, grades.

use serde::{Deserialize, Serialize};

use super::GradeVerdict;

/// Who wrote a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CandidateAuthor {
    /// The model that is being trained or evaluated.
    Policy,
    /// Another model whose rollouts are used in place of the policy's own.
    Other,
    /// The teacher, who supplies the improved last turn.
    Teacher,
}

/// One grader's result on one text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grade {
    /// The answer that was read, in canonical form.
    pub answer: Option<String>,
    /// The judgement.
    pub verdict: GradeVerdict,
}

/// One sampled attempt and its headline grade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Who wrote it.
    pub author: CandidateAuthor,
    /// The text, without control tokens.
    pub text: String,
    /// Tokens sampled for it, the end token included; 0 when it was not sampled.
    pub tokens: u32,
    /// Tokens of the dialogue that it answers; 0 when it was not sampled.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[serde(rename = "prompt")]
    pub prompt_tokens: u32,
    /// Whether it ended by itself rather than at the token limit.
    pub finished: bool,
    /// The grade of the run's grader.
    pub grade: Grade,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A policy's words about its own attempt before its next one: a critique or a verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptReview {
    /// The text, without control tokens.
    pub text: String,
    /// Tokens sampled for it, the end token included.
    pub tokens: u32,
    /// Tokens of the dialogue that it answers.
    #[serde(rename = "prompt")]
    pub prompt_tokens: u32,
    /// Whether it says that the attempt is right; none where it says neither.
    pub approves: Option<bool>,
}

/// One step of an episode: every candidate drawn, and the one that was carried forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// At least one candidate, in the order drawn.
    pub candidates: Vec<Candidate>,
    /// Index into `candidates`.
    pub chosen: usize,
    /// The policy's review of the chosen candidate, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<AttemptReview>,
}

impl Turn {
    /// A turn of several candidates without a review.
    #[must_use]
    pub const fn new(candidates: Vec<Candidate>, chosen: usize) -> Self {
        Self {
            candidates,
            chosen,
            review: None,
        }
    }

    /// A turn of one candidate.
    #[must_use]
    pub fn single(candidate: Candidate) -> Self {
        Self::new(vec![candidate], 0)
    }

    /// The candidate that was carried forward.
    ///
    /// # Panics
    /// If `chosen` is out of range, which no constructor produces.
    #[must_use]
    pub fn chosen(&self) -> &Candidate {
        &self.candidates[self.chosen]
    }
}

/// All turns on one problem under one protocol and sample number. Written once, never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Episode {
    /// The problem's id.
    pub problem: String,
    /// 0 for the sequential log; 1.. for further parallel first-turn samples.
    pub sample: u32,
    /// The turns in order.
    pub turns: Vec<Turn>,
}

impl Episode {
    /// The verdicts of the chosen candidates, turn by turn.
    #[must_use]
    pub fn verdicts(&self) -> Vec<GradeVerdict> {
        self.turns
            .iter()
            .map(|turn| turn.chosen().grade.verdict)
            .collect()
    }

    /// Whether the last turn is right.
    #[must_use]
    pub fn ends_right(&self) -> bool {
        self.turns
            .last()
            .is_some_and(|turn| turn.chosen().grade.verdict.is_right())
    }
}
