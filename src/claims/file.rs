//! The TOML file of claims: its groups, a claim as written, and the errors of a claim on its own.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::{AxisLabels, ConfigError, Diagnostic, TomlFile, labels};
use crate::report::DisplayUnit;
use crate::stats::EffectDirection;

/// Every group with its title: the experiments E1 to E16 of the reproduction.
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

/// A file of claims.
#[derive(Clone, Debug)]
pub struct ClaimsFile {
    /// The claims, in order.
    pub claims: Vec<Claim>,
}

/// One claim.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Its name.
    pub id: String,
    /// Its group, `E1` to `E16`; p values are corrected over a group.
    #[serde(alias = "row")]
    pub group: String,
    /// The claim in one sentence.
    pub statement: String,
    /// Where the claim is made.
    pub source: String,
    /// The problems that it is about.
    #[serde(default)]
    pub population: String,
    /// The experiment whose runs answer it.
    pub experiment: String,
    /// The left side of the comparison.
    pub left: MeasuredQuantity,
    /// The right sides; the claim must hold against each.
    #[serde(deserialize_with = "comparators")]
    pub right: Vec<Comparator<MeasuredQuantity>>,
    /// The side on which the difference lies.
    #[serde(default)]
    pub direction: EffectDirection,
    /// The value that the difference must pass: points for fractions, else the metric's own unit.
    #[serde(default)]
    pub margin: f64,
    /// The smallest effect of interest, in the same unit; none for two points.
    #[serde(default, alias = "worth")]
    pub smallest_effect: Option<f64>,
    /// The axes with one verdict for each value.
    #[serde(default, rename = "per")]
    pub per_axes: Vec<String>,
    /// The claim's table in the file, for the spans of errors.
    #[serde(skip, default = "TomlFile::empty")]
    pub(super) table: TomlFile,
}

/// A measurement: runs, one of their checkpoints, and a metric.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MeasuredQuantity {
    /// Values of axes, by path.
    #[serde(rename = "where", deserialize_with = "labels")]
    pub selector: AxisLabels,
    /// `first`, `last`, or a checkpoint's name.
    pub checkpoint: String,
    /// The metric's name.
    pub metric: String,
    /// A metric of the same checkpoint to subtract, which makes the quantity a gain.
    #[serde(rename = "over")]
    pub subtracted_metric: Option<String>,
}

/// The right side of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparator<Q> {
    /// A measurement.
    Measured(Q),
    /// A number, in points for fractions, else in the metric's own unit.
    Number(f64),
}

impl ClaimsFile {
    /// Reads a file of claims.
    ///
    /// # Errors
    /// If the file cannot be read, or a claim is malformed: the diagnostics of all claims.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::from_toml(&TomlFile::read(path)?).map_err(ConfigError::Invalid)
    }

    /// The claims of a parsed file.
    pub(super) fn from_toml(file: &TomlFile) -> Result<Self, Vec<Diagnostic>> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct ClaimsTable {
            #[serde(default, rename = "claim")]
            _claims: Vec<IgnoredAny>,
        }
        let ClaimsTable { .. } = file.deserialize()?;
        let (mut claims, mut diagnostics) = (Vec::new(), Vec::new());
        let mut ids = BTreeSet::new();
        for table in file.items("claim") {
            match Claim::from_table(table) {
                Ok(claim) => {
                    if !ids.insert(claim.id.clone()) {
                        let message = format!("claim `{}` is defined twice", claim.id);
                        diagnostics.push(claim.table.diagnostic(&["id"], message));
                    }
                    claims.push(claim);
                }
                Err(more) => diagnostics.extend(more),
            }
        }
        if diagnostics.is_empty() {
            Ok(Self { claims })
        } else {
            Err(diagnostics)
        }
    }
}

impl Claim {
    fn from_table(table: TomlFile) -> Result<Self, Vec<Diagnostic>> {
        let mut claim: Self = table.deserialize()?;
        claim.table = table;
        let diagnostics = claim.validate();
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        for index in 0..claim.right.len() {
            let path = claim.right_path(index);
            if let Comparator::Measured(quantity) = &mut claim.right[index] {
                quantity.inherit(&claim.left, |field| {
                    claim.table.contains(&join_path(&path, &[field]))
                });
            }
        }
        Ok(claim)
    }

