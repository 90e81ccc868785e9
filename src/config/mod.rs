//! Experiment files, base models, and the settings of one run.
//!
//! Responsible for reading TOML into typed settings and for reporting every fault with its place
//! before any work begins. Hides the TOML parser and the way faults are found. Knows the config
//! types of the modules that do the work, and nothing else of them.

mod base_model;
mod base_model_spec;
mod baseline;
mod canonical;
mod deserialize;
mod diagnostic;
mod experiment;
mod run;
mod spanned_value;
mod spelling;
mod sweep;
#[cfg(test)]
mod tests;
mod toml_file;
mod validate;

pub use crate::domain::{AxisLabels, ReportOptions, TableGroup, labels, nearest_name, value_label};
pub use base_model::{BaseModel, BaseModelRef, HfCheckpoint, read_base_model};
pub use base_model_spec::{
    BaseModelSpec, BundledCheckpoint, PretrainConfig, TokenizerConfig, read_base_model_spec,
};
pub use baseline::{Baseline, FieldOverride};
pub use canonical::canonical_json;
pub use diagnostic::{ConfigError, Diagnostic};
pub use experiment::{ExperimentSpec, read_experiment};
pub use run::{BoostConfig, Method, PreferenceConfig, RoundsConfig, RunSpec};
pub use sweep::{AxisValue, ListedCell, SeedOverride, SweepAxis, SweepMode, SweepSpec};
pub use toml_file::TomlFile;
pub use validate::required_models;
