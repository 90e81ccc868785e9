//! A claim with nothing left out, and the reading of files of claims.
//!
//! Responsible for what a claim means in itself, and for names that are there twice. How a claim's table is written is
//! `form.rs`; whether the axes, checkpoints and metrics exist is known where they are looked for (`choice.rs`).

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::{AxisLabels, ConfigError, Diagnostic, TomlFile};
use crate::stats::EffectDirection;

use super::file::{ClaimTable, ComparatorTables, OperandTable};

/// A file of claims.
#[derive(Clone, Debug)]
pub struct ClaimsFile {
    /// The claims, in order.
    pub claims: Vec<Claim>,
}

/// One claim.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Its name.
    pub id: String,
    /// The row it belongs to, `E1` to `E16`.
    pub group: String,
    /// What is claimed, in one sentence.
    pub statement: String,
    /// Where it is claimed.
    pub source: String,
    /// On which problems it is claimed.
    pub population: String,
    /// The experiment whose runs answer it.
    pub experiment: String,
    /// What is compared.
    pub left: MeasuredQuantity,
    /// What it is compared with; the claim has to hold against each of them.
    pub right: Vec<Comparator>,
    /// Which way the difference lies.
    pub direction: EffectDirection,
    /// What the difference has to pass: points for fractions, else the metric's own unit.
    pub margin: f64,
    /// The smallest effect of interest, in the same unit; none for two points.
    pub smallest_effect: Option<f64>,
    /// The axes over whose values the claim is settled separately.
    pub per_axes: Vec<String>,
    /// Where all of this is written.
    pub(super) toml: TomlFile,
}

/// Something measured: which runs, which of their checkpoints, which metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MeasuredQuantity {
    /// Values of axes, by path.
    #[serde(rename = "where")]
    pub selector: AxisLabels,
    /// `first`, `last`, or a checkpoint's name.
    pub checkpoint: String,
    /// The metric's name.
    pub metric: String,
    /// A metric of the same checkpoint that is taken off first: what is measured is a gain.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "over")]
    pub subtracted_metric: Option<String>,
}

/// What something measured is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparator {
    /// Something else that is measured.
    Quantity(MeasuredQuantity),
    /// A number, in points for fractions, else in the metric's own unit.
    Number(f64),
}

impl ClaimsFile {
    /// Reads a file of claims.
    ///
    /// # Errors
    /// If it cannot be read, or anything in it is wrong in form: all faults that can be told apart.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::from_toml(&TomlFile::read(path)?).map_err(ConfigError::Invalid)
    }

    /// The claims of a text.
    pub(super) fn from_toml(file: &TomlFile) -> Result<Self, Vec<Diagnostic>> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct ClaimsTable {
            #[serde(default, rename = "claim")]
            _claims: Vec<serde::de::IgnoredAny>,
        }
        let ClaimsTable { .. } = file.deserialize()?;
        let (mut claims, mut faults) = (Vec::new(), Vec::new());
        let mut ids = BTreeSet::new();
        for written in file.items("claim") {
            match Claim::from_table(written) {
                Ok(claim) => {
                    if !ids.insert(claim.id.clone()) {
                        let complaint = format!("claim `{}` is there twice", claim.id);
                        faults.push(claim.toml.diagnostic(&["id"], complaint));
                    }
                    claims.push(claim);
                }
                Err(more) => faults.extend(more),
            }
        }
        if faults.is_empty() {
            Ok(Self { claims })
        } else {
            Err(faults)
        }
    }
}

