//! `rise-compat`: grades exactly as the official RISE code does.
//!
//! For comparison with published numbers (Qu et al. 2024; the code is github.com/cmu-mind/RISE at
//! commit 4a2806e53546f04586177b8396b59a19840c0240, `environments/`). Its faults are kept, and each
//! is a setting that switches it off. One difference is left: where that code would stop the whole
//! run with an error, as for an integer too large for a float, the attempt is wrong.
//!
//! `gsm8k.rs` and `math.rs` are the two environments; `python.rs` reads numbers as Python does.
//! No code is executed: the official one also evaluates the reference's calculator marks with
//! Python's `eval` and throws the results away.

mod gsm8k;
mod math;
mod python;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::data::numeric_answer::{self, ANSWER_MARKER};
use crate::domain::{Grade, Problem};

/// Which of the official environments grades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RiseEnvironment {
    /// That of the reference solution: `####` as in GSM8K, else `boxed` as in MATH; without a
    /// solution, GSM8K's if the reference answer is a number.
    #[default]
    Auto,
    /// GSM8K's.
    Gsm8k,
    /// MATH's.
    Math,
}

/// Settings of `rise-compat`: every fault of the official code, on unless it is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each fault is there or not, and independent of the others"
)]
pub struct RiseCompat {
    /// Which of the official environments grades.
    pub environment: RiseEnvironment,
    /// GSM8K: the reference answer ends at a thousands comma, so `2,125` is 2.
    pub gold_comma: bool,
    /// Only `boxed{…}` states an answer. Without this fault, a text that has none may state it after
    /// the last `####`.
    pub boxed_only: bool,
    /// GSM8K: a box ends at its first `}`. MATH: the braces in a box have no braces in them, so the
    /// tail of `\frac{\sqrt{3}}{2}` is lost. Without this fault, braces are balanced.
    pub flat_braces: bool,
    /// GSM8K: an attempt's answer must be an integer, so `18.0` is unreadable. Without this fault,
    /// decimals are read too.
    pub integers_only: bool,
    /// MATH: if neither the attempt nor the reference has a box, the attempt is right. Without this
    /// fault it is wrong or unreadable.
    pub none_equals_none: bool,
    /// MATH: an attempt without a box is wrong (reward 0). Without this fault it is unreadable
    /// (reward -1), as in GSM8K.
    pub unreadable_is_wrong: bool,
}

impl RiseCompat {
    /// The official code as it is.
    pub const OFFICIAL: Self = Self {
        environment: RiseEnvironment::Auto,
        gold_comma: true,
        boxed_only: true,
        flat_braces: true,
        integers_only: true,
        none_equals_none: true,
        unreadable_is_wrong: true,
    };

    /// The settings that are not the official code's, by name.
    pub(super) fn non_default_settings(self) -> Map<String, Value> {
        let [official, own] = [Self::OFFICIAL, self]
            .map(|settings| serde_json::to_value(settings).expect("settings are plain data"));
        let Value::Object(own) = own else {
            unreachable!("settings are a table");
        };
        own.into_iter()
            .filter(|(name, value)| official.get(name) != Some(value))
            .collect()
    }

    /// The grade of one attempt.
    pub(super) fn grade(self, problem: &Problem, text: &str) -> Grade {
        match self.resolve_environment(problem) {
            RiseEnvironment::Math => math::grade(self, problem, text),
            RiseEnvironment::Gsm8k | RiseEnvironment::Auto => gsm8k::grade(self, problem, text),
        }
    }

    fn resolve_environment(self, problem: &Problem) -> RiseEnvironment {
        if self.environment != RiseEnvironment::Auto {
            return self.environment;
        }
        let solution = problem.solution.as_deref().unwrap_or_default();
        let is_number = numeric_answer::canonical_number(&problem.answer).is_some();
        if solution.contains(ANSWER_MARKER) || (!solution.contains("boxed") && is_number) {
            RiseEnvironment::Gsm8k
        } else {
            RiseEnvironment::Math
        }
    }

