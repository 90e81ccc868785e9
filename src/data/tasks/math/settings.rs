//! Settings of MATH: where its folder is, which problems are tested on, which are trained on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// MATH (Hendrycks et al. 2021) from the user's own copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MathTaskConfig {
    /// The folder `MATH`, which holds `train` and `test`.
    pub path: PathBuf,
    /// Which problems make the test split.
    #[serde(default)]
    pub test: MathTestSet,
    /// Which problems make all other splits.
    #[serde(default)]
    pub train: MathTrainSet,
    /// Only problems of these levels, 1 to 5; all by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<u8>,
    /// Only problems of these subjects; all by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<MathSubject>,
}

impl MathTaskConfig {
    /// MATH-500 and the official training problems of a folder.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        let (test, train) = (MathTestSet::default(), MathTrainSet::default());
        Self {
            path,
            test,
            train,
            levels: Vec::new(),
            subjects: Vec::new(),
        }
    }

    /// The first fault of these settings, as field and complaint.
    #[must_use]
    pub fn first_error(&self) -> Option<(&'static str, String)> {
        if self.path.as_os_str().is_empty() {
            return Some(("path", "is empty: give the place of the data".to_owned()));
        }
        let level = self.levels.iter().find(|level| !(1..=5).contains(*level))?;
        Some(("levels", format!("= {level}: MATH has the levels 1 to 5")))
    }

    /// The subjects in use, each once and in order of their folders.
    pub(super) fn selected_subjects(&self) -> Vec<MathSubject> {
        let wanted =
            |subject: &MathSubject| self.subjects.is_empty() || self.subjects.contains(subject);
        MathSubject::ALL.into_iter().filter(wanted).collect()
    }
}

/// Which problems of MATH are tested on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MathTestSet {
    /// MATH-500 (Lightman et al. 2023).
    #[default]
    #[serde(rename = "math-500")]
    Math500,
    /// The 1,000 that the official RISE code evaluates on.
    #[serde(rename = "rise-1000")]
    Rise1000,
    /// All 5,000 of the folder `test`.
    #[serde(rename = "all")]
    All,
}

impl MathTestSet {
    /// The names of the files, relative to `MATH`; none where it is the whole folder.
    pub(super) fn file_names(self) -> Option<Vec<&'static str>> {
        let list = match self {
            Self::Math500 => include_str!("math500_ids.txt"),
            Self::Rise1000 => include_str!("rise_test_1000_ids.txt"),
            Self::All => return None,
        };
        Some(list.lines().collect())
    }

    /// The name as written in experiment files.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Math500 => "math-500",
            Self::Rise1000 => "rise-1000",
            Self::All => "all",
        }
    }
}

/// Which problems of MATH are trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MathTrainSet {
    /// The 7,500 of the folder `train`.
    #[default]
    Official,
    /// Every problem outside the test split: with MATH-500 the other 12,000.
    Rest,
}

/// A subject of MATH; its name is that of its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MathSubject {
    /// Algebra.
    Algebra,
    /// Counting and probability.
    CountingAndProbability,
    /// Geometry.
    Geometry,
    /// Intermediate algebra.
    IntermediateAlgebra,
    /// Number theory.
    NumberTheory,
    /// Prealgebra.
    Prealgebra,
    /// Precalculus.
    Precalculus,
}

impl MathSubject {
    /// Every subject, in order of the folders.
    pub const ALL: [Self; 7] = [
        Self::Algebra,
        Self::CountingAndProbability,
        Self::Geometry,
        Self::IntermediateAlgebra,
        Self::NumberTheory,
        Self::Prealgebra,
        Self::Precalculus,
    ];

    /// Its folder in `train` and in `test`.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Algebra => "algebra",
            Self::CountingAndProbability => "counting_and_probability",
            Self::Geometry => "geometry",
            Self::IntermediateAlgebra => "intermediate_algebra",
            Self::NumberTheory => "number_theory",
            Self::Prealgebra => "prealgebra",
            Self::Precalculus => "precalculus",
        }
    }

    /// Problems that the original has in `train` and in `test`.
    #[must_use]
    pub const fn official_counts(self) -> (usize, usize) {
        match self {
            Self::Algebra => (1744, 1187),
            Self::CountingAndProbability => (771, 474),
            Self::Geometry => (870, 479),
            Self::IntermediateAlgebra => (1295, 903),
            Self::NumberTheory => (869, 540),
            Self::Prealgebra => (1205, 871),
            Self::Precalculus => (746, 546),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_lists_name_different_files_of_the_test_folder() {
        for (test, count) in [(MathTestSet::Math500, 500), (MathTestSet::Rise1000, 1000)] {
            let names = test.file_names().unwrap();
            assert_eq!(
                (names.len(), names.iter().collect::<BTreeSet<_>>().len()),
                (count, count)
            );
            for name in names {
                let (subject, file) = name.strip_prefix("test/").unwrap().split_once('/').unwrap();
                assert!(
                    MathSubject::ALL
                        .iter()
                        .any(|known| known.folder() == subject),
                    "{name}"
                );
                assert!(
                    file.strip_suffix(".json").unwrap().parse::<u32>().is_ok(),
                    "{name}"
                );
            }
        }
        assert_eq!(MathTestSet::All.file_names(), None);
    }

    #[test]
    fn official_counts_add_up() {
        let counts = MathSubject::ALL.map(MathSubject::official_counts);
        assert_eq!(counts.iter().map(|count| count.0).sum::<usize>(), 7500);
        assert_eq!(counts.iter().map(|count| count.1).sum::<usize>(), 5000);
    }

    #[test]
    fn names_are_those_of_experiment_files() {
        let task: MathTaskConfig =
            toml::from_str("path = \"MATH\"\ntest = \"rise-1000\"\ntrain = \"rest\"\nlevels = [1, 5]\nsubjects = [\"number_theory\"]").unwrap();
        assert_eq!(
            (task.test, task.train, task.selected_subjects()),
            (
                MathTestSet::Rise1000,
                MathTrainSet::Rest,
                vec![MathSubject::NumberTheory]
            )
        );
        for test in [
            MathTestSet::Math500,
            MathTestSet::Rise1000,
            MathTestSet::All,
        ] {
            assert_eq!(serde_json::to_value(test).unwrap(), test.name());
        }
        for subject in MathSubject::ALL {
            assert_eq!(serde_json::to_value(subject).unwrap(), subject.folder());
        }
        let fault = MathTaskConfig {
            levels: vec![1, 6],
            ..MathTaskConfig::new("MATH".into())
        }
        .first_error();
        assert_eq!(
            fault,
            Some(("levels", "= 6: MATH has the levels 1 to 5".to_owned()))
        );
    }
}
