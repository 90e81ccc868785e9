//! The shortest form of some settings that still means the same; what keys are made of.
//!
//! A member whose removal changes nothing is equal to its default. Leaving it out means that a
//! new setting whose default means "as before" keeps every older key.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The value as JSON without the members that are equal to their defaults.
///
/// # Panics
/// If the value cannot be written as JSON.
#[must_use]
pub fn canonical<T: Serialize + DeserializeOwned + PartialEq>(value: &T) -> Value {
    let mut json = serde_json::to_value(value).expect("settings are plain data");
    let mut path = vec![];
    shorten(value, &mut json, &mut path);
    json
}

/// Tries to leave out each member of the object at `path`, and looks into those that must stay.
fn shorten<T: DeserializeOwned + PartialEq>(value: &T, json: &mut Value, path: &mut Vec<String>) {
    let Some(object) = at(json, path) else { return };
    let names: Vec<String> = object.keys().cloned().collect();
    for name in names {
        let Some(member) = at(json, path).and_then(|object| object.shift_remove(&name)) else {
            continue;
        };
        if serde_json::from_value::<T>(json.clone()).is_ok_and(|short| short == *value) {
            continue;
        }
        if let Some(object) = at(json, path) {
            object.insert(name.clone(), member);
        }
        path.push(name);
        shorten(value, json, path);
        path.pop();
    }
}

fn at<'a>(json: &'a mut Value, path: &[String]) -> Option<&'a mut serde_json::Map<String, Value>> {
    path.iter()
        .try_fold(json, |json, step| json.get_mut(step))
        .and_then(Value::as_object_mut)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, PartialEq, Serialize, Deserialize)]
    struct Outer {
        name: String,
        #[serde(default)]
        inner: Inner,
        #[serde(default)]
        pick: Pick,
    }

    #[derive(Clone, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Inner {
        rate: f64,
        count: u32,
    }

    impl Default for Inner {
        fn default() -> Self {
            Self {
                rate: 0.1,
                count: 3,
            }
        }
    }

    #[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Pick {
        #[default]
        Plain,
        Deep(Inner),
    }

    fn short(outer: &Outer) -> String {
        canonical(outer).to_string()
    }

    #[test]
    fn defaults_are_left_out_at_every_depth() {
        let mut outer = Outer {
            name: String::new(),
            inner: Inner::default(),
            pick: Pick::Plain,
        };
        assert_eq!(short(&outer), r#"{"name":""}"#);
        outer.inner.count = 4;
        assert_eq!(short(&outer), r#"{"name":"","inner":{"count":4}}"#);
        outer.pick = Pick::Deep(Inner {
            rate: 0.2,
            count: 3,
        });
        assert_eq!(
            short(&outer),
            r#"{"name":"","inner":{"count":4},"pick":{"deep":{"rate":0.2}}}"#
        );
        outer.pick = Pick::Deep(Inner::default());
        assert_eq!(
            short(&outer),
            r#"{"name":"","inner":{"count":4},"pick":{"deep":{}}}"#
        );
    }
}
