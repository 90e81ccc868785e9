//! What is asked for: experiment files, base models, and the settings of one run.
//!
//! Responsible for reading TOML into typed settings and for saying exactly what is wrong with it
//! before any work begins. Hides the TOML parser and the way faults are found. Knows the config
//! types of the modules that do the work, and nothing else of them.

mod base;
mod base_model;
mod canonical;
mod check;
mod experiment;
mod fault;
mod label;
mod located;
mod read;
mod run;
mod setting;
mod sweep;
#[cfg(test)]
mod tests;
mod tree;
mod wishes;

pub use base::{BaseSpec, BaseTraining, Shipped, TokenizerConfig, resolve};
pub use base_model::{BaseModel, BaseName, HfCheckpoint, resolve_model};
pub use canonical::canonical;
pub use check::models_of;
pub use experiment::{ExperimentSpec, read};
pub use fault::{Fault, SpecError, nearest};
pub use label::label;
pub use located::Located;
pub use run::{BoostConfig, Method, PreferenceConfig, RoundsConfig, RunSpec};
pub use setting::{Setting, Template};
pub use sweep::{Axis, AxisValue, Extra, Mode, Rule, SweepSpec};
pub use wishes::{Family, Labels, Wishes, labels};
