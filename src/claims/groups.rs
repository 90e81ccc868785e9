//! The rows under which claims stand: the experiments E1 to E16 of the reproduction.

/// Every row with what it is about.
pub const CLAIM_GROUPS: [(&str, &str); 16] = [
    ("E1", "Main result on a weak base"),
    ("E2", "Main result on a strong base"),
    ("E3", "Main result on a harder task"),
    ("E4", "Self-distillation"),
    ("E5", "Weighting"),
    ("E6", "Which attempts become targets"),
    ("E7", "Turns in the training data"),
    ("E8", "Whose rollouts are trained on"),
    ("E9", "Restart or continue, union or latest"),
    ("E10", "History window"),
    ("E11", "Other tasks than the one trained on"),
    ("E12", "Problems that pass@B leaves unsolved"),
    ("E13", "Likelihood of the reference answer"),
    ("E14", "With and without oracle"),
    ("E15", "Retry texts"),
    ("E16", "The systems it is compared with"),
];

/// The names of the rows.
#[must_use]
pub fn group_names() -> [&'static str; 16] {
    CLAIM_GROUPS.map(|(name, _)| name)
}