    /// The errors of a claim on its own.
    fn validate(&self) -> Vec<Diagnostic> {
        let table = &self.table;
        let mut diagnostics = Vec::new();
        let groups = CLAIM_GROUPS.map(|(id, _)| id);
        if !groups.contains(&self.group.as_str()) {
            let path = [self.spelling("group", "row")];
            let message = format!("unknown group `{}`", self.group);
            diagnostics.push(table.unknown_value(&path, message, &self.group, &groups));
        }
        if self.id.is_empty() {
            diagnostics.push(table.diagnostic(&["id"], "a claim needs a name"));
        }
        if !table.contains(&["left", "metric"]) {
            diagnostics.push(
                table
                    .diagnostic(&["left"], "`metric` is required here")
                    .with_hint("write metric = \"m1@t5\" or another."),
            );
        }
        if self.right.is_empty() {
            let message = "the list is empty; give a number or a quantity";
            diagnostics.push(table.diagnostic(&["right"], message));
        }
        if !self.margin.is_finite() {
            diagnostics.push(table.diagnostic(&["margin"], "the margin must be finite"));
        }
        if self
            .smallest_effect
            .is_some_and(|effect| !(effect.is_finite() && effect > 0.0))
        {
            let path = [self.spelling("smallest_effect", "worth")];
            let message = "the smallest effect of interest must be above 0";
            diagnostics.push(table.diagnostic(&path, message));
        }
        diagnostics
    }

    /// The spelling of a field that the file uses.
    fn spelling(&self, name: &'static str, alias: &'static str) -> &'static str {
        if self.table.contains(&[alias]) {
            alias
        } else {
            name
        }
    }

    /// The path of a right side in the claim's table.
    pub(super) fn right_path(&self, index: usize) -> Vec<String> {
        let index = index.to_string();
        if self.table.contains(&["right", &index]) {
            vec!["right".to_owned(), index]
        } else {
            vec!["right".to_owned()]
        }
    }

    /// The measured sides with their paths in the claim's table.
    pub(super) fn quantities(&self) -> Vec<(Vec<String>, &MeasuredQuantity)> {
        let mut sides = vec![(vec!["left".to_owned()], &self.left)];
        for (index, comparator) in self.right.iter().enumerate() {
            if let Comparator::Measured(quantity) = comparator {
                sides.push((self.right_path(index), quantity));
            }
        }
        sides
    }

    /// An error of a right side.
    pub(super) fn right_diagnostic(&self, index: usize, message: impl Into<String>) -> Diagnostic {
        let path = self.right_path(index);
        self.table.diagnostic(&join_path(&path, &[]), message)
    }

    /// The comparison in words.
    pub(super) fn comparison_text(&self, unit: DisplayUnit) -> String {
        let rights: Vec<String> = self
            .right
            .iter()
            .map(|right| match right {
                Comparator::Number(number) if unit == DisplayUnit::Fraction => {
                    format!("{number} %")
                }
                Comparator::Number(number) => format!("{number} {}", unit.difference_unit()),
                Comparator::Measured(quantity) => quantity.text_after(&self.left),
            })
            .collect();
        let each = if rights.len() > 1 { "each of " } else { "" };
        let comma = if self.left.selector.is_empty() {
            ""
        } else {
            ","
        };
        let (left, direction) = (self.left.text(), self.direction.words());
        format!("{left}{comma} {direction} {each}{}", rights.join("; "))
    }
}

impl Default for MeasuredQuantity {
    fn default() -> Self {
        Self {
            selector: AxisLabels::new(),
            checkpoint: "last".to_owned(),
            metric: String::new(),
            subtracted_metric: None,
        }
    }
}

impl MeasuredQuantity {
    /// Whether it is a metric minus another one.
    pub(super) fn is_gain(&self) -> bool {
        self.subtracted_metric.is_some()
    }

    /// Takes each part that is not written from the left side; a written metric comes without the
    /// left side's subtracted one.
    fn inherit(&mut self, left: &Self, is_written: impl Fn(&str) -> bool) {
        if !is_written("where") {
            self.selector.clone_from(&left.selector);
        }
        if !is_written("checkpoint") {
            self.checkpoint.clone_from(&left.checkpoint);
        }
        if !is_written("metric") {
            self.metric.clone_from(&left.metric);
            if !is_written("over") {
                self.subtracted_metric.clone_from(&left.subtracted_metric);
            }
        }
    }

