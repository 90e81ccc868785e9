//! A few made-up claims about the made-up experiment of the report's tests. Never compiled into the
//! program.

use std::collections::BTreeMap;

use crate::report::sample;
use crate::spec::Located;

use super::{ClaimsFile, Verdicts, settle};

const TEXT: &str = r#"
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
pub(crate) fn verdicts() -> Verdicts {
    let file =
        ClaimsFile::of(&Located::text("claims.toml", TEXT).expect("it is TOML")).expect("it has no faults");
    let mut frame = sample::frame();
    let mut further = frame.metrics[0].clone();
    further.name = "m5@t1".to_owned();
    frame.metrics.push(further);
    settle(&file.claims, &BTreeMap::from([(frame.name.clone(), frame)]), None).expect("everything is there")
}
