//! Answers that were given before: tables, figures and sentences ask for the same numbers, and a
//! number with its interval takes a million draws.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// Answers by question, found when they are first asked for.
#[derive(Clone, Debug)]
pub struct Memo<Q, A>(RefCell<BTreeMap<Q, A>>);

impl<Q, A> Default for Memo<Q, A> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<Q: Ord, A: Clone> Memo<Q, A> {
    /// The answer, which `find` finds if it is not known.
    pub fn get_or_compute(&self, question: Q, find: impl FnOnce() -> A) -> A {
        if let Some(answer) = self.0.borrow().get(&question) {
            return answer.clone();
        }
        // Nothing is borrowed while it is found: finding may ask in turn.
        let answer = find();
        self.0.borrow_mut().insert(question, answer.clone());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_once_and_questions_may_nest() {
        let known: Memo<u32, u32> = Memo::default();
        let square = |n: u32| known.get_or_compute(n, || n * n);
        assert_eq!(known.get_or_compute(5, || square(3) + square(4)), 25);
        assert_eq!(known.get_or_compute(5, || unreachable!("it is known")), 25);
        assert_eq!(known.get_or_compute(3, || unreachable!("it is known")), 9);
    }
}
