//! Every way to write a setting of a run, mapped to the one path where the run keeps it.
//!
//! A run keeps the settings of all methods side by side, since an axis may change the method. People
//! write those that one method reads into its value, `method = { grpo = { kl = 0.1 } }`, or where the
//! run keeps them, `grpo = { kl = 0.1 }`. Values keep the place where they are written.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as NameError, StrDeserializer};

use super::Method;
use super::diagnostic::{Diagnostic, DiagnosticKind, suggestions};
use super::spanned_value::{SpannedValue, TomlValue, join_path};

/// A path where people may write a setting, and the last step of the path where the run keeps it.
const RENAMED: [(&str, &str); 15] = [
    ("samples_per_problem", "candidates"),
    ("collect.max_resamples", "redraws"),
    ("collect.teacher.openai.view", "sees"),
    ("collect.rollouts.openai.view", "sees"),
    ("boost.openai.view", "sees"),
    ("train.batch_size", "batch"),
    ("train.warmup_ratio", "warmup"),
    ("train.max_grad_norm", "clip"),
    ("grpo.batch_problems", "problems"),
    ("grpo.group_size", "samples"),
    ("grpo.updates_per_batch", "passes"),
    ("grpo.unreadable_reward", "unreadable"),
    ("score.batch_problems", "problems"),
    ("score.group_size", "samples"),
    ("score.unreadable_reward", "unreadable"),
];

/// The path where a run keeps the setting that people write at `path`.
pub(super) fn kept_path(path: &str) -> String {
    let settings = kept_settings(path, &SpannedValue::empty()).unwrap_or_default();
    settings
        .into_iter()
        .next_back()
        .map_or_else(|| path.to_owned(), |(kept, _)| kept)
}

/// The settings that a value at a path gives, each with the path where the run keeps it. A setting
/// in a method's value chooses that method too.
///
/// # Errors
/// If a method does not read a setting in its value, or a setting has two values.
pub(super) fn kept_settings(
    path: &str,
    value: &SpannedValue,
) -> Result<Vec<(String, SpannedValue)>, Diagnostic> {
    let steps: Vec<&str> = path.split('.').collect();
    match (&steps[..], value.members()) {
        (["method"], [(name, settings)]) if settings.is_table() => {
            method_settings(name, settings, settings.members())
        }
        (["method", name], fields) if value.is_table() => method_settings(name, value, fields),
        (["method", name, field, rest @ ..], _) => {
            let mut kept = vec![method_choice(name, value)];
            if let Some(above) = method_setting_path(name, field, value)? {
                let below = rest.iter().fold(above, |path, step| join_path(&path, step));
                kept.extend(kept_settings(&below, value)?);
            }
            Ok(kept)
        }
        _ => {
            let kept = renamed(&steps);
            let value = renamed_members(&kept, value)?;
            Ok(vec![(kept, value)])
        }
    }
}

/// A run's table with every setting at the path where the run keeps it.
///
/// # Errors
/// As [`kept_settings`], with paths that begin at the run.
pub(super) fn kept_table(table: &SpannedValue) -> Result<SpannedValue, Diagnostic> {
    if !table.is_table() {
        return Ok(table.clone());
    }
    let mut kept = table.without_members();
    for (name, value) in table.members() {
        for (path, value) in kept_settings(name, value)? {
            insert(&mut kept, "", &path, value)?;
        }
    }
    Ok(kept)
}

/// Gives the mode of `[sweep]` the name that reports have for it.
pub(super) fn use_kept_mode(sweep: &mut SpannedValue) {
    if let TomlValue::Table(members) = &mut sweep.content
        && let Some((_, mode)) = members.iter_mut().find(|(name, _)| name == "mode")
        && matches!(&mode.content, TomlValue::String(name) if name == "one-at-a-time")
    {
        mode.content = TomlValue::String("around".to_owned());
    }
}

/// The choice of a method, and the settings in its value.
fn method_settings(
    name: &str,
    value: &SpannedValue,
    fields: &[(String, SpannedValue)],
) -> Result<Vec<(String, SpannedValue)>, Diagnostic> {
    let mut kept = vec![method_choice(name, value)];
    for (field, value) in fields {
        if let Some(path) = method_setting_path(name, field, value)? {
            kept.extend(kept_settings(&path, value)?);
        }
    }
    Ok(kept)
}

fn method_choice(name: &str, value: &SpannedValue) -> (String, SpannedValue) {
    let choice = SpannedValue {
        content: TomlValue::String(name.to_owned()),
        span: value.key_span.clone(),
        key_span: value.key_span.clone(),
    };
    ("method".to_owned(), choice)
}

/// Where a run keeps a setting of a method's value; nowhere if there is no such method, which the
/// choice of it reports.
fn method_setting_path(
    name: &str,
    field: &str,
    value: &SpannedValue,
) -> Result<Option<String>, Diagnostic> {
    let choice: StrDeserializer<'_, NameError> = name.into_deserializer();
    let Ok(method) = Method::deserialize(choice) else {
        return Ok(None);
    };
    let kept = renamed(&[field]);
    match method.own_settings() {
        own if own.contains(&kept.as_str()) => Ok(Some(kept)),
        own if own.contains(&name) => Ok(Some(join_path(name, field))),
        own => {
            let path = format!("method.{name}.{field}");
            let diagnostic = Diagnostic {
                hints: suggestions(field, own),
                ..Diagnostic::new(path, "unknown field").with_kind(DiagnosticKind::UnknownField)
            };
            Err(diagnostic.with_span(value.key_span.as_ref()))
        }
    }
}

