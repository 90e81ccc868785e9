//! Two dialogues of which one is better than the other.

use serde::{Deserialize, Serialize};

use super::TrainingExample;

/// A pair to learn a preference from. It compares the messages with a weight other than 0;
/// how much they weigh does not matter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreferencePair {
    /// The better one.
    pub chosen: TrainingExample,
    /// The worse one.
    pub rejected: TrainingExample,
}
