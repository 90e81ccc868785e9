//! An attempt cut into steps, with the outcome of continuations after each of them.

use serde::{Deserialize, Serialize};

/// A line of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabeledStep {
    /// Where it ends, in bytes of the attempt's text, its line end included.
    pub end: usize,
    /// A right attempt that begins as this one does up to here. Where none was found, the step
    /// counts as bad.
    #[serde(rename = "completed")]
    pub right_completion: Option<String>,
}

/// An attempt with a judgement of each of its steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepLabeledAttempt {
    /// The problem's id.
    pub problem: String,
    /// The attempt.
    pub text: String,
    /// Whether it is right.
    pub right: bool,
    /// Another attempt at the problem that is right, if there is one.
    #[serde(rename = "afresh")]
    pub fresh_attempt: Option<String>,
    /// Its steps in order; at least one.
    pub steps: Vec<LabeledStep>,
}

impl StepLabeledAttempt {
    /// The attempt up to and with a step, which counts from 0, without the line's end.
    #[must_use]
    pub fn prefix_through(&self, step: usize) -> &str {
        self.text[..self.steps[step].end].trim_end()
    }

    /// The first step from which no right attempt was found, from 0.
    #[must_use]
    pub fn first_wrong_step(&self) -> Option<usize> {
        self.steps
            .iter()
            .position(|step| step.right_completion.is_none())
    }
}

/// Where the steps of a text end: at the ends of its lines, in bytes. Blank lines belong to the
/// step before them; a text without lines is one step.
#[must_use]
pub fn step_ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        end += line.len();
        match ends.last_mut() {
            Some(last) if line.trim().is_empty() => *last = end,
            _ => ends.push(end),
        }
    }
    if ends.is_empty() {
        vec![text.len()]
    } else {
        ends
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_steps_and_blank_lines_are_none() {
        assert_eq!(step_ends("3+4=7\n7*2=14\n#### 14"), [6, 13, 20]);
        assert_eq!(step_ends("a\n\n b\n"), [3, 6]);
        assert_eq!(step_ends("one"), [3]);
        assert_eq!(step_ends(""), [0]);
    }

    #[test]
    fn what_comes_before_the_first_bad_step_is_good() {
        let step = |end, completed: Option<&str>| LabeledStep {
            end,
            right_completion: completed.map(str::to_owned),
        };
        let traced = StepLabeledAttempt {
            problem: "p".to_owned(),
            text: "a\nb\nc".to_owned(),
            right: false,
            fresh_attempt: None,
            steps: vec![step(2, Some("a\n!")), step(4, None), step(5, None)],
        };
        assert_eq!(
            (
                traced.prefix_through(0),
                traced.prefix_through(1),
                traced.prefix_through(2)
            ),
            ("a", "a\nb", "a\nb\nc")
        );
        assert_eq!(traced.first_wrong_step(), Some(1));
    }

    proptest! {
        #[test]
        fn steps_cover_the_text_in_order(text in "[ab\n ]{0,20}") {
            let ends = step_ends(&text);
            prop_assert_eq!(ends.last(), Some(&text.len()));
            prop_assert!(ends.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
