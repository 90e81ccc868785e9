//! The shortest form of some settings that still means the same; keys are made of it.
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
pub fn canonical_json<T: Serialize + DeserializeOwned + PartialEq>(value: &T) -> Value {
    let mut json = serde_json::to_value(value).expect("settings are plain data");
    let mut path = vec![];
    drop_defaults(value, &mut json, &mut path);
    json
}

/// Tries to leave out each member of the object at `path`, and looks into those that must stay.
fn drop_defaults<T: DeserializeOwned + PartialEq>(
    value: &T,
    json: &mut Value,
    path: &mut Vec<String>,
) {
    let Some(object) = object_at_path(json, path) else {
        return;
    };
    let names: Vec<String> = object.keys().cloned().collect();
    for name in names {
        let Some(member) = object_at_path(json, path).and_then(|object| object.shift_remove(&name))
        else {
            continue;
        };
        if serde_json::from_value::<T>(json.clone()).is_ok_and(|short| short == *value) {
            continue;
        }
        if let Some(object) = object_at_path(json, path) {
            object.insert(name.clone(), member);
        }
        path.push(name);
        drop_defaults(value, json, path);
        path.pop();
    }
}

fn object_at_path<'a>(
    json: &'a mut Value,
    path: &[String],
) -> Option<&'a mut serde_json::Map<String, Value>> {
    path.iter()
        .try_fold(json, |json, step| json.get_mut(step))
        .and_then(Value::as_object_mut)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, PartialEq, Serialize, Deserialize)]
    struct OuterSettings {
        name: String,
        #[serde(default)]
        inner: InnerSettings,
        #[serde(default)]
        pick: PickSetting,
    }

    #[derive(Clone, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct InnerSettings {
        rate: f64,
        count: u32,
    }

    impl Default for InnerSettings {
        fn default() -> Self {
            Self {
                rate: 0.1,
                count: 3,
            }
        }
    }

    #[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum PickSetting {
        #[default]
        Plain,
        Deep(InnerSettings),
    }

    fn short(outer: &OuterSettings) -> String {
        canonical_json(outer).to_string()
    }

    #[test]
    fn defaults_are_left_out_at_every_depth() {
        let mut outer = OuterSettings {
            name: String::new(),
            inner: InnerSettings::default(),
            pick: PickSetting::Plain,
        };
        assert_eq!(short(&outer), r#"{"name":""}"#);
        outer.inner.count = 4;
        assert_eq!(short(&outer), r#"{"name":"","inner":{"count":4}}"#);
        outer.pick = PickSetting::Deep(InnerSettings {
            rate: 0.2,
            count: 3,
        });
        assert_eq!(
            short(&outer),
            r#"{"name":"","inner":{"count":4},"pick":{"deep":{"rate":0.2}}}"#
        );
        outer.pick = PickSetting::Deep(InnerSettings::default());
        assert_eq!(
            short(&outer),
            r#"{"name":"","inner":{"count":4},"pick":{"deep":{}}}"#
        );
    }
}
