//! The registry of graders: one enum variant each, with its settings, its version and its name.
//!
//! A grader reads an answer from a text and compares it with a problem's reference. Several of them
//! may grade the same texts; the store keeps each grade under the grader's name and
//! version.
//!
//! Where a grader is added: a file here, a variant of [`GraderConfig`] (the compiler then lists the
//! places to visit), and a line in [`GraderConfig::ALL`].

mod boxed;
mod boxed_latex;
mod latex;
mod numeric;
mod rise_compat;

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::data::AnswerForm;
use crate::domain::{Grade, Problem};

pub(super) use boxed_latex::last_boxed;
pub use rise_compat::{RiseCompat, RiseEnvironment};

/// How attempts are graded.
///
/// In experiment files a name, `"numeric"`, or a name with settings,
/// `{ rise-compat = { gold-comma = false } }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GraderConfig {
    /// The number after the last `####`, as an exact decimal.
    #[default]
    Numeric,
    /// The official RISE code bit by bit, its faults included; each can be switched off.
    RiseCompat(RiseCompat),
    /// The last `\boxed{…}`, with equal forms of one number or tuple taken as equal.
    BoxedLatex,
}

impl GraderConfig {
    /// Every grader with its default settings.
    pub const ALL: [Self; 3] = [
        Self::Numeric,
        Self::RiseCompat(RiseCompat::OFFICIAL),
        Self::BoxedLatex,
    ];

    /// The names of all graders, without settings.
    const NAMES: [&str; 3] = ["numeric", "rise-compat", "boxed-latex"];

    /// The grader's name, without its settings.
    #[must_use]
    pub const fn base_name(&self) -> &'static str {
        match self {
            Self::Numeric => "numeric",
            Self::RiseCompat(_) => "rise-compat",
            Self::BoxedLatex => "boxed-latex",
        }
    }

    /// Raised when any text's grade changes.
    #[must_use]
    pub const fn version(&self) -> u32 {
        match self {
            Self::Numeric | Self::RiseCompat(_) | Self::BoxedLatex => 1,
        }
    }

    /// The form of answers that it reads.
    #[must_use]
    pub const fn answer_form(&self) -> AnswerForm {
        match self {
            Self::Numeric => AnswerForm::Marked,
            Self::RiseCompat(_) | Self::BoxedLatex => AnswerForm::Boxed,
        }
    }

    /// Name, with the settings that are not at their default, and version: under these a grade is
    /// stored, and these enter the keys of stages whose results depend on grades.
    #[must_use]
    pub fn identity(&self) -> (String, u32) {
        (self.to_string(), self.version())
    }

    /// Grades one attempt.
    #[must_use]
    pub fn grade(&self, problem: &Problem, text: &str) -> Grade {
        match self {
            Self::Numeric => numeric::grade(&problem.answer, text),
            Self::RiseCompat(settings) => settings.grade(problem, text),
            Self::BoxedLatex => boxed_latex::grade(problem, text),
        }
    }

    /// The grader as an experiment file has it.
    fn to_json(self) -> Value {
        match self {
            Self::RiseCompat(settings) if settings != RiseCompat::OFFICIAL => {
                json!({ "rise-compat": settings.non_default_settings() })
            }
            plain => json!(plain.base_name()),
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|grader| grader.base_name() == name)
    }
}

/// `numeric`, `rise-compat`, `rise-compat(gold-comma=false)`.
impl fmt::Display for GraderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base_name())?;
        let Self::RiseCompat(settings) = self else {
            return Ok(());
        };
        let changed: Vec<String> = settings
            .non_default_settings()
            .iter()
            .map(|(name, value)| match value.as_str() {
                Some(text) => format!("{name}={text}"),
                None => format!("{name}={value}"),
            })
            .collect();
        if changed.is_empty() {
            Ok(())
        } else {
            write!(f, "({})", changed.join(","))
        }
    }
}

/// Why a name means no grader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraderNameError {
    /// There is no grader of this name.
    #[error("there is no grader `{given}`{}; the graders are: {}", meant(.nearest.as_deref()), GraderConfig::NAMES.join(", "))]
    Name {
        /// The name.
        given: String,
        /// The most similar name there is.
        nearest: Option<String>,
    },
    /// The grader has no such settings.
    #[error("`{given}`: {fault}; settings are written as in `rise-compat(gold-comma=false)`")]
    Settings {
        /// The name with its settings.
        given: String,
        /// The fault.
        fault: String,
    },
}

