//! Dealing the rows of a file out to splits.

use crate::domain::{Problem, Split};

use super::DataError;
use super::split::{SplitSizes, TaskSplits, normalize_question, shuffle_key};

/// Where in a file's shuffled rows each split takes its problems. No place depends on a size, so
/// neither does any split on another one's.
pub(super) struct SplitLayout {
    /// Splits that run forward, each from this many eighths of the rows; in ascending order.
    pub(super) forward: &'static [(Split, usize)],
    /// The split that runs backward from the last row, if any.
    pub(super) backward: Option<Split>,
}

/// Deals out the rows of the file that errors call `place`.
///
/// The order is a hash of each row's question: it is the same in every run, and rows that are
/// added to a file leave the others in order. A larger split begins with the smaller one.
///
/// # Errors
/// If two splits would meet, or one is larger than the file.
pub(super) fn assign_splits(
    mut rows: Vec<Problem>,
    layout: &SplitLayout,
    sizes: &SplitSizes,
    place: &str,
) -> Result<TaskSplits, DataError> {
    rows.sort_by_cached_key(|row| shuffle_key(&normalize_question(&row.question)));
    let starts: Vec<(Split, usize)> = layout
        .forward
        .iter()
        .filter(|(split, _)| sizes.get(*split) > 0)
        .map(|&(split, eighths)| (split, rows.len() * eighths / 8))
        .collect();
    let mut splits = TaskSplits::default();
    let mut taken = 0;
    for (at, &(split, start)) in starts.iter().enumerate() {
        let limit = starts.get(at + 1).map_or(rows.len(), |&(_, next)| next);
        let requested = checked_size(split, sizes, limit - start, place, rows.len())?;
        taken = start + requested;
        splits.set_problems(split, rows[start..taken].to_vec());
    }
    if let Some(split) = layout.backward {
        let requested = checked_size(split, sizes, rows.len() - taken, place, rows.len())?;
        splits.set_problems(split, rows.iter().rev().take(requested).cloned().collect());
    }
    Ok(splits)
}

/// The size of a split, if there is room for it.
fn checked_size(
    split: Split,
    sizes: &SplitSizes,
    room: usize,
    place: &str,
    rows: usize,
) -> Result<usize, DataError> {
    let requested = sizes.get(split);
    if requested <= room {
        return Ok(requested);
    }
    Err(DataError::TooFew {
        split,
        requested,
        available: room,
        place: format!("{place} ({rows} rows)"),
        remedy: "ask for fewer, here or in the other splits that it is dealt out to",
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAYOUT: SplitLayout = SplitLayout {
        forward: &[(Split::Test, 0), (Split::Validation, 4), (Split::Corpus, 5)],
        backward: Some(Split::Train),
    };

    fn rows(count: usize) -> Vec<Problem> {
        (0..count)
            .map(|index| Problem {
                id: index.to_string(),
                question: format!("question {index}"),
                answer: "1".into(),
                solution: None,
            })
            .collect()
    }

    fn sizes(corpus: usize, train: usize, validation: usize, test: usize) -> SplitSizes {
        SplitSizes {
            corpus,
            train,
            validation,
            test,
            ..SplitSizes::empty(0)
        }
    }

    fn dealt(sizes: &SplitSizes) -> Result<TaskSplits, DataError> {
        assign_splits(rows(80), &LAYOUT, sizes, "rows.json")
    }

    #[test]
    fn one_split_alone_may_have_every_row() {
        assert_eq!(dealt(&sizes(0, 0, 0, 80)).unwrap().test.len(), 80);
        assert_eq!(dealt(&sizes(0, 80, 0, 0)).unwrap().train.len(), 80);
        assert_ne!(
            dealt(&sizes(0, 80, 0, 0)).unwrap().train,
            rows(80),
            "rows are shuffled"
        );
    }

    #[test]
    fn too_large_a_split_is_refused_with_what_there_is() {
        for (sizes, split, room) in [
            (sizes(0, 0, 0, 81), Split::Test, 80),
            (sizes(0, 0, 1, 41), Split::Test, 40),
            (sizes(1, 0, 11, 40), Split::Validation, 10),
            (sizes(31, 0, 10, 40), Split::Corpus, 30),
            (sizes(10, 21, 10, 40), Split::Train, 20),
            (sizes(0, 81, 0, 0), Split::Train, 80),
            (sizes(0, usize::MAX, 1, usize::MAX), Split::Test, 40),
        ] {
            match dealt(&sizes).unwrap_err() {
                DataError::TooFew {
                    split: refused,
                    available,
                    ..
                } => {
                    assert_eq!((refused, available), (split, room), "{sizes:?}");
                }
                other => panic!("{other}"),
            }
        }
        insta::assert_snapshot!(dealt(&sizes(0, 60, 0, 40)).unwrap_err(), @"split `train` asks for 60 problems, and rows.json (80 rows) has 40 for it; ask for fewer, here or in the other splits that it is dealt out to");
    }

    proptest! {
        #[test]
        fn a_split_depends_on_its_own_size_alone(
            corpus in 0_usize..=15, train in 0_usize..=15, validation in 0_usize..=10, test in 0_usize..=40,
        ) {
            let together = dealt(&sizes(corpus, train, validation, test)).unwrap();
            together.validate(&SplitSizes::empty(0)).unwrap();
            prop_assert_eq!(&together.corpus, &dealt(&sizes(corpus, 0, 0, 0)).unwrap().corpus);
            prop_assert_eq!(&together.train, &dealt(&sizes(0, train, 0, 0)).unwrap().train);
            prop_assert_eq!(&together.validation, &dealt(&sizes(0, 0, validation, 0)).unwrap().validation);
            prop_assert_eq!(&together.test, &dealt(&sizes(0, 0, 0, test)).unwrap().test);
            prop_assert_eq!(&together.train, &dealt(&sizes(0, 80, 0, 0)).unwrap().train[..train]);
            prop_assert_eq!(&together.test, &dealt(&sizes(0, 0, 0, 80)).unwrap().test[..test]);
        }
    }
}