    /// The answer after the last `####` of a text without a box, if that is allowed.
    fn answer_after_marker(self, text: &str) -> Option<&str> {
        let (_, after) = text
            .rsplit_once(ANSWER_MARKER)
            .filter(|_| !self.boxed_only)?;
        Some(after.split('\n').next().unwrap_or_default().trim())
    }
}

impl Default for RiseCompat {
    fn default() -> Self {
        Self::OFFICIAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::GradeVerdict;

    fn problem(answer: &str, solution: Option<&str>) -> Problem {
        let (id, question) = ("p/1".to_owned(), "How many?".to_owned());
        Problem {
            id,
            question,
            answer: answer.to_owned(),
            solution: solution.map(str::to_owned),
        }
    }

    #[test]
    fn the_reference_solution_decides_whose_rules_hold() {
        let environment =
            |answer, solution| RiseCompat::OFFICIAL.resolve_environment(&problem(answer, solution));
        assert_eq!(
            environment("5", Some("2+3=5\n#### 5")),
            RiseEnvironment::Gsm8k
        );
        assert_eq!(
            environment("5", Some("so $\\boxed{5}$")),
            RiseEnvironment::Math
        );
        assert_eq!(environment("5", None), RiseEnvironment::Gsm8k);
        assert_eq!(environment("x^2", None), RiseEnvironment::Math);
        let forced = RiseCompat {
            environment: RiseEnvironment::Math,
            ..RiseCompat::OFFICIAL
        };
        assert_eq!(
            forced.resolve_environment(&problem("5", Some("#### 5"))),
            RiseEnvironment::Math
        );
    }

    /// The answers of the official code itself; `tests/golden/README.md` says how to get them.
    #[test]
    fn the_official_code_answers_the_same() {
        #[derive(Deserialize)]
        struct GoldenGrades {
            gsm8k: Vec<(String, String, i32)>,
            math: Vec<(String, String, i32)>,
        }
        let text = include_str!("../../../../tests/golden/rise_compat.json");
        let golden: GoldenGrades = serde_json::from_str(text).unwrap();
        assert!(golden.gsm8k.len() > 300 && golden.math.len() > 600);
        let settings = |environment| RiseCompat {
            environment,
            ..RiseCompat::OFFICIAL
        };
        let cases = golden
            .gsm8k
            .iter()
            .map(|case| (RiseEnvironment::Gsm8k, case));
        let cases = cases.chain(golden.math.iter().map(|case| (RiseEnvironment::Math, case)));
        for (environment, (solution, attempt, reward)) in cases {
            let grade = settings(environment).grade(&problem("", Some(solution)), attempt);
            let given = grade.verdict.reward().0;
            assert!(
                (given - f64::from(*reward)).abs() < 0.5,
                "{environment:?} {solution:?} {attempt:?}: {given}"
            );
        }
    }

    #[test]
    fn an_answer_after_marks_counts_only_without_the_fault() {
        let problem = problem("18", Some("#### 18"));
        let loose = RiseCompat {
            boxed_only: false,
            ..RiseCompat::OFFICIAL
        };
        assert_eq!(
            RiseCompat::OFFICIAL
                .grade(&problem, "9*2=18\n#### 18")
                .verdict,
            GradeVerdict::Unreadable
        );
        assert_eq!(
            loose.grade(&problem, "9*2=18\n#### 18 \nIs it?").verdict,
            GradeVerdict::Right
        );
        assert_eq!(
            loose.grade(&problem, "#### 17").verdict,
            GradeVerdict::Wrong
        );
        assert_eq!(
            loose.grade(&problem, "\\boxed{17}\n#### 18").verdict,
            GradeVerdict::Wrong,
            "a box comes first"
        );
        assert_eq!(
            loose.grade(&problem, "18").verdict,
            GradeVerdict::Unreadable
        );
    }
}
