//! From a tree of values to typed settings, with faults that know path and place.

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::diagnostic::{Diagnostic, DiagnosticKind, suggestions};
use super::spanned_value::{SpannedValue, TomlValue, join_path};

/// The most faults in one message.
const MAX_DIAGNOSTICS: usize = 12;

/// Reads a value of type `T`.
pub(super) fn deserialize<T: DeserializeOwned>(node: &SpannedValue) -> Result<T, Diagnostic> {
    T::deserialize(node).map_err(|diagnostic| diagnostic.with_span(node.span.as_ref()))
}

/// Reads a value, or returns all separate faults: after each one, it leaves out the field at fault
/// and reads the rest again.
pub(super) fn deserialize_all<T: DeserializeOwned>(
    node: &SpannedValue,
    above: &str,
) -> Result<T, Vec<Diagnostic>> {
    let mut node = node.clone();
    let mut diagnostics: Vec<Diagnostic> = vec![];
    loop {
        let diagnostic = match deserialize(&node) {
            Ok(value) if diagnostics.is_empty() => return Ok(value),
            Ok(_) => return Err(diagnostics),
            // The missing field may be one that this loop left out.
            Err(diagnostic)
                if diagnostic.kind == DiagnosticKind::MissingField && !diagnostics.is_empty() =>
            {
                return Err(diagnostics);
            }
            Err(diagnostic) => diagnostic,
        };
        let removed = node.remove(diagnostic.path.split('[').next().unwrap_or_default());
        diagnostics.push(Diagnostic {
            path: join_path(above, &diagnostic.path),
            ..diagnostic
        });
        if !removed || diagnostics.len() == MAX_DIAGNOSTICS {
            return Err(diagnostics);
        }
    }
}

impl de::Error for Diagnostic {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new("", message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(
            "",
            format!("expected {}, found {found}", plain_expectation(expected)),
        )
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(name: &str, names: &'static [&'static str]) -> Self {
        Self {
            hints: suggestions(name, names),
            ..Self::new(name, "unknown field").with_kind(DiagnosticKind::UnknownField)
        }
    }

    fn unknown_variant(name: &str, names: &'static [&'static str]) -> Self {
        Self {
            hints: suggestions(name, names),
            ..Self::new("", format!("unknown choice `{name}`"))
                .with_kind(DiagnosticKind::UnknownVariant)
        }
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(name, "this field is required").with_kind(DiagnosticKind::MissingField)
    }
}

/// The expected type, in words for people who do not read Rust.
fn plain_expectation(expected: &dyn Expected) -> String {
    match expected.to_string().as_str() {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of at least 0".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        other => other.to_owned(),
    }
}

impl SpannedValue {
    fn as_unexpected(&self) -> Unexpected<'_> {
        match &self.content {
            TomlValue::String(text) => Unexpected::Str(text),
            TomlValue::Integer(number) => Unexpected::Signed(*number),
            TomlValue::Float(number) => Unexpected::Float(*number),
            TomlValue::Boolean(flag) => Unexpected::Bool(*flag),
            TomlValue::Array(_) => Unexpected::Other("a list"),
            TomlValue::Table(_) => Unexpected::Other("a table"),
        }
    }

    fn type_mismatch(&self, expected: &str) -> Diagnostic {
        <Diagnostic as de::Error>::invalid_type(self.as_unexpected(), &expected)
            .with_span(self.span.as_ref())
    }
}

