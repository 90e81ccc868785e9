//! TOML as a tree that remembers where each part was written.
//!
//! Hides the TOML parser. Must not know which fields exist; only that tables can be laid over
//! one another and that settings can be put at a path.

use std::sync::Arc;

use serde_json::{Map, Number, Value, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Place, Source};

/// A value, and where it and its name are written.
#[derive(Clone, Debug)]
pub struct Node {
    pub(super) content: Content,
    pub(super) place: Option<Place>,
    pub(super) name: Option<Place>,
}

/// The sorts of values in TOML; tables keep the order of the file.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Text(String),
    Whole(i64),
    Number(f64),
    Flag(bool),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
}

impl Node {
    /// A table without members, written nowhere.
    pub(super) const fn empty() -> Self {
        Self {
            content: Content::Table(vec![]),
            place: None,
            name: None,
        }
    }

    /// Reads a TOML text.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, Fault> {
        let source = Arc::new(Source {
            name: name.to_owned(),
            text: text.to_owned(),
        });
        let table = DeTable::parse(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let place = Place {
                source: Arc::clone(&source),
                start: span.start,
                end: span.end,
            };
            Fault::new(
                "",
                format!("not valid TOML: {}", error.message().replace('\n', "; ")),
            )
            .at(Some(&place))
        })?;
        let (start, end) = (table.span().start, table.span().end);
        let content = members(table.into_inner(), &source)?;
        Ok(Self {
            content,
            place: Some(Place { source, start, end }),
            name: None,
        })
    }

    /// The members of a table, in the order of the file; none for anything else.
    pub(super) fn members(&self) -> &[(String, Self)] {
        match &self.content {
            Content::Table(members) => members,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub(super) fn items(&self) -> &[Self] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    /// The member of that name, or the item of that number.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let item = || self.items().get(name.parse::<usize>().ok()?);
        self.members()
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, node)| node)
            .or_else(item)
    }

    /// Where the value at a dotted path is written, or else the innermost table around it.
    pub(super) fn closest(&self, path: &str) -> Option<&Place> {
        let own = self.place.as_ref().or(self.name.as_ref());
        let (step, rest) = path.split_once('.').unwrap_or((path, ""));
        self.get(step).and_then(|node| node.closest(rest)).or(own)
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
        let Content::Table(members) = &mut self.content else {
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

    /// Lays `value` over whatever is at a dotted path, making tables on the way.
    ///
    /// Where `is_record` says that a path holds named fields, a table changes only the fields it
    /// names; anywhere else the new value takes the place of the old one.
    pub(super) fn lay(
        &mut self,
        path: &str,
        value: &Self,
        is_record: &dyn Fn(&str) -> bool,
    ) -> Result<(), Fault> {
        self.lay_at("", path, value, is_record)
    }

    fn lay_at(
        &mut self,
        above: &str,
        path: &str,
        value: &Self,
        is_record: &dyn Fn(&str) -> bool,
    ) -> Result<(), Fault> {
        let (step, rest) = path
            .split_once('.')
            .map_or((path, None), |(step, rest)| (step, Some(rest)));
        let label = super::label(&self.value());
        let Content::Table(members) = &mut self.content else {
            let complaint = format!("`{above}` is `{label}` here, so nothing can be set inside it");
            return Err(Fault::new(join(above, path), complaint).at(value.name.as_ref()));
        };
        let index = members
            .iter()
            .position(|(name, _)| name == step)
            .unwrap_or_else(|| {
                members.push((
                    step.to_owned(),
                    Self {
                        name: value.name.clone(),
                        ..Self::empty()
                    },
                ));
                members.len() - 1
            });
        let here = join(above, step);
        let member = &mut members[index].1;
        match (rest, &value.content, &member.content) {
            (Some(rest), _, _) => member.lay_at(&here, rest, value, is_record),
            (None, Content::Table(fields), Content::Table(_)) if is_record(&here) => fields
                .iter()
                .try_for_each(|(name, field)| member.lay_at(&here, name, field, is_record)),
            _ => {
                *member = value.clone();
                Ok(())
            }
        }
    }

    /// The same value without places.
    pub(super) fn value(&self) -> Value {
        match &self.content {
            Content::Text(text) => json!(text),
            Content::Whole(number) => json!(number),
            Content::Number(number) => {
                Number::from_f64(*number).map_or_else(|| json!(number.to_string()), Value::Number)
            }
            Content::Flag(flag) => json!(flag),
            Content::List(items) => items.iter().map(Self::value).collect(),
            Content::Table(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, node)| (name.clone(), node.value()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }
}

/// Two parts of a dotted path as one.
pub(super) fn join(above: &str, step: &str) -> String {
    if above.is_empty() {
        step.to_owned()
    } else {
        format!("{above}.{step}")
    }
}

fn members(table: DeTable<'_>, source: &Arc<Source>) -> Result<Content, Fault> {
    let mut members: Vec<_> = table.into_iter().collect();
    members.sort_by_key(|(name, _)| name.span().start);
    let members = members.into_iter().map(|(name, value)| {
        let span = name.span();
        let place = Place {
            source: Arc::clone(source),
            start: span.start,
            end: span.end,
        };
        Ok((
            name.into_inner().into_owned(),
            Node {
                name: Some(place),
                ..node(value, source)?
            },
        ))
    });
    Ok(Content::Table(members.collect::<Result<_, Fault>>()?))
}

fn node(value: Spanned<DeValue<'_>>, source: &Arc<Source>) -> Result<Node, Fault> {
    let span = value.span();
    let place = Some(Place {
        source: Arc::clone(source),
        start: span.start,
        end: span.end,
    });
    let wrong = |complaint: String| Fault::new("", complaint).at(place.as_ref());
    let content = match value.into_inner() {
        DeValue::String(text) => Content::Text(text.into_owned()),
        DeValue::Boolean(flag) => Content::Flag(flag),
        DeValue::Integer(number) => Content::Whole(
            i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| {
                wrong(format!(
                    "{} is too large for a whole number",
                    number.as_str()
                ))
            })?,
        ),
        DeValue::Float(number) => Content::Number(
            number
                .as_str()
                .parse()
                .map_err(|_| wrong(format!("{} is not a number", number.as_str())))?,
        ),
        DeValue::Datetime(_) => {
            return Err(wrong(
                "dates have no meaning here; put quotes around a text".to_owned(),
            ));
        }
        DeValue::Array(items) => Content::List(
            items
                .into_iter()
                .map(|item| node(item, source))
                .collect::<Result<_, Fault>>()?,
        ),
        DeValue::Table(table) => members(table, source)?,
    };
    Ok(Node {
        content,
        place,
        name: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        Node::parse("a.toml", text).unwrap()
    }

    #[test]
    fn members_keep_the_order_of_the_file() {
        let node = tree("z = 1\na = 0x10\n[m.y]\nx = 2.5\n[m.b]\n");
        assert_eq!(
            node.value().to_string(),
            r#"{"z":1,"a":16,"m":{"y":{"x":2.5},"b":{}}}"#
        );
    }

    #[test]
    fn records_are_merged_and_choices_are_replaced() {
        let mut node = tree("a = { keep = 1, choice = { model = \"x\" } }");
        let over = tree("a = { more = 2, choice = { oneself = 8 } }");
        node.lay("a", over.get("a").unwrap(), &|path| path == "a")
            .unwrap();
        assert_eq!(
            node.value().to_string(),
            r#"{"a":{"keep":1,"choice":{"oneself":8},"more":2}}"#
        );
        node.lay("b.c", over.find("a.more").unwrap(), &|_| true)
            .unwrap();
        assert_eq!(node.find("b.c").unwrap().value(), json!(2));
        assert!(node.remove("b.c") && !node.remove("b.c") && !node.remove("a.keep.deeper"));
    }

    #[test]
    fn nothing_is_set_inside_a_text() {
        let mut node = tree("weighting = \"uniform\"");
        let value = tree("x = 1");
        let fault = node
            .lay(
                "weighting.exp.temperature",
                value.get("x").unwrap(),
                &|_| true,
            )
            .unwrap_err();
        insta::assert_snapshot!(fault, @r"
        a.toml:1:1: `weighting.exp.temperature`: `weighting` is `uniform` here, so nothing can be set inside it
          |
        1 | x = 1
          | ^
        ");
    }

    #[test]
    fn broken_toml_is_shown() {
        insta::assert_snapshot!(Node::parse("a.toml", "seeds = [0,\nname = 3").unwrap_err(), @r"
        a.toml:2:6: not valid TOML: unexpected `=` in array, expected value, `]`
          |
        2 | name = 3
          |      ^
        ");
        insta::assert_snapshot!(Node::parse("a.toml", "a = 1\na = 2").unwrap_err(), @r"
        a.toml:2:1: not valid TOML: duplicate key
          |
        2 | a = 2
          | ^
        ");
        insta::assert_snapshot!(Node::parse("a.toml", "a = 99999999999999999999").unwrap_err(), @r"
        a.toml:1:5: 99999999999999999999 is too large for a whole number
          |
        1 | a = 99999999999999999999
          |     ^^^^^^^^^^^^^^^^^^^^
        ");
        insta::assert_snapshot!(Node::parse("a.toml", "a = 2024-01-01").unwrap_err(), @r"
        a.toml:1:5: dates have no meaning here; put quotes around a text
          |
        1 | a = 2024-01-01
          |     ^^^^^^^^^^
        ");
    }
}
