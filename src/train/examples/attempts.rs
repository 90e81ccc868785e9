//! Attempts as answers to the plain question: what the family of filtered fine-tuning trains on.
//!
//! Rejection fine-tuning (Yuan et al. 2023), STaR (Zelikman et al. 2022) and the paper's rows of
//! supervised fine-tuning on its own data differ only in which attempts come in.

use crate::domain::TrainingExample;

use super::{AttemptPool, DialogueLayout};

/// One example of weight 1 for each attempt, the right ones first; wrong ones only if asked for.
#[must_use]
pub fn single_turn_examples(
    pools: &[AttemptPool<'_>],
    layout: DialogueLayout<'_>,
    right_only: bool,
) -> Vec<TrainingExample> {
    let of = |pool: &AttemptPool<'_>| -> Vec<TrainingExample> {
        let wrong = pool.wrong.iter().filter(|_| !right_only);
        let question = layout(&pool.problem.id, &[]);
        pool.right
            .iter()
            .chain(wrong)
            .map(|text| TrainingExample::from_dialogue(question.clone(), text))
            .collect()
    };
    pools.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::super::attempt_pool::testing::{episode, problem};
    use super::*;
    use crate::domain::Dialogue;

    #[test]
    fn wrong_attempts_come_only_if_asked_for() {
        let problems = [problem("p"), problem("q")];
        let episodes = [episode("p", &["a", "b!"]), episode("q", &["c", "c"])];
        let pools = AttemptPool::for_problems(&problems, &episodes, false);
        let layout = |id: &str, _: &[&str]| Dialogue::default().user(id);
        let texts = |right_only| -> Vec<String> {
            let made = single_turn_examples(&pools, &layout, right_only);
            assert!(made.iter().all(|example| example.weights == [0.0, 1.0]));
            made.iter()
                .map(|example| format!("{} {}", example.messages[0].text, example.messages[1].text))
                .collect()
        };
        assert_eq!(texts(true), ["p b!"]);
        assert_eq!(texts(false), ["p b!", "p a", "q c"]);
    }
}
