//! A few made-up claims about the made-up experiment of the report's tests. Never compiled into the
//! program.

use std::collections::BTreeMap;

use crate::config::TomlFile;
use crate::report::{ReportData, fixtures};

use super::{Claim, ClaimOutcome, ClaimsFile, ClaimsReport, evaluate_claims};

const CLAIMS_TOML: &str = r#"
[[claim]]
id = "E1-improves"
row = "E1"
statement = "RISE improves over its own turns."
source = "Table 1, caption"
population = "60 made-up problems"
experiment = "ablations"
left = { where = { method = "rise" }, metric = "m1@t5" }
right = { metric = "m1@t1" }
per = ["base"]

[[claim]]
id = "E1-base-does-not"
row = "E1"
statement = "The base does not improve over its own turns."
source = "Table 1, direction only"
experiment = "ablations"
left = { where = { method = "rise" }, checkpoint = "base", metric = "m1@t5" }
right = { metric = "m1@t1" }
direction = "not-above"
per = ["base"]

[[claim]]
id = "E5-uniform-above-weighted"
row = "E5"
statement = "Equal weights are better, which they are not."
source = "nobody"
experiment = "ablations"
left = { where = { base = "weak", weighting = "uniform" }, metric = "m1@t5" }
right = { where = { base = "weak", weighting = "exp(0.4)", method = "rise" } }
margin = 1

[[claim]]
id = "E12-solved"
row = "E12"
statement = "Some unsolved problems are solved."
source = "Figure 5, caption"
experiment = "pass-at-b"
left = { metric = "unsolved-any@20" }
right = 0

[[claim]]
id = "E16-above-sft"
row = "E16"
statement = "RISE is above SFT on | any metric."
source = "ours"
experiment = "ablations"
left = { where = { base = "weak", method = "rise", weighting = "exp(0.4)" }, metric = "m1@t5" }
right = [
    { where = { base = "weak", method = "sft" }, metric = "m1@t1" },
    { where = { base = "weak", method = "sft" }, metric = "m5@t1" },
]
"#;

/// The verdicts on them.
pub(crate) fn sample_report() -> ClaimsReport {
    let file =
        ClaimsFile::from_toml(&TomlFile::parse("claims.toml", CLAIMS_TOML).expect("it is TOML"))
            .expect("it has no faults");
    let mut frame = fixtures::sample_data();
    let mut further = frame.metrics[0].clone();
    further.name = "m5@t1".to_owned();
    frame.metrics.push(further);
    evaluate_claims(
        &file.claims,
        &BTreeMap::from([(frame.name.clone(), frame)]),
        None,
    )
    .expect("everything is there")
}

/// One claim alone.
pub(crate) const SINGLE_CLAIM_TOML: &str = r#"
[[claim]]
id = "improves"
row = "E1"
statement = "RISE improves over its own turns."
source = "Table 1, caption"
experiment = "ablations"
left = { where = { method = "rise" }, metric = "m1@t5" }
right = { metric = "m1@t1" }
per = ["base"]
"#;

/// The claims of a text.
pub(crate) fn parse_claims(text: &str) -> Vec<Claim> {
    ClaimsFile::from_toml(&TomlFile::parse("claims.toml", text).unwrap())
        .unwrap()
        .claims
}

/// The experiments of a store that has only this one.
pub(crate) fn single_experiment(frame: ReportData) -> BTreeMap<String, ReportData> {
    BTreeMap::from([(frame.name.clone(), frame)])
}

/// The verdicts on a text's claims by one experiment.
pub(crate) fn evaluate_on(frame: ReportData, text: &str) -> ClaimsReport {
    evaluate_claims(&parse_claims(text), &single_experiment(frame), None).unwrap()
}

/// What is wrong with a text's claims.
pub(crate) fn error_text(frame: ReportData, text: &str) -> String {
    evaluate_claims(&parse_claims(text), &single_experiment(frame), None)
        .unwrap_err()
        .to_string()
}

/// The outcome of the first claim.
pub(crate) fn first_outcome(verdicts: &ClaimsReport) -> &ClaimOutcome {
    let claims = verdicts.groups.iter().flat_map(|row| &row.claims);
    &claims
        .into_iter()
        .next()
        .expect("there is a claim")
        .outcomes[0]
}
