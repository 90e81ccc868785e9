//! Right answers against wrong ones: what a verifier is trained on (V-STaR, Hosseini et al. 2024).
//!
//! Any right attempt at a problem is compared with any wrong one, whoever made them. Must not know
//! how preferences are learnt.

use crate::domain::{Example, Preference, Seed};

use super::{Layout, Pool};

/// One pair per different wrong attempt: a right attempt at the same problem is the better answer
/// to the plain question. Problems without a right attempt give nothing.
#[must_use]
pub fn preferences(pools: &[Pool<'_>], layout: Layout<'_>, seed: Seed) -> Vec<Preference> {
    let of = |pool: &Pool<'_>| -> Vec<Preference> {
        let question = layout(&pool.problem.id, &[]);
        let partners = pool.partners(seed, pool.wrong.len());
        let pair = |(right, wrong): (&str, &&str)| Preference {
            chosen: Example::of(question.clone(), right),
            rejected: Example::of(question.clone(), wrong),
        };
        partners.into_iter().zip(&pool.wrong).map(pair).collect()
    };
    pools.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::super::pool::testing::{episode, problem};
    use super::*;
    use crate::domain::Dialogue;

    #[test]
    fn every_wrong_attempt_loses_against_a_right_one() {
        let problems = [problem("p"), problem("q"), problem("r")];
        let episodes = [
            episode("p", &["a", "b!", "c"]),
            episode("q", &["d"]),
            episode("r", &["e!"]),
        ];
        let shown = |references| -> Vec<String> {
            let pools = Pool::all(&problems, &episodes, references);
            let layout = |id: &str, _: &[&str]| Dialogue::default().user(id);
            let said = |example: &Example| {
                assert_eq!(example.weights, [0.0, 1.0]);
                format!("{} {}", example.messages[0].text, example.messages[1].text)
            };
            let line =
                |pair: &Preference| format!("{} > {}", said(&pair.chosen), said(&pair.rejected));
            preferences(&pools, &layout, Seed(0))
                .iter()
                .map(line)
                .collect()
        };
        assert_eq!(shown(false), ["p b! > p a", "p b! > p c"]);
        let with_references = shown(true);
        assert_eq!(with_references.len(), 3);
        assert!(with_references.contains(&"q q!! > q d".to_owned()));
        assert!(
            with_references
                .iter()
                .any(|line| line.starts_with("p p!! > "))
        );
    }
}
