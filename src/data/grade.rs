//! Judging one attempt against the reference answer.
//!
//! Hides how an attempt's answer is found and compared. Must not know about rewards' use.

use crate::domain::{Grade, Verdict};

use super::answer;

/// Name and version of the headline grader; the version is raised when any text's grade changes.
pub const GRADER: (&str, u32) = ("numeric", 1);

/// Compares the number after the last `####` with the reference answer, as exact decimals.
pub(super) fn numeric(reference: &str, text: &str) -> Grade {
    let answer = answer::stated(text);
    let reference = answer::canonical(reference);
    let verdict = match &answer {
        None => Verdict::Unreadable,
        Some(_) if answer == reference => Verdict::Right,
        Some(_) => Verdict::Wrong,
    };
    Grade { answer, verdict }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stated_answer_counts() {
        let verdict = |text| numeric("1080", text).verdict;
        assert_eq!(verdict("540*2=1080\n#### $1,080.00"), Verdict::Right);
        assert_eq!(verdict("540*2=1080\n#### 108"), Verdict::Wrong);
        assert_eq!(verdict("#### 1080\n#### 1081"), Verdict::Wrong);
        assert_eq!(verdict("540*2=1080"), Verdict::Unreadable);
        assert_eq!(numeric("1080", "#### 01,080.0").answer.as_deref(), Some("1080"));
    }

    #[test]
    fn a_reference_need_not_be_canonical() {
        assert_eq!(numeric("1,080", "#### 1080").verdict, Verdict::Right);
    }
}
