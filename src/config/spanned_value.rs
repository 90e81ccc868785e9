//! TOML as a tree that remembers where each part was written.

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Number, Value, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, SourceSpan, SourceText};

/// A value, and where it and its name are written.
#[derive(Clone, Debug)]
pub struct SpannedValue {
    pub(super) content: TomlValue,
    pub(super) span: Option<SourceSpan>,
    pub(super) key_span: Option<SourceSpan>,
}

/// The sorts of values in TOML; tables keep the order of the file.
#[derive(Clone, Debug)]
pub(super) enum TomlValue {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Array(Vec<SpannedValue>),
    Table(Vec<(String, SpannedValue)>),
}

impl SpannedValue {
    /// A table without members, written nowhere.
    pub(super) const fn empty() -> Self {
        Self {
            content: TomlValue::Table(vec![]),
            span: None,
            key_span: None,
        }
    }

    /// Whether it is a table.
    pub(super) const fn is_table(&self) -> bool {
        matches!(self.content, TomlValue::Table(_))
    }

    /// A table without members, written at the same place.
    pub(super) fn without_members(&self) -> Self {
        Self {
            content: TomlValue::Table(vec![]),
            ..self.clone()
        }
    }

    /// Reads a TOML text.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, Diagnostic> {
        let source = Arc::new(SourceText {
            name: name.to_owned(),
            text: text.to_owned(),
        });
        let table = DeTable::parse(text).map_err(|error| {
            let span = source_span(&source, &error.span().unwrap_or(0..0));
            Diagnostic::new(
                "",
                format!("not valid TOML: {}", error.message().replace('\n', "; ")),
            )
            .with_span(Some(&span))
        })?;
        let span = source_span(&source, &table.span());
        Ok(Self {
            content: table_from_toml(table.into_inner(), &source)?,
            span: Some(span),
            key_span: None,
        })
    }

    /// The members of a table, in the order of the file; none for anything else.
    pub(super) fn members(&self) -> &[(String, Self)] {
        match &self.content {
            TomlValue::Table(members) => members,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub(super) fn items(&self) -> &[Self] {
        match &self.content {
            TomlValue::Array(items) => items,
            _ => &[],
        }
    }

    /// The items of the list with that name; none without such a list.
    pub(super) fn list(&self, name: &str) -> &[Self] {
        self.get(name).map_or(&[], Self::items)
    }

    /// The member of that name, or the item of that number.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.members()
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, node)| node)
            .or_else(|| self.items().get(name.parse::<usize>().ok()?))
    }

    /// Where the value at a dotted path is written, or else the innermost table around it.
    pub(super) fn innermost_span(&self, path: &str) -> Option<&SourceSpan> {
        let own = self.span.as_ref().or(self.key_span.as_ref());
        let (step, rest) = path.split_once('.').unwrap_or((path, ""));
        self.get(step)
            .and_then(|node| node.innermost_span(rest))
            .or(own)
    }

    /// The value at a dotted path.
    pub(super) fn find(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, step| node.get(step))
    }

    /// Takes out the value at a dotted path; whether there was one.
    pub(super) fn remove(&mut self, path: &str) -> bool {
        let (step, rest) = path
            .split_once('.')
            .map_or((path, None), |(step, rest)| (step, Some(rest)));
        let TomlValue::Table(members) = &mut self.content else {
            return false;
        };
        let Some(index) = members.iter().position(|(name, _)| name == step) else {
            return false;
        };
        if let Some(rest) = rest {
            return members[index].1.remove(rest);
        }
        members.remove(index);
        true
    }

    /// Lays a value over the one at a dotted path, making tables on the way.
    ///
    /// Where `is_record` says that a path holds named fields, a table changes only the fields it
    /// names; anywhere else the new value takes the place of the old one.
    pub(super) fn overlay(
        &mut self,
        path: &str,
        value: &Self,
        is_record: &dyn Fn(&str) -> bool,
    ) -> Result<(), Diagnostic> {
        self.overlay_at("", path, value, is_record)
    }

    fn overlay_at(
        &mut self,
        above: &str,
        path: &str,
        value: &Self,
        is_record: &dyn Fn(&str) -> bool,
    ) -> Result<(), Diagnostic> {
        let (step, rest) = path.split_once('.').unwrap_or((path, ""));
        if !self.is_table() {
            let label = super::value_label(&self.to_json());
            let complaint = format!("`{above}` is `{label}` here, so nothing can be set inside it");
            return Err(Diagnostic::new(join_path(above, path), complaint)
                .with_span(value.key_span.as_ref()));
        }
        let here = join_path(above, step);
        let member = self.member_or_empty(step, value.key_span.as_ref());
        match (&value.content, &member.content) {
            _ if !rest.is_empty() => member.overlay_at(&here, rest, value, is_record),
            (TomlValue::Table(fields), TomlValue::Table(_)) if is_record(&here) => fields
                .iter()
                .try_for_each(|(name, field)| member.overlay_at(&here, name, field, is_record)),
            _ => {
                *member = value.clone();
                Ok(())
            }
        }
    }

    /// The member of a table, which becomes an empty table there if it is missing.
    ///
    /// # Panics
    /// If this is no table.
    pub(super) fn member_or_empty(
        &mut self,
        name: &str,
        key_span: Option<&SourceSpan>,
    ) -> &mut Self {
        let TomlValue::Table(members) = &mut self.content else {
            unreachable!("only tables have members");
        };
        let index = members.iter().position(|(other, _)| other == name);
        let index = index.unwrap_or_else(|| {
            let empty = Self {
                key_span: key_span.cloned(),
                ..Self::empty()
            };
            members.push((name.to_owned(), empty));
            members.len() - 1
        });
        &mut members[index].1
    }

    /// The same value without places.
    pub(super) fn to_json(&self) -> Value {
        match &self.content {
            TomlValue::String(text) => json!(text),
            TomlValue::Integer(number) => json!(number),
            TomlValue::Float(number) => {
                Number::from_f64(*number).map_or_else(|| json!(number.to_string()), Value::Number)
            }
            TomlValue::Boolean(flag) => json!(flag),
            TomlValue::Array(items) => items.iter().map(Self::to_json).collect(),
            TomlValue::Table(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, node)| (name.clone(), node.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }
}

/// Two parts of a dotted path as one.
pub(super) fn join_path(above: &str, step: &str) -> String {
    if above.is_empty() {
        step.to_owned()
    } else {
        format!("{above}.{step}")
    }
}

fn table_from_toml(table: DeTable<'_>, source: &Arc<SourceText>) -> Result<TomlValue, Diagnostic> {
    let mut members: Vec<_> = table.into_iter().collect();
    members.sort_by_key(|(name, _)| name.span().start);
    let members = members.into_iter().map(|(name, value)| {
        let span = source_span(source, &name.span());
        Ok((
            name.into_inner().into_owned(),
            SpannedValue {
                key_span: Some(span),
                ..value_from_toml(value, source)?
            },
        ))
    });
    Ok(TomlValue::Table(
        members.collect::<Result<_, Diagnostic>>()?,
    ))
}

fn value_from_toml(
    value: Spanned<DeValue<'_>>,
    source: &Arc<SourceText>,
) -> Result<SpannedValue, Diagnostic> {
    let span = source_span(source, &value.span());
    let content = match value.into_inner() {
        DeValue::String(text) => Ok(TomlValue::String(text.into_owned())),
        DeValue::Boolean(flag) => Ok(TomlValue::Boolean(flag)),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(TomlValue::Integer)
            .map_err(|_| format!("{} is too large for a whole number", number.as_str())),
        DeValue::Float(number) => (number.as_str().parse())
            .map(TomlValue::Float)
            .map_err(|_| format!("{} is not a number", number.as_str())),
        DeValue::Datetime(_) => {
            Err("dates have no meaning here; put quotes around a text".to_owned())
        }
        DeValue::Array(items) => {
            let items = items.into_iter().map(|item| value_from_toml(item, source));
            Ok(TomlValue::Array(items.collect::<Result<_, _>>()?))
        }
        DeValue::Table(table) => Ok(table_from_toml(table, source)?),
    };
    let content =
        content.map_err(|complaint| Diagnostic::new("", complaint).with_span(Some(&span)))?;
    Ok(SpannedValue {
        content,
        span: Some(span),
        key_span: None,
    })
}

fn source_span(source: &Arc<SourceText>, bytes: &Range<usize>) -> SourceSpan {
    SourceSpan {
        source: Arc::clone(source),
        start: bytes.start,
        end: bytes.end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> SpannedValue {
        SpannedValue::parse("a.toml", text).unwrap()
    }

    #[test]
    fn members_keep_the_order_of_the_file() {
        let node = tree("z = 1\na = 0x10\n[m.y]\nx = 2.5\n[m.b]\n");
        assert_eq!(
            node.to_json().to_string(),
            r#"{"z":1,"a":16,"m":{"y":{"x":2.5},"b":{}}}"#
        );
    }

    #[test]
    fn records_are_merged_and_choices_are_replaced() {
        let mut node = tree("a = { keep = 1, choice = { model = \"x\" } }");
        let over = tree("a = { more = 2, choice = { oneself = 8 } }");
        node.overlay("a", over.get("a").unwrap(), &|path| path == "a")
            .unwrap();
        assert_eq!(
            node.to_json().to_string(),
            r#"{"a":{"keep":1,"choice":{"oneself":8},"more":2}}"#
        );
        node.overlay("b.c", over.find("a.more").unwrap(), &|_| true)
            .unwrap();
        assert_eq!(node.find("b.c").unwrap().to_json(), json!(2));
        assert!(node.remove("b.c") && !node.remove("b.c") && !node.remove("a.keep.deeper"));
    }

    #[test]
    fn nothing_is_set_inside_a_text() {
        let mut node = tree("weighting = \"uniform\"");
        let value = tree("x = 1");
        let diagnostic = node
            .overlay(
                "weighting.exp.temperature",
                value.get("x").unwrap(),
                &|_| true,
            )
            .unwrap_err();
        insta::assert_snapshot!(diagnostic, @r"
        a.toml:1:1: `weighting.exp.temperature`: `weighting` is `uniform` here, so nothing can be set inside it
          |
        1 | x = 1
          | ^
        ");
    }

    #[test]
    fn broken_toml_is_shown() {
        insta::assert_snapshot!(SpannedValue::parse("a.toml", "seeds = [0,\nname = 3").unwrap_err(), @r"
        a.toml:2:6: not valid TOML: unexpected `=` in array, expected value, `]`
          |
        2 | name = 3
          |      ^
        ");
        insta::assert_snapshot!(SpannedValue::parse("a.toml", "a = 1\na = 2").unwrap_err(), @r"
        a.toml:2:1: not valid TOML: duplicate key
          |
        2 | a = 2
          | ^
        ");
        insta::assert_snapshot!(SpannedValue::parse("a.toml", "a = 99999999999999999999").unwrap_err(), @r"
        a.toml:1:5: 99999999999999999999 is too large for a whole number
          |
        1 | a = 99999999999999999999
          |     ^^^^^^^^^^^^^^^^^^^^
        ");
        insta::assert_snapshot!(SpannedValue::parse("a.toml", "a = 2024-01-01").unwrap_err(), @r"
        a.toml:1:5: dates have no meaning here; put quotes around a text
          |
        1 | a = 2024-01-01
          |     ^^^^^^^^^^
        ");
    }
}
