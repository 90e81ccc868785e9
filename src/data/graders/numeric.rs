//! `numeric`: the number after the last `####`, compared with the reference as exact decimals.
//!
//! Knows which text states an answer; how a number is written is `answer.rs`'s business.

use crate::domain::{Grade, Verdict};

use crate::data::answer;

/// Compares the number after the last `####` with the reference answer, as exact decimals.
pub(super) fn grade(reference: &str, text: &str) -> Grade {
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
        let verdict = |text| grade("1080", text).verdict;
        assert_eq!(verdict("540*2=1080\n#### $1,080.00"), Verdict::Right);
        assert_eq!(verdict("540*2=1080\n#### 108"), Verdict::Wrong);
        assert_eq!(verdict("#### 1080\n#### 1081"), Verdict::Wrong);
        assert_eq!(verdict("540*2=1080"), Verdict::Unreadable);
        assert_eq!(
            grade("1080", "#### 01,080.0").answer.as_deref(),
            Some("1080")
        );
    }

    #[test]
    fn a_reference_need_not_be_canonical() {
        assert_eq!(grade("1,080", "#### 1080").verdict, Verdict::Right);
    }
}