fn meant(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!(" (did you mean `{name}`?)"))
        .unwrap_or_default()
}

fn unknown_grader(name: &str) -> GraderNameError {
    let similarity = |other: &str| strsim::jaro_winkler(name, other);
    let nearest = GraderConfig::NAMES
        .into_iter()
        .max_by(|a, b| similarity(a).total_cmp(&similarity(b)))
        .filter(|nearest| similarity(nearest) > 0.7);
    GraderNameError::Name {
        given: name.to_owned(),
        nearest: nearest.map(str::to_owned),
    }
}

/// Reads the output of [`Display`](fmt::Display).
impl FromStr for GraderConfig {
    type Err = GraderNameError;

    fn from_str(given: &str) -> Result<Self, GraderNameError> {
        let (name, settings) = match given.split_once('(') {
            Some((name, rest)) => (name, rest.strip_suffix(')')),
            None => (given, Some("")),
        };
        let grader = Self::from_name(name).ok_or_else(|| unknown_grader(name))?;
        let faulty = |fault: String| GraderNameError::Settings {
            given: given.to_owned(),
            fault,
        };
        let settings =
            settings.ok_or_else(|| faulty("the closing parenthesis is missing".to_owned()))?;
        if settings.is_empty() {
            return Ok(grader);
        }
        let Self::RiseCompat(_) = grader else {
            return Err(faulty(format!("`{name}` has no settings")));
        };
        let mut table = serde_json::Map::new();
        for pair in settings.split(',') {
            let (setting, value) = pair
                .split_once('=')
                .ok_or_else(|| faulty(format!("`{pair}` is not NAME=VALUE")))?;
            let value = serde_json::from_str(value.trim()).unwrap_or_else(|_| json!(value.trim()));
            table.insert(setting.trim().to_owned(), value);
        }
        let read = serde_json::from_value(Value::Object(table));
        read.map(Self::RiseCompat)
            .map_err(|error| faulty(error.to_string()))
    }
}

impl Serialize for GraderConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for GraderConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GraderVisitor)
    }
}

/// Reads a grader from its name, or from a table of its name and its settings.
struct GraderVisitor;

impl<'de> Visitor<'de> for GraderVisitor {
    type Value = GraderConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a grader, or a table of its name and settings")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<GraderConfig, E> {
        GraderConfig::from_name(name).ok_or_else(|| E::unknown_variant(name, &GraderConfig::NAMES))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<GraderConfig, A::Error> {
        let Some(name) = map.next_key::<String>()? else {
            return Err(A::Error::custom("no grader is named"));
        };
        let grader = match self.visit_str(&name)? {
            GraderConfig::RiseCompat(_) => GraderConfig::RiseCompat(map.next_value()?),
            plain => {
                map.next_value::<EmptySettings>()?;
                plain
            }
        };
        match map.next_key::<IgnoredAny>()? {
            None => Ok(grader),
            Some(_) => Err(A::Error::custom("one grader at a time")),
        }
    }
}

