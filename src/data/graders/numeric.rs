//! `numeric`: the number after the last `####`, compared with the reference as exact decimals.
//!
//! Knows which text states an answer; how a number is written is `answer.rs`'s business.

use crate::domain::{Grade, GradeVerdict};

use crate::data::numeric_answer;

/// Compares the number after the last `####` with the reference answer, as exact decimals.
pub(super) fn grade(reference: &str, text: &str) -> Grade {
    let answer = numeric_answer::extract_answer(text);
    let reference = numeric_answer::canonical_number(reference);
    let verdict = match &answer {
        None => GradeVerdict::Unreadable,
        Some(_) if answer == reference => GradeVerdict::Right,
        Some(_) => GradeVerdict::Wrong,
    };
    Grade { answer, verdict }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stated_answer_counts() {
        let verdict = |text| grade("1080", text).verdict;
        assert_eq!(verdict("540*2=1080\n#### $1,080.00"), GradeVerdict::Right);
        assert_eq!(verdict("540*2=1080\n#### 108"), GradeVerdict::Wrong);
        assert_eq!(verdict("#### 1080\n#### 1081"), GradeVerdict::Wrong);
        assert_eq!(verdict("540*2=1080"), GradeVerdict::Unreadable);
        assert_eq!(
            grade("1080", "#### 01,080.0").answer.as_deref(),
            Some("1080")
        );
    }

    #[test]
    fn a_reference_need_not_be_canonical() {
        assert_eq!(grade("1,080", "#### 1080").verdict, GradeVerdict::Right);
    }
}
