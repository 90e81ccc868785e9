//! The tasks, one file each: what a problem looks like and where it comes from.

mod count;
mod file_task;
mod gsm8k;
mod jsonl;
mod math;
mod svamp;
mod word_problems;
mod wording;

pub use count::Count;
pub use file_task::FileTask;
pub(super) use gsm8k::Gsm8k;
pub(super) use jsonl::Jsonl;
pub use jsonl::JsonlTask;
pub(super) use math::Math;
pub use math::{MathTask, MathTest, MathTrain, Subject};
pub(super) use svamp::Svamp;
pub use word_problems::WordProblems;
pub(super) use wording::Wording;
