//! How many problems a part of a data set holds, and how many the original has.

/// A part of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartCount {
    /// The part, e.g. `train.jsonl` or `test/algebra`.
    pub part: String,
    /// Problems that are there.
    pub found: usize,
    /// Problems that the original has.
    pub official: usize,
}

impl PartCount {
    /// A sentence where the two differ.
    #[must_use]
    pub fn mismatch(&self) -> Option<String> {
        let Self {
            part: what,
            found,
            official,
        } = self;
        (found != official)
            .then(|| format!("{what} holds {found} problems, the original {official}"))
    }
}
