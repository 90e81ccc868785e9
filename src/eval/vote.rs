//! Majority votes over graded answers, by a rule that the paper and the official code leave open.

use crate::domain::Grade;

/// The outcome of a majority vote.
///
/// Answers are equal if their canonical forms are. Unreadable answers do not vote. A tie goes to
/// the tied answer that was given last; since five answers often tie at temperature 1, both bounds
/// of that choice are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MajorityVote<'a> {
    /// The winning answer; none if no answer could be read.
    pub winner: Option<&'a str>,
    /// Whether the winner is right.
    pub right: bool,
    /// Whether several answers had the most votes.
    pub tied: bool,
    /// Whether the vote would be right if every tie were won: the right answer has the most votes,
    /// perhaps together with others.
    pub right_if_ties_won: bool,
}

impl MajorityVote<'_> {
    /// Whether the vote would be right if every tie were lost.
    #[must_use]
    pub const fn right_if_ties_lost(&self) -> bool {
        self.right && !self.tied
    }
}

/// One answer on the ballot.
struct BallotEntry<'a> {
    answer: &'a str,
    right: bool,
    votes: usize,
}

/// The majority of the answers, which are given in order.
#[must_use]
pub fn majority_vote<'a>(grades: &[&'a Grade]) -> MajorityVote<'a> {
    let ballot = count_votes(grades);
    let most = ballot.iter().map(|entry| entry.votes).max().unwrap_or(0);
    let leaders: Vec<&BallotEntry<'_>> =
        ballot.iter().filter(|entry| entry.votes == most).collect();
    let winner = leaders.last();
    MajorityVote {
        winner: winner.map(|entry| entry.answer),
        right: winner.is_some_and(|entry| entry.right),
        tied: leaders.len() > 1,
        right_if_ties_won: leaders.iter().any(|entry| entry.right),
    }
}

/// The answers with their votes, in the order in which they were last given.
fn count_votes<'a>(grades: &[&'a Grade]) -> Vec<BallotEntry<'a>> {
    let mut ballot: Vec<BallotEntry<'a>> = Vec::new();
    for grade in grades {
        let Some(answer) = grade.answer.as_deref() else {
            continue;
        };
        let before = ballot.iter().position(|entry| entry.answer == answer);
        let mut entry = before.map_or(
            BallotEntry {
                answer,
                right: false,
                votes: 0,
            },
            |place| ballot.remove(place),
        );
        entry.votes += 1;
        entry.right |= grade.verdict.is_right();
        ballot.push(entry);
    }
    ballot
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::GradeVerdict;

    /// Answers in order; `-` is unreadable and `7` is right.
    fn grades(answers: &str) -> Vec<Grade> {
        let grade = |answer: char| match answer {
            '-' => Grade {
                answer: None,
                verdict: GradeVerdict::Unreadable,
            },
            '7' => Grade {
                answer: Some("7".to_owned()),
                verdict: GradeVerdict::Right,
            },
            other => Grade {
                answer: Some(other.to_string()),
                verdict: GradeVerdict::Wrong,
            },
        };
        answers.chars().map(grade).collect()
    }

    #[track_caller]
    fn check(answers: &str, winner: Option<&str>, tied: bool, [low, right, high]: [bool; 3]) {
        let grades = grades(answers);
        let vote = majority_vote(&grades.iter().collect::<Vec<_>>());
        assert_eq!(
            vote,
            MajorityVote {
                winner,
                right,
                tied,
                right_if_ties_won: high
            },
            "{answers}"
        );
        assert_eq!(vote.right_if_ties_lost(), low, "{answers}");
    }

    #[test]
    fn the_most_frequent_answer_wins() {
        check("71757", Some("7"), false, [true; 3]);
        check("11757", Some("7"), true, [false, true, true]);
        check("11175", Some("1"), false, [false; 3]);
    }

    #[test]
    fn a_tie_goes_to_the_tied_answer_given_last() {
        check("12347", Some("7"), true, [false, true, true]);
        check("71234", Some("4"), true, [false, false, true]);
        check("77113", Some("1"), true, [false, false, true]);
        check("71173", Some("7"), true, [false, true, true]);
        check("12345", Some("5"), true, [false; 3]);
        check("41117774", Some("7"), true, [false, true, true]);
    }

    #[test]
    fn unreadable_answers_do_not_vote() {
        check("---7-", Some("7"), false, [true; 3]);
        check("-----", None, false, [false; 3]);
        check("", None, false, [false; 3]);
    }

    proptest! {
        #[test]
        fn the_bounds_enclose_the_vote_and_meet_without_a_tie(answers in "[-7123]{0,9}") {
            let grades = grades(&answers);
            let vote = majority_vote(&grades.iter().collect::<Vec<_>>());
            prop_assert!(vote.right_if_ties_lost() <= vote.right && vote.right <= vote.right_if_ties_won);
            prop_assert!(vote.tied || vote.right_if_ties_lost() == vote.right_if_ties_won);
            prop_assert!(!vote.right_if_ties_won || answers.contains('7'));
        }
    }
}