/// Whether two paths are one setting, the one by its other name.
pub(super) fn is_same_setting(path: &str, other: &str) -> bool {
    let [path, other] = [path, other].map(|path| renamed(&path.split('.').collect::<Vec<_>>()));
    path == other
}

/// A path in the run's own names.
fn renamed(steps: &[&str]) -> String {
    steps.iter().fold(String::new(), |above, step| {
        let path = join_path(&above, step);
        let alias = RENAMED.iter().find(|(written, _)| *written == path);
        alias.map_or(path, |(_, step)| join_path(&above, step))
    })
}

/// The value at a path with its members, and those within them, in the run's own names.
fn renamed_members(path: &str, value: &SpannedValue) -> Result<SpannedValue, Diagnostic> {
    if !value.is_table() {
        return Ok(value.clone());
    }
    let mut kept = value.without_members();
    for (name, member) in value.members() {
        let written = join_path(path, name);
        let alias = RENAMED.iter().find(|(alias, _)| *alias == written);
        let name = alias.map_or(name.as_str(), |(_, step)| step);
        let member = renamed_members(&join_path(path, name), member)?;
        insert(&mut kept, path, name, member)?;
    }
    Ok(kept)
}

/// Puts a value at a path that has none yet; tables at the same path become one.
fn insert(
    table: &mut SpannedValue,
    above: &str,
    path: &str,
    value: SpannedValue,
) -> Result<(), Diagnostic> {
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    let here = join_path(above, step);
    if !table.is_table() {
        return Err(given_twice(above, &value));
    }
    let member = table.member_or_empty(step, value.key_span.as_ref());
    if !rest.is_empty() {
        return insert(member, &here, rest, value);
    }
    if member.is_table() && member.members().is_empty() && member.span.is_none() {
        *member = value;
        return Ok(());
    }
    match value.content {
        TomlValue::Table(fields) if member.is_table() => fields
            .into_iter()
            .try_for_each(|(name, field)| insert(member, &here, &name, field)),
        _ => Err(given_twice(&here, &value)),
    }
}

fn given_twice(path: &str, value: &SpannedValue) -> Diagnostic {
    Diagnostic::new(path, "this setting has a value already, under another name")
        .with_hint("leave one of them out.")
        .with_span(value.key_span.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> String {
        let table = SpannedValue::parse("a.toml", text).unwrap();
        kept_table(&table).map_or_else(
            |diagnostic| diagnostic.to_string(),
            |kept| kept.to_json().to_string(),
        )
    }

    #[test]
    fn settings_in_a_methods_value_are_those_of_the_run() {
        for (written, expected) in [
            ("method = 'grpo'", r#"{"method":"grpo"}"#),
            (
                "method = { grpo = { kl = 0.1, group_size = 4 } }\n[grpo]\nturns = 1",
                r#"{"method":"grpo","grpo":{"kl":0.1,"samples":4,"turns":1}}"#,
            ),
            (
                "method.v-star = { samples_per_problem = 4, verifier = { samples = 2 } }",
                r#"{"method":"v-star","candidates":4,"verifier":{"samples":2}}"#,
            ),
            (
                "method.glore = { candidates = 4, rollouts = 2 }",
                r#"{"method":"glore","candidates":4,"glore":{"rollouts":2}}"#,
            ),
            ("method.rise = {}", r#"{"method":"rise"}"#),
            ("method.rize = { kl = 1 }", r#"{"method":"rize"}"#),
        ] {
            assert_eq!(kept(written), expected, "{written}");
        }
    }

    #[test]
    fn other_names_are_those_of_the_run() {
        let written = "samples_per_problem = 2\ntrain = { batch_size = 3 }\n\
            collect.teacher.openai = { view = 'dialogue' }";
        assert_eq!(
            kept(written),
            r#"{"candidates":2,"train":{"batch":3},"collect":{"teacher":{"openai":{"sees":"dialogue"}}}}"#
        );
        for (path, expected) in [
            ("train.batch_size", "train.batch"),
            ("method.grpo.updates_per_batch", "grpo.passes"),
            ("method.v-star.verifier.samples", "verifier.samples"),
            ("method", "method"),
            ("weighting.exp", "weighting.exp"),
        ] {
            assert_eq!(kept_path(path), expected);
        }
    }

    #[test]
    fn a_setting_has_one_value_and_a_method_its_own_settings() {
        insta::assert_snapshot!(kept("train.batch = 1\ntrain.batch_size = 2"), @r"
        a.toml:2:7: `train.batch`: this setting has a value already, under another name
          |
        2 | train.batch_size = 2
          |       ^^^^^^^^^^
          = leave one of them out.
        ");
        insta::assert_snapshot!(kept("method.grpo = { kl = 0.1 }\n[grpo]\nkl = 0.2"), @r"
        a.toml:3:1: `grpo.kl`: this setting has a value already, under another name
          |
        3 | kl = 0.2
          | ^^
          = leave one of them out.
        ");
        insta::assert_snapshot!(kept("method.star = { samples = 2 }"), @r"
        a.toml:1:17: `method.star.samples`: unknown field
          |
        1 | method.star = { samples = 2 }
          |                 ^^^^^^^
          = valid here: `candidates`.
        ");
    }
}
