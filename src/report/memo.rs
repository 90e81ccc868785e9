//! A memo of computed answers: tables, figures and sentences need the same numbers, and an interval
//! takes a million draws.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// Answers by question, each computed once.
#[derive(Clone, Debug)]
pub struct Memo<Q, A>(RefCell<BTreeMap<Q, A>>);

impl<Q, A> Default for Memo<Q, A> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<Q: Ord, A: Clone> Memo<Q, A> {
    /// The known answer, or the result of `find`.
    pub fn get_or_compute(&self, question: Q, find: impl FnOnce() -> A) -> A {
        if let Some(answer) = self.0.borrow().get(&question) {
            return answer.clone();
        }
        // No borrow is held here, since `find` may use the memo itself.
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
