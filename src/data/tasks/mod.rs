//! The tasks, one file each: the form of a problem and its source.

mod file_task;
mod gsm8k;
mod jsonl;
mod math;
mod part_count;
mod svamp;
mod word_problems;
mod wording;

pub use file_task::FileTaskConfig;
pub(super) use gsm8k::Gsm8kReader;
pub(super) use jsonl::JsonlReader;
pub use jsonl::JsonlTaskConfig;
pub(super) use math::MathReader;
pub use math::{MathSubject, MathTaskConfig, MathTestSet, MathTrainSet};
pub use part_count::PartCount;
pub(super) use svamp::SvampReader;
pub use word_problems::WordProblems;
pub(super) use wording::StoryWording;
