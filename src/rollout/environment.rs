//! The environment of the multi-turn decision process: the paper's deterministic transition, the
//! sliding window of history, and the stop rule.

use crate::data::{PromptConfig, ReviewedAttempt, SelfReview};
use crate::domain::{Dialogue, Turn};

/// The dialogue after some turns, and the end of an episode.
#[derive(Clone, Copy, Debug)]
pub struct RolloutEnvironment<'a> {
    /// How question, attempts and retry texts become a dialogue.
    pub prompt: &'a PromptConfig,
    /// How many of the latest attempts are shown with their retry texts; none shows all.
    ///
    /// The question itself is always shown. The paper keeps the last k interactions for a model
    /// of iteration k, so no history is longer than those in its training. The official
    /// code counts the attempt that is about to be made as well: its window is one larger.
    pub window: Option<u32>,
    /// Whether an episode ends at its first right attempt: while collecting, or with an oracle.
    pub stop_on_success: bool,
    /// The review of each attempt that the policy gives, if any.
    pub self_review: Option<SelfReview>,
}

impl RolloutEnvironment<'_> {
    /// The state after these turns: the question and the attempts within the window.
    #[must_use]
    pub fn next_dialogue(&self, question: &str, turns: &[Turn]) -> Dialogue {
        let shown = self.visible_turns(turns);
        match self.self_review {
            None => self.prompt.dialogue(question, &attempt_texts(shown)),
            Some(inquiry) => {
                self.prompt
                    .reviewed_dialogue(question, inquiry, &reviewed_attempts(shown))
            }
        }
    }

    /// The question about the last of these turns, after the attempts that were in view when it was
    /// made.
    ///
    /// # Panics
    /// If there is no turn, or the environment has nothing to ask.
    #[must_use]
    pub fn review_dialogue(&self, question: &str, turns: &[Turn]) -> Dialogue {
        let (last, earlier) = turns
            .split_last()
            .expect("there is an attempt to ask about");
        let inquiry = self.self_review.expect("the protocol asks about attempts");
        self.prompt.self_review_dialogue(
            question,
            inquiry,
            &reviewed_attempts(self.visible_turns(earlier)),
            &last.chosen().text,
        )
    }

    fn visible_turns<'t>(&self, turns: &'t [Turn]) -> &'t [Turn] {
        let hidden = self
            .window
            .map_or(0, |window| turns.len().saturating_sub(window as usize));
        &turns[hidden..]
    }

    /// Whether the stop rule, or the policy's own approval, ends the episode after these turns.
    #[must_use]
    pub fn is_over(&self, turns: &[Turn]) -> bool {
        let Some(last) = turns.last() else {
            return false;
        };
        let approved = last
            .review
            .as_ref()
            .is_some_and(|review| review.approves == Some(true));
        approved || (self.stop_on_success && last.chosen().grade.verdict.is_right())
    }
}

fn attempt_texts(turns: &[Turn]) -> Vec<&str> {
    turns
        .iter()
        .map(|turn| turn.chosen().text.as_str())
        .collect()
}

fn reviewed_attempts(turns: &[Turn]) -> Vec<ReviewedAttempt<'_>> {
    turns
        .iter()
        .map(|turn| ReviewedAttempt {
            attempt: &turn.chosen().text,
            review: turn.review.as_ref().map(|review| review.text.as_str()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::fixtures::{problem, prompt, turn};

    /// The assistant messages shown after attempts `a`, `b`, `c` under a window.
    fn shown(window: Option<u32>) -> Vec<String> {
        let prompt = prompt();
        let environment = RolloutEnvironment {
            prompt: &prompt,
            window,
            stop_on_success: false,
            self_review: None,
        };
        let turns = ["a", "b", "c"].map(|text| turn(&problem(1), text));
        let state = environment.next_dialogue("How many?", &turns);
        assert!(
            state.0[0].text.contains("How many?"),
            "the question slid out of the window"
        );
        state
            .0
            .iter()
            .skip(1)
            .step_by(2)
            .map(|message| message.text.clone())
            .collect()
    }

    #[test]
    fn a_window_shows_the_latest_attempts_and_no_others() {
        assert_eq!(shown(None), ["a", "b", "c"]);
        assert_eq!(shown(Some(4)), ["a", "b", "c"]);
        assert_eq!(shown(Some(3)), ["a", "b", "c"]);
        assert_eq!(shown(Some(2)), ["b", "c"]);
        assert_eq!(shown(Some(1)), ["c"]);
        assert_eq!(shown(Some(0)), [""; 0]);
    }

    #[test]
    fn only_a_right_last_attempt_ends_an_episode_and_only_where_the_rule_says_so() {
        let prompt = prompt();
        let (wrong, right) = (turn(&problem(1), "#### 7"), turn(&problem(1), "#### 1"));
        let stopping = RolloutEnvironment {
            prompt: &prompt,
            window: None,
            stop_on_success: true,
            self_review: None,
        };
        let going_on = RolloutEnvironment {
            stop_on_success: false,
            ..stopping
        };
        assert!(stopping.is_over(&[wrong.clone(), right.clone()]));
        assert!(!stopping.is_over(&[right.clone(), wrong]));
        assert!(!stopping.is_over(&[]));
        assert!(!going_on.is_over(&[right]));
    }
}