impl<'de> de::Deserializer<'de> for &'de SpannedValue {
    type Error = Diagnostic;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Diagnostic> {
        match &self.content {
            TomlValue::String(text) => visitor.visit_borrowed_str(text),
            TomlValue::Integer(number) => visitor.visit_i64(*number),
            TomlValue::Float(number) => visitor.visit_f64(*number),
            TomlValue::Boolean(flag) => visitor.visit_bool(*flag),
            TomlValue::Array(items) => visitor.visit_seq(ArrayAccess {
                items: items.iter(),
                index: 0,
            }),
            TomlValue::Table(members) => visitor.visit_map(TableAccess {
                members: members.iter(),
                current: None,
            }),
        }
        .map_err(|diagnostic| diagnostic.with_span(self.span.as_ref()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Diagnostic> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Diagnostic> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Diagnostic> {
        if matches!(self.content, TomlValue::Array(_)) {
            self.deserialize_any(visitor)
        } else {
            Err(self.type_mismatch("a list"))
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Diagnostic> {
        if matches!(self.content, TomlValue::Table(_)) {
            self.deserialize_any(visitor)
        } else {
            Err(self.type_mismatch("a table"))
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Diagnostic> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Diagnostic> {
        let (name, settings) = match (&self.content, self.members()) {
            (TomlValue::String(name), _) => (name, None),
            (_, [(name, settings)]) => (name, Some(settings)),
            (TomlValue::Table(_), members) => {
                let names: Vec<String> = (members.iter())
                    .map(|(name, _)| format!("`{name}`"))
                    .collect();
                let found = if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                };
                let diagnostic = Diagnostic::new("", format!("expected one choice, found {found}"));
                return Err(Diagnostic {
                    hints: suggestions("", variants),
                    ..diagnostic.with_span(self.span.as_ref())
                });
            }
            _ => {
                return Err(Diagnostic {
                    hints: suggestions("", variants),
                    ..self.type_mismatch("a choice")
                });
            }
        };
        visitor.visit_enum(VariantAccessor {
            name,
            whole: self,
            settings,
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Diagnostic> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple tuple_struct identifier
    }
}

struct TableAccess<'de> {
    members: std::slice::Iter<'de, (String, SpannedValue)>,
    current: Option<&'de (String, SpannedValue)>,
}

impl<'de> MapAccess<'de> for TableAccess<'de> {
    type Error = Diagnostic;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Diagnostic> {
        self.current = self.members.next();
        let Some((name, node)) = self.current else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, Diagnostic> = name.as_str().into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|diagnostic| diagnostic.with_span(node.key_span.as_ref()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Diagnostic> {
        let (name, node) = self.current.expect("serde asks for a key before its value");
        seed.deserialize(node)
            .map_err(|diagnostic| diagnostic.prefix_path(name).with_span(node.span.as_ref()))
    }
}

struct ArrayAccess<'de> {
    items: std::slice::Iter<'de, SpannedValue>,
    index: usize,
}

impl<'de> SeqAccess<'de> for ArrayAccess<'de> {
    type Error = Diagnostic;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Diagnostic> {
        let Some(node) = self.items.next() else {
            return Ok(None);
        };
        self.index += 1;
        let step = format!("[{}]", self.index - 1);
        seed.deserialize(node)
            .map(Some)
            .map_err(|diagnostic| diagnostic.prefix_path(&step).with_span(node.span.as_ref()))
    }
}

/// One choice of several: `"name"`, or `{ name = settings }`.
struct VariantAccessor<'de> {
    name: &'de str,
    whole: &'de SpannedValue,
    settings: Option<&'de SpannedValue>,
}

impl<'de> VariantAccessor<'de> {
    fn settings(&self, form: &str) -> Result<&'de SpannedValue, Diagnostic> {
        self.settings.ok_or_else(|| {
            let complaint = format!("`{}` needs a setting", self.name);
            Diagnostic::new("", complaint)
                .with_hint(format!("write {{ {} = {form} }}.", self.name))
                .with_span(self.whole.span.as_ref())
        })
    }
}

impl<'de> EnumAccess<'de> for VariantAccessor<'de> {
    type Error = Diagnostic;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), Diagnostic> {
        let span = self
            .settings
            .map_or(&self.whole.span, |settings| &settings.key_span);
        let key: StrDeserializer<'_, Diagnostic> = self.name.into_deserializer();
        let variant = seed
            .deserialize(key)
            .map_err(|diagnostic| diagnostic.with_span(span.as_ref()))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for VariantAccessor<'de> {
    type Error = Diagnostic;

    fn unit_variant(self) -> Result<(), Diagnostic> {
        let Some(settings) = self.settings else {
            return Ok(());
        };
        let complaint = format!("`{}` takes no settings", self.name);
        Err(Diagnostic::new("", complaint)
            .with_hint(format!("write \"{}\".", self.name))
            .with_span(settings.span.as_ref()))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, Diagnostic> {
        let settings = self.settings("...")?;
        seed.deserialize(settings).map_err(|diagnostic| {
            diagnostic
                .prefix_path(self.name)
                .with_span(settings.span.as_ref())
        })
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Diagnostic> {
        let settings = self.settings("[...]")?;
        de::Deserializer::deserialize_seq(settings, visitor)
            .map_err(|diagnostic| diagnostic.prefix_path(self.name))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Diagnostic> {
        let form = fields
            .iter()
            .map(|field| format!("{field} = ..."))
            .collect::<Vec<_>>()
            .join(", ");
        let settings = self.settings(&format!("{{ {form} }}"))?;
        de::Deserializer::deserialize_map(settings, visitor)
            .map_err(|diagnostic| diagnostic.prefix_path(self.name))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read is of interest")]
    struct TestSettings {
        count: u32,
        #[serde(default)]
        rate: Option<f64>,
        #[serde(default)]
        names: Vec<String>,
        #[serde(default)]
        pick: TestChoice,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read is of interest")]
    enum TestChoice {
        #[default]
        Plain,
        Named(String),
        Best {
            of: u32,
        },
    }

    fn diagnostics(text: &str) -> String {
        let node = SpannedValue::parse("a.toml", text).unwrap();
        let diagnostics = deserialize_all::<TestSettings>(&node, "run").unwrap_err();
        diagnostics
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn every_form_of_a_choice_is_read() {
        for pick in ["\"plain\"", "{ named = \"x\" }", "{ best = { of = 3 } }"] {
            let node =
                SpannedValue::parse("a.toml", &format!("count = 1\nrate = 2\npick = {pick}"))
                    .unwrap();
            assert!(deserialize::<TestSettings>(&node).is_ok(), "{pick}");
        }
    }

    #[test]
    fn several_faults_are_told_at_once() {
        insta::assert_snapshot!(diagnostics("cuont = 1\nrate = \"fast\"\nnames = [\"a\", 7]\npick = \"plian\""), @r#"
        a.toml:1:1: `run.cuont`: unknown field
          |
        1 | cuont = 1
          | ^^^^^
          = did you mean `count`?
          = valid here: `count`, `rate`, `names`, `pick`.
        a.toml:2:8: `run.rate`: expected a number, found string "fast"
          |
        2 | rate = "fast"
          |        ^^^^^^
        a.toml:3:15: `run.names[1]`: expected a string, found integer `7`
          |
        3 | names = ["a", 7]
          |               ^
        a.toml:4:8: `run.pick`: unknown choice `plian`
          |
        4 | pick = "plian"
          |        ^^^^^^^
          = did you mean `plain`?
          = valid here: `plain`, `named`, `best`.
        "#);
    }

    #[test]
    fn a_missing_field_points_at_its_table() {
        insta::assert_snapshot!(diagnostics("rate = 1"), @r"
        a.toml:1:1: `run.count`: this field is required
          |
        1 | rate = 1
          | ^
        ");
    }

    #[test]
    fn numbers_have_their_limits() {
        insta::assert_snapshot!(diagnostics("count = -1"), @r"
        a.toml:1:9: `run.count`: expected a whole number of at least 0, found integer `-1`
          |
        1 | count = -1
          |         ^^
        ");
    }

    #[test]
    fn choices_say_what_they_take() {
        assert!(diagnostics("count = 1\npick = \"named\"").contains("needs a setting"));
        insta::assert_snapshot!(diagnostics("count = 1\npick = \"best\""), @r#"
        a.toml:2:8: `run.pick`: `best` needs a setting
          |
        2 | pick = "best"
          |        ^^^^^^
          = write { best = { of = ... } }.
        "#);
        insta::assert_snapshot!(diagnostics("count = 1\npick = { plain = 3 }"), @r#"
        a.toml:2:18: `run.pick`: `plain` takes no settings
          |
        2 | pick = { plain = 3 }
          |                  ^
          = write "plain".
        "#);
        insta::assert_snapshot!(diagnostics("count = 1\npick = { best = { off = 3 } }"), @r"
        a.toml:2:19: `run.pick.best.off`: unknown field
          |
        2 | pick = { best = { off = 3 } }
          |                   ^^^
          = did you mean `of`?
          = valid here: `of`.
        ");
        insta::assert_snapshot!(diagnostics("count = 1\npick = { plain = 1, named = 2 }"), @r"
        a.toml:2:8: `run.pick`: expected one choice, found `plain`, `named`
          |
        2 | pick = { plain = 1, named = 2 }
          |        ^^^^^^^^^^^^^^^^^^^^^^^^
          = valid here: `plain`, `named`, `best`.
        ");
        insta::assert_snapshot!(diagnostics("count = 1\npick = 4"), @r"
        a.toml:2:8: `run.pick`: expected a choice, found integer `4`
          |
        2 | pick = 4
          |        ^
          = valid here: `plain`, `named`, `best`.
        ");
    }
}
