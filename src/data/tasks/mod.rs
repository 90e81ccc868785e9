//! The tasks, one file each: what a problem looks like and where it comes from.

mod file_task;
mod gsm8k;
mod svamp;
mod word_problems;
mod wording;

pub use file_task::FileTask;
pub(super) use gsm8k::Gsm8k;
pub(super) use svamp::Svamp;
pub use word_problems::WordProblems;
pub(super) use wording::Wording;
