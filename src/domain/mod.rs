//! The words of the problem: plain values that every other module speaks in.
//!
//! Responsible for what a problem, an attempt, an episode, a seed and a key *are*. Must not know
//! about files, tensors, SQL, the terminal, or how any of these values come about.

mod dialogue;
mod episode;
mod event;
mod example;
mod key;
mod policy;
mod preference;
mod problem;
mod reward;
mod seed;
mod trace;

pub use dialogue::{Dialogue, Message, Role};
pub use episode::{Author, Candidate, Episode, Grade, Review, Turn};
pub use event::{Event, Observer, Point, Silent};
pub use example::Example;
pub use key::Key;
pub use policy::{Attempt, Policy, PolicyError, Request, Sampling, ScriptedPolicy};
pub use preference::Preference;
pub use problem::{Problem, Split};
pub use reward::{Reward, Verdict};
pub use seed::{Draws, Seed};
pub use trace::{Step, Traced, steps_of};