impl Claim {
    fn from_table(written: TomlFile) -> Result<Self, Vec<Diagnostic>> {
        let form: ClaimTable = written.deserialize()?;
        let faults = form.validate(&written);
        if !faults.is_empty() {
            return Err(faults);
        }
        let left = MeasuredQuantity {
            selector: form.left.selector.unwrap_or_default(),
            checkpoint: form.left.checkpoint.unwrap_or_else(|| "last".to_owned()),
            metric: form.left.metric.unwrap_or_default(),
            subtracted_metric: form.left.subtracted_metric,
        };
        let rival = |one| match one {
            OperandTable::Number(number) => Comparator::Number(number),
            OperandTable::Measured(measured) => Comparator::Quantity(measured.fill_from(&left)),
        };
        let right = match form.right {
            ComparatorTables::One(one) => vec![rival(one)],
            ComparatorTables::Each(all) => all.into_iter().map(rival).collect(),
        };
        Ok(Self {
            right,
            left,
            id: form.id,
            group: form.row,
            statement: form.statement,
            source: form.source,
            population: form.population,
            experiment: form.experiment,
            direction: form.direction,
            margin: form.margin,
            smallest_effect: form.worth,
            per_axes: form.per,
            toml: written,
        })
    }

    /// The steps to the `at`-th right side in the file.
    pub(super) fn right_side_path(&self, at: usize) -> Vec<String> {
        let mut steps = vec!["right".to_owned()];
        if self.right.len() > 1 {
            steps.push(at.to_string());
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[claim]]
id = "E5-weighted"
row = "E5"
statement = "Weighted imitation is better than plain imitation."
source = "section 4"
experiment = "weighting"
left = { where = { weighting = { exp = { temperature = 0.4 } }, "rounds.count" = 2 }, metric = "m1@t5" }
right = { where = { weighting = "uniform" } }
per = ["regime"]
"#;

    fn read(text: &str) -> Result<ClaimsFile, Vec<Diagnostic>> {
        ClaimsFile::from_toml(&TomlFile::parse("claims.toml", text).unwrap())
    }

    fn error_text(text: &str) -> String {
        read(text)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn what_the_right_side_leaves_out_is_as_on_the_left() {
        let claim = read(GOOD).unwrap().claims.remove(0);
        assert_eq!(claim.left.selector["weighting"], "exp(0.4)");
        assert_eq!(
            (
                claim.left.selector["rounds.count"].as_str(),
                claim.left.checkpoint.as_str()
            ),
            ("2", "last")
        );
        let Comparator::Quantity(right) = &claim.right[0] else {
            panic!("{:?}", claim.right)
        };
        assert_eq!(
            (
                right.selector.len(),
                right.metric.as_str(),
                right.checkpoint.as_str()
            ),
            (1, "m1@t5", "last")
        );
        assert_eq!(
            (
                claim.left.subtracted_metric.as_ref(),
                right.subtracted_metric.as_ref()
            ),
            (None, None)
        );
        assert_eq!(
            (claim.direction, claim.margin, claim.smallest_effect),
            (EffectDirection::Above, 0.0, None)
        );
    }

    #[test]
    fn the_right_side_may_be_a_number_or_several() {
        let number = read(&GOOD.replace("right = {", "right = [0.5, 3] # {")).unwrap();
        assert_eq!(
            number.claims[0].right,
            [Comparator::Number(0.5), Comparator::Number(3.0)]
        );
        let both = read(&GOOD.replace(
            "right = {",
            "right = [{ metric = \"m1@t1\" }, { metric = \"m5@t1\" }] # {",
        ));
        assert_eq!(both.unwrap().claims[0].right.len(), 2);
    }

    #[test]
    fn a_gain_is_compared_with_a_gain_unless_a_metric_is_given() {
        let text = GOOD.replace("metric = \"m1@t5\"", "metric = \"m1@t5\", over = \"m1@t1\"");
        let claim = read(&text).unwrap().claims.remove(0);
        let Comparator::Quantity(right) = &claim.right[0] else {
            panic!("{:?}", claim.right)
        };
        assert_eq!(
            (
                claim.left.subtracted_metric.as_deref(),
                right.subtracted_metric.as_deref()
            ),
            (Some("m1@t1"), Some("m1@t1"))
        );
        let claim = read(&text.replace("right = {", "right = { metric = \"p1@t5\" } # {"))
            .unwrap()
            .claims
            .remove(0);
        let Comparator::Quantity(right) = &claim.right[0] else {
            panic!("{:?}", claim.right)
        };
        assert_eq!(right.subtracted_metric, None);
    }

    #[test]
    fn faults_are_shown_where_they_are() {
        insta::assert_snapshot!(error_text(&GOOD.replace("\"E5\"", "\"E55\"").replace("metric = \"m1@t5\"", "metrik = \"m1@t5\"")), @r#"
        claims.toml:8:87: `claim[0].left.metrik`: unknown field
          |
        8 | left = { where = { weighting = { exp = { temperature = 0.4 } }, "rounds.count" = 2 }, metrik = "m1@t5" }
          |                                                                                       ^^^^^^
          = did you mean `metric`?
          = valid here: `where`, `checkpoint`, `metric`, `over`.
        "#);
        insta::assert_snapshot!(error_text(&GOOD.replace("\"E5\"", "\"E55\"")), @r#"
        claims.toml:4:7: `claim[0].row`: there is no row `E55`
          |
        4 | row = "E55"
          |       ^^^^^
          = did you mean `E5`?
          = valid here: `E1`, `E2`, `E3`, `E4`, `E5`, `E6`, `E7`, `E8`, `E9`, `E10`, `E11`, `E12`, `E13`, `E14`, `E15`, `E16`.
        "#);
        insta::assert_snapshot!(error_text(&GOOD.replace("per =", "direction = \"abov\"\nper =")), @r#"
        claims.toml:10:13: `claim[0].direction`: unknown choice `abov`
           |
        10 | direction = "abov"
           |             ^^^^^^
           = did you mean `above`?
           = valid here: `above`, `below`, `not-above`, `not-below`.
        "#);
        insta::assert_snapshot!(error_text(&GOOD.replace("right = {", "right = [3, { metrc = 1 }] # {")), @r#"
        claims.toml:9:15: `claim[0].right[1].metrc`: unknown field
          |
        9 | right = [3, { metrc = 1 }] # { where = { weighting = "uniform" } }
          |               ^^^^^
          = did you mean `metric`?
          = valid here: `where`, `checkpoint`, `metric`, `over`.
        "#);
        insta::assert_snapshot!(error_text(&GOOD.replace("right = {", "right = \"zero\" # {")), @r#"
        claims.toml:9:9: `claim[0].right`: expected a number, { where = ..., checkpoint = ..., metric = ... }, or a list of such, found string "zero"
          |
        9 | right = "zero" # { where = { weighting = "uniform" } }
          |         ^^^^^^
        "#);
        insta::assert_snapshot!(error_text(&GOOD.replace(", metric = \"m1@t5\"", "").replace("per =", "worth = 0\nper =")), @r#"
        claims.toml:8:8: `claim[0].left`: `metric` is required here
          |
        8 | left = { where = { weighting = { exp = { temperature = 0.4 } }, "rounds.count" = 2 } }
          |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = write metric = "m1@t5" or another.
        claims.toml:10:9: `claim[0].worth`: the smallest effect of interest is a number above 0
           |
        10 | worth = 0
           |         ^
        "#);
        insta::assert_snapshot!(error_text(&format!("{GOOD}{GOOD}")), @r#"
        claims.toml:13:6: `claim[1].id`: claim `E5-weighted` is there twice
           |
        13 | id = "E5-weighted"
           |      ^^^^^^^^^^^^^
        "#);
        insta::assert_snapshot!(error_text(&GOOD.replace("[[claim]]", "[[claims]]")), @r"
        claims.toml:2:3: `claims`: unknown field
          |
        2 | [[claims]]
          |   ^^^^^^
          = did you mean `claim`?
          = valid here: `claim`.
        ");
    }
}
