//! Made-up claims about the made-up experiment of the report's tests.

use std::collections::BTreeMap;

use crate::config::{ConfigError, TomlFile};
use crate::report::{ReportData, fixtures};

use super::{ClaimOutcome, ClaimsFile, ClaimsReport, evaluate_claims};

const CLAIMS_TOML: &str = r#"
[[claim]]
id = "E1-improves"
group = "E1"
statement = "RISE improves over its own turns."
source = "Table 1, caption"
population = "60 made-up problems"
experiment = "ablations"
left = { where = { method = "rise" }, metric = "m1@t5" }
right = { metric = "m1@t1" }
per = ["base"]

[[claim]]
id = "E1-base-does-not"
group = "E1"
statement = "The base does not improve over its own turns."
source = "Table 1, direction only"
experiment = "ablations"
left = { where = { method = "rise" }, checkpoint = "base", metric = "m1@t5" }
right = { metric = "m1@t1" }
direction = "not-above"
per = ["base"]

[[claim]]
id = "E5-uniform-above-weighted"
group = "E5"
statement = "Equal weights are better, which they are not."
source = "nobody"
experiment = "ablations"
left = { where = { base = "weak", weighting = "uniform" }, metric = "m1@t5" }
right = { where = { base = "weak", weighting = "exp(0.4)", method = "rise" } }
margin = 1

[[claim]]
id = "E12-solved"
group = "E12"
statement = "Some unsolved problems are solved."
source = "Figure 5, caption"
experiment = "pass-at-b"
left = { metric = "unsolved-any@20" }
right = 0

[[claim]]
id = "E16-above-sft"
group = "E16"
statement = "RISE is above SFT on | any metric."
source = "ours"
experiment = "ablations"
left = { where = { base = "weak", method = "rise", weighting = "exp(0.4)" }, metric = "m1@t5" }
right = [
    { where = { base = "weak", method = "sft" }, metric = "m1@t1" },
    { where = { base = "weak", method = "sft" }, metric = "m5@t1" },
]
"#;

/// The verdicts on [`CLAIMS_TOML`].
pub(crate) fn sample_report() -> ClaimsReport {
    let mut data = fixtures::sample_data();
    let mut metric = data.metrics[0].clone();
    metric.name = "m5@t1".to_owned();
    data.metrics.push(metric);
    evaluate_on(data, CLAIMS_TOML)
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

/// The verdicts on a text's claims in a store with one experiment.
fn try_evaluate_on(data: ReportData, text: &str) -> Result<ClaimsReport, ConfigError> {
    let file = TomlFile::parse("claims.toml", text)?;
    let claims = ClaimsFile::from_toml(&file).map_err(ConfigError::Invalid)?;
    evaluate_claims(&claims.claims, &BTreeMap::from([(data.name.clone(), data)]))
}

pub(crate) fn evaluate_on(data: ReportData, text: &str) -> ClaimsReport {
    try_evaluate_on(data, text).expect("the claims have no errors")
}

/// The diagnostics of a text's claims.
pub(crate) fn error_text(data: ReportData, text: &str) -> String {
    try_evaluate_on(data, text).unwrap_err().to_string()
}

/// The outcome of the first claim.
pub(crate) fn first_outcome(report: &ClaimsReport) -> &ClaimOutcome {
    let mut claims = report.groups.iter().flat_map(|group| &group.claims);
    &claims.next().expect("there is a claim").outcomes[0]
}
