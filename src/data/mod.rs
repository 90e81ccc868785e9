//! From settings and files to problems, prompts, grades and pre-training documents.
//!
//! Responsible for which problems there are, which split each belongs to, how they are put to a
//! policy and how its answers are read. Hides file formats, the generator, the deal into splits
//! and the prompt templates. Must not know about models, rollouts, training or the store.
//!
//! Where a task is added: a file in `tasks/`, a variant of [`TaskConfig`] (the compiler then lists
//! the places to visit), and a line in the suite that walks every task (`suite.rs`).

mod corpus;
mod error;
mod fingerprint;
mod graders;
mod known;
mod leaks;
mod numeric_answer;
mod prompt;
mod split;
mod split_assignment;
mod task;
#[cfg(test)]
mod task_conformance;
mod tasks;

pub use corpus::{CorpusConfig, corpus_documents};
pub use error::DataError;
pub use fingerprint::{problem_fingerprint, problems_fingerprint};
pub use graders::{GraderConfig, GraderNameError, RiseCompat, RiseEnvironment};
pub use known::{KnownError, KnownErrorKind, is_official, known_errors};
pub use leaks::{LeakedQuestion, NamedProblems, find_leaks, question_key};
pub use prompt::{AnswerForm, PromptConfig, RetryMessage, ReviewedAttempt, SelfReview};
pub use split::{SplitSizes, TaskSplits, TrainDraw};
pub use task::{DataFile, TaskConfig};
pub use tasks::{
    FileTaskConfig, JsonlTaskConfig, MathSubject, MathTaskConfig, MathTestSet, MathTrainSet,
    PartCount, WordProblems,
};
