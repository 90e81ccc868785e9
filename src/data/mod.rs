//! From settings and files to problems, prompts, grades and pre-training documents.
//!
//! Responsible for which problems there are, which split each belongs to, how they are put to a
//! policy and how its answers are read. Hides file formats, the generator, the deal into splits
//! and the prompt templates. Must not know about models, rollouts, training or the store.
//!
//! Where a task is added: a file in `tasks/`, a variant of [`TaskConfig`] (the compiler then lists
//! the places to visit), and a line in the suite that walks every task (`suite.rs`).

mod contamination;
mod corpus;
mod error;
mod fingerprint;
mod graders;
mod known_errors;
mod known_files;
mod numeric_answer;
mod prompt;
mod read_file;
mod split;
mod split_assignment;
mod task;
#[cfg(test)]
mod task_conformance;
mod tasks;

pub use contamination::{LeakedQuestion, NamedProblems, find_leaks, question_key};
pub use corpus::{CorpusConfig, corpus_documents};
pub use error::DataError;
pub use fingerprint::{problem_fingerprint, problems_fingerprint};
pub use graders::{GraderConfig, GraderNameError, RiseCompat, RiseEnvironment};
pub use known_errors::{KnownError, KnownErrorKind, known_errors};
pub use known_files::is_official;
pub use prompt::{AnswerForm, PromptConfig, RetryMessage, ReviewedAttempt, SelfReview};
pub use split::{SplitSizes, TaskSplits, TrainDraw};
pub use task::{DataFile, TaskConfig};
pub use tasks::{
    FileTaskConfig, JsonlTaskConfig, MathSubject, MathTaskConfig, MathTestSet, MathTrainSet,
    PartCount, WordProblems,
};