/// The settings of a grader that has none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmptySettings {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::domain::GradeVerdict;

    use super::*;

    #[derive(Deserialize)]
    struct GraderFile {
        grader: GraderConfig,
    }

    fn read(toml: &str) -> Result<GraderConfig, String> {
        toml::from_str::<GraderFile>(toml)
            .map(|file| file.grader)
            .map_err(|error| error.message().to_owned())
    }

    fn without_comma() -> GraderConfig {
        GraderConfig::RiseCompat(RiseCompat {
            gold_comma: false,
            ..RiseCompat::OFFICIAL
        })
    }

    #[test]
    fn a_grader_is_written_as_its_name_or_with_its_settings() {
        for grader in GraderConfig::ALL {
            let name = grader.base_name();
            assert_eq!(read(&format!("grader = \"{name}\"")), Ok(grader));
            assert_eq!(
                read(&format!("[grader.{name}]")),
                Ok(grader),
                "no settings are all defaults"
            );
            assert_eq!(serde_json::to_value(grader).unwrap(), json!(name));
            assert_eq!(name.parse(), Ok(grader));
            assert_eq!(grader.identity(), (name.to_owned(), grader.version()));
        }
        let changed = without_comma();
        assert_eq!(
            read("grader = { rise-compat = { gold-comma = false } }"),
            Ok(changed)
        );
        assert_eq!(
            serde_json::to_value(changed).unwrap(),
            json!({ "rise-compat": { "gold-comma": false } })
        );
        assert_eq!(changed.to_string(), "rise-compat(gold-comma=false)");
    }

    #[test]
    fn names_with_settings_are_read_back() {
        let all = RiseCompat {
            environment: RiseEnvironment::Math,
            gold_comma: false,
            boxed_only: false,
            flat_braces: false,
            integers_only: false,
            none_equals_none: false,
            unreadable_is_wrong: false,
        };
        for grader in [without_comma(), GraderConfig::RiseCompat(all)] {
            assert_eq!(grader.to_string().parse(), Ok(grader));
        }
        assert_eq!("rise-compat()".parse(), Ok(GraderConfig::ALL[1]));
    }

    #[test]
    fn what_means_no_grader_is_told() {
        let message = |name: &str| name.parse::<GraderConfig>().unwrap_err().to_string();
        insta::assert_snapshot!(message("numerik"), @"there is no grader `numerik` (did you mean `numeric`?); the graders are: numeric, rise-compat, boxed-latex");
        insta::assert_snapshot!(message("x"), @"there is no grader `x`; the graders are: numeric, rise-compat, boxed-latex");
        insta::assert_snapshot!(message("numeric(a=1)"), @"`numeric(a=1)`: `numeric` has no settings; settings are written as in `rise-compat(gold-comma=false)`");
        insta::assert_snapshot!(message("rise-compat(gold-coma=false)"), @"`rise-compat(gold-coma=false)`: unknown field `gold-coma`, expected one of `environment`, `gold-comma`, `boxed-only`, `flat-braces`, `integers-only`, `none-equals-none`, `unreadable-is-wrong`; settings are written as in `rise-compat(gold-comma=false)`");
        insta::assert_snapshot!(message("rise-compat(gold-comma=false"), @"`rise-compat(gold-comma=false`: the closing parenthesis is missing; settings are written as in `rise-compat(gold-comma=false)`");
        insta::assert_snapshot!(read("grader = \"numerik\"").unwrap_err(), @"unknown variant `numerik`, expected one of `numeric`, `rise-compat`, `boxed-latex`");
        insta::assert_snapshot!(read("grader = 3").unwrap_err(), @"invalid type: integer `3`, expected the name of a grader, or a table of its name and settings");
        assert!(read("grader = { numeric = {}, boxed-latex = {} }").is_err());
        assert!(read("grader = { numeric = { x = 1 } }").is_err());
        assert!(read("grader = {}").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_grader_panic(
            wild in "\\PC{0,40}",
            maths in "(\\\\boxed|boxed|fbox|\\{|\\}|\\\\frac|\\\\sqrt|\\\\text\\{ |#### |[-+0-9.,/=() _%$]){0,24}",
            answer in "([-0-9.,/]{1,6}|\\\\frac\\{1\\}\\{2\\})", shape in 0_u8..4,
        ) {
            let solution = match shape {
                0 => None,
                1 => Some(format!("so\n#### {answer}")),
                2 => Some(format!("so $\\boxed{{{answer}}}$")),
                _ => Some(maths.clone()),
            };
            let question = "How many?".to_owned();
            let problem = Problem { id: "p/1".to_owned(), question, answer, solution };
            for text in [&wild, &maths, &format!("\\boxed{{{maths}}}"), &format!("#### {wild}")] {
                for grader in GraderConfig::ALL {
                    let grade = grader.grade(&problem, text);
                    prop_assert_eq!(&grade, &grader.grade(&problem, text));
                    prop_assert!(grade.answer.is_some() || grader == GraderConfig::ALL[1]
                        || grade.verdict == GradeVerdict::Unreadable, "{:?}: {:?}", grader, text);
                }
            }
        }
    }
}