    /// The metric, or its gain over another one.
    pub(super) fn metric_text(&self) -> String {
        match &self.subtracted_metric {
            Some(subtracted) => format!("{} − {subtracted}", self.metric),
            None => self.metric.clone(),
        }
    }

    fn checkpoint_text(&self) -> String {
        match self.checkpoint.as_str() {
            name @ ("first" | "last") => format!("the {name} checkpoint"),
            name => format!("checkpoint {name}"),
        }
    }

    fn text(&self) -> String {
        let (metric, checkpoint) = (self.metric_text(), self.checkpoint_text());
        if self.selector.is_empty() {
            return format!("{metric} of {checkpoint}");
        }
        let values = values_text(&self.selector);
        format!("{metric} of {checkpoint} where {values}")
    }

    /// The text of a right side, without the parts it shares with the left one.
    fn text_after(&self, left: &Self) -> String {
        if self.selector != left.selector {
            self.text()
        } else if self.checkpoint == left.checkpoint {
            format!("its {}", self.metric_text())
        } else {
            format!("its {} at {}", self.metric_text(), self.checkpoint_text())
        }
    }
}

/// `a = b, c = d`.
pub(super) fn values_text<'v>(
    values: impl IntoIterator<Item = (&'v String, &'v String)>,
) -> String {
    values
        .into_iter()
        .map(|(axis, value)| format!("{axis} = {value}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A path in the claim's table, as [`TomlFile`] takes it.
pub(super) fn join_path<'p>(side: &'p [String], more: &[&'p str]) -> Vec<&'p str> {
    let side = side.iter().map(String::as_str);
    side.chain(more.iter().copied()).collect()
}

/// Reads the right side: a number, a quantity, or a list of them.
fn comparators<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Comparator<MeasuredQuantity>>, D::Error> {
    ComparatorVisitor { in_list: false }.deserialize(deserializer)
}

/// Not an untagged enum, which would lose the spans of errors.
struct ComparatorVisitor {
    in_list: bool,
}

impl<'de> DeserializeSeed<'de> for ComparatorVisitor {
    type Value = Vec<Comparator<MeasuredQuantity>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ComparatorVisitor {
    type Value = Vec<Comparator<MeasuredQuantity>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quantity = "{ where = ..., checkpoint = ..., metric = ... }";
        if self.in_list {
            write!(f, "a number or {quantity}")
        } else {
            write!(f, "a number, {quantity}, or a list of them")
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(vec![Comparator::Number(number)])
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
        let quantity = MeasuredQuantity::deserialize(MapAccessDeserializer::new(map))?;
        Ok(vec![Comparator::Measured(quantity)])
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Self::Value, S::Error> {
        if self.in_list {
            return Err(S::Error::invalid_type(Unexpected::Other("a list"), &self));
        }
        let mut comparators = Vec::new();
        while let Some(item) = items.next_element_seed(Self { in_list: true })? {
            comparators.extend(item);
        }
        Ok(comparators)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[claim]]
id = "E5-weighted"
group = "E5"
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

    /// The only claim of a text, and its first right side.
    fn claim_and_right(text: &str) -> (Claim, MeasuredQuantity) {
        let claim = read(text).unwrap().claims.remove(0);
        let Comparator::Measured(right) = claim.right[0].clone() else {
            panic!("{:?}", claim.right)
        };
        (claim, right)
    }

    #[test]
    fn the_right_side_inherits_what_it_leaves_out() {
        let (claim, right) = claim_and_right(GOOD);
        let selector = AxisLabels::from(
            [("weighting", "exp(0.4)"), ("rounds.count", "2")]
                .map(|(axis, value)| (axis.to_owned(), value.to_owned())),
        );
        let left = MeasuredQuantity {
            selector,
            checkpoint: "last".to_owned(),
            metric: "m1@t5".to_owned(),
            subtracted_metric: None,
        };
        assert_eq!(claim.left, left);
        let selector = AxisLabels::from([("weighting".to_owned(), "uniform".to_owned())]);
        assert_eq!(right, MeasuredQuantity { selector, ..left });
        assert_eq!(
            (claim.direction, claim.margin, claim.smallest_effect),
            (EffectDirection::Above, 0.0, None)
        );
    }

    #[test]
    fn both_spellings_of_group_and_smallest_effect_are_read() {
        let old = GOOD
            .replace("group =", "row =")
            .replace("per =", "worth = 3\nper =");
        let new = GOOD.replace("per =", "smallest_effect = 3\nper =");
        for text in [old, new] {
            let claim = read(&text).unwrap().claims.remove(0);
            assert_eq!(
                (claim.group.as_str(), claim.smallest_effect),
                ("E5", Some(3.0))
            );
        }
    }

    #[test]
    fn the_right_side_may_be_a_number_or_several() {
        let number = read(&GOOD.replace("right = {", "right = [0.5, 3] # {")).unwrap();
        assert_eq!(
            number.claims[0].right,
            [Comparator::Number(0.5), Comparator::Number(3.0)]
        );
        let list = "right = [{ metric = \"m1@t1\" }, { metric = \"m5@t1\" }] # {";
        let claim = read(&GOOD.replace("right = {", list))
            .unwrap()
            .claims
            .remove(0);
        let metrics = claim
            .quantities()
            .into_iter()
            .map(|(_, side)| side.metric.clone());
        assert_eq!(metrics.collect::<Vec<_>>(), ["m1@t5", "m1@t1", "m5@t1"]);
    }

    #[test]
    fn a_gain_is_compared_with_a_gain_unless_a_metric_is_given() {
        let text = GOOD.replace("metric = \"m1@t5\"", "metric = \"m1@t5\", over = \"m1@t1\"");
        let (claim, right) = claim_and_right(&text);
        let gain = Some("m1@t1".to_owned());
        assert_eq!(
            (&claim.left.subtracted_metric, &right.subtracted_metric),
            (&gain, &gain)
        );
        let (_, right) =
            claim_and_right(&text.replace("right = {", "right = { metric = \"p1@t5\" } # {"));
        assert_eq!(right.subtracted_metric, None);
    }

    #[test]
    fn unknown_names_are_shown_in_place() {
        insta::assert_snapshot!(error_text(&GOOD.replace("\"E5\"", "\"E55\"").replace("metric = \"m1@t5\"", "metrik = \"m1@t5\"")), @r#"
        claims.toml:8:87: `claim[0].left.metrik`: unknown field
          |
        8 | left = { where = { weighting = { exp = { temperature = 0.4 } }, "rounds.count" = 2 }, metrik = "m1@t5" }
          |                                                                                       ^^^^^^
          = did you mean `metric`?
          = valid here: `where`, `checkpoint`, `metric`, `over`.
        "#);
        insta::assert_snapshot!(error_text(&GOOD.replace("\"E5\"", "\"E55\"")), @r#"
        claims.toml:4:9: `claim[0].group`: unknown group `E55`
          |
        4 | group = "E55"
          |         ^^^^^
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
        insta::assert_snapshot!(error_text(&GOOD.replace("[[claim]]", "[[claims]]")), @r"
        claims.toml:2:3: `claims`: unknown field
          |
        2 | [[claims]]
          |   ^^^^^^
          = did you mean `claim`?
          = valid here: `claim`.
        ");
    }

    #[test]
    fn wrong_values_are_shown_in_place() {
        let nested = error_text(&GOOD.replace("right = {", "right = [[3]] # {"));
        assert!(
            nested.contains("`claim[0].right[0]`: expected a number or {"),
            "{nested}"
        );
        insta::assert_snapshot!(error_text(&GOOD.replace("right = {", "right = \"zero\" # {")), @r#"
        claims.toml:9:9: `claim[0].right`: expected a number, { where = ..., checkpoint = ..., metric = ... }, or a list of them, found string "zero"
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
        claims.toml:10:9: `claim[0].worth`: the smallest effect of interest must be above 0
           |
        10 | worth = 0
           |         ^
        "#);
        insta::assert_snapshot!(error_text(&format!("{GOOD}{GOOD}")), @r#"
        claims.toml:13:6: `claim[1].id`: claim `E5-weighted` is defined twice
           |
        13 | id = "E5-weighted"
           |      ^^^^^^^^^^^^^
        "#);
    }
}
