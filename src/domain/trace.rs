//! An attempt cut into steps, with what became of going on after each of them.

use serde::{Deserialize, Serialize};

/// A line of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Where it ends, in bytes of the attempt's text, its line end included.
    pub end: usize,
    /// A right attempt that begins as this one does up to here. Where none was found, the step
    /// counts as bad.
    pub completed: Option<String>,
}

/// An attempt with a judgement of each of its steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traced {
    /// The problem's id.
    pub problem: String,
    /// The attempt.
    pub text: String,
    /// Whether it is right.
    pub right: bool,
    /// Another attempt at the problem that is right, if there is one.
    pub afresh: Option<String>,
    /// Its steps in order; at least one.
    pub steps: Vec<Step>,
}

impl Traced {
    /// The attempt up to and with a step, which counts from 0, without the line's end.
    #[must_use]
    pub fn until(&self, step: usize) -> &str {
        self.text[..self.steps[step].end].trim_end()
    }

    /// The first step from which no right attempt was found, from 0.
    #[must_use]
    pub fn first_bad(&self) -> Option<usize> {
        self.steps.iter().position(|step| step.completed.is_none())
    }
}

/// Where the steps of a text end: at the ends of its lines, in bytes. Blank lines belong to the
/// step before them; a text without lines is one step.
#[must_use]
pub fn steps_of(text: &str) -> Vec<usize> {
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
        assert_eq!(steps_of("3+4=7\n7*2=14\n#### 14"), [6, 13, 20]);
        assert_eq!(steps_of("a\n\n b\n"), [3, 6]);
        assert_eq!(steps_of("one"), [3]);
        assert_eq!(steps_of(""), [0]);
    }

    #[test]
    fn what_comes_before_the_first_bad_step_is_good() {
        let step = |end, completed: Option<&str>| Step {
            end,
            completed: completed.map(str::to_owned),
        };
        let traced = Traced {
            problem: "p".to_owned(),
            text: "a\nb\nc".to_owned(),
            right: false,
            afresh: None,
            steps: vec![step(2, Some("a\n!")), step(4, None), step(5, None)],
        };
        assert_eq!(
            (traced.until(0), traced.until(1), traced.until(2)),
            ("a", "a\nb", "a\nb\nc")
        );
        assert_eq!(traced.first_bad(), Some(1));
    }

    proptest! {
        #[test]
        fn steps_cover_the_text_in_order(text in "[ab\n ]{0,20}") {
            let ends = steps_of(&text);
            prop_assert_eq!(ends.last(), Some(&text.len()));
            prop_assert!(ends.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
