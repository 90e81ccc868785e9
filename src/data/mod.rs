//! From settings and files to problems, prompts, grades and pre-training documents.
//!
//! Responsible for which problems there are, which split each belongs to, how they are put to a
//! policy and how its answers are read. Hides file formats, the generator, the deal into splits
//! and the prompt templates. Must not know about models, rollouts, training or the store.
//!
//! Where a task is added: a file in `tasks/`, a variant of [`TaskConfig`] (the compiler then lists
//! the places to visit), and a line in the suite that walks every task (`suite.rs`).

mod answer;
mod corpus;
mod deal;
mod error;
mod file;
mod graders;
mod known_errors;
mod known_files;
mod leaks;
mod print;
mod prompt;
mod split;
#[cfg(test)]
mod suite;
mod task;
mod tasks;

pub use corpus::{CorpusConfig, documents};
pub use error::DataError;
pub use graders::{Environment, GraderConfig, RiseCompat, UnknownGrader};
pub use known_errors::{ErrorKind, KnownError, known_errors};
pub use known_files::is_official;
pub use leaks::{Leak, Part, leaks, question_key};
pub use print::{problem_print, problems_print};
pub use prompt::{AnswerForm, Exchange, Inquiry, Prompt, Retry};
pub use split::{Sizes, Splits, TrainDraw};
pub use task::{DataFile, TaskConfig};
pub use tasks::{Count, FileTask, JsonlTask, MathTask, MathTest, MathTrain, Subject, WordProblems};
