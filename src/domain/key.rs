//! Identity by content: SHA-256 over a canonical JSON form.

use std::{fmt, io};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A SHA-256 in lower-case hexadecimal; the identity of a stage, run or file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// The key of some bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(hex(&Sha256::digest(bytes)))
    }

    /// The key of all that a reader gives, which is never held in memory as a whole.
    ///
    /// # Errors
    /// If it cannot be read to its end.
    pub fn from_reader(mut reader: impl io::Read) -> io::Result<Self> {
        let mut digest = Sha256::new();
        let mut piece = vec![0; 1 << 20];
        loop {
            match reader.read(&mut piece)? {
                0 => return Ok(Self(hex(&digest.finalize()))),
                count => digest.update(&piece[..count]),
            }
        }
    }

    /// The key of a value: its JSON with object members sorted by name, without spaces.
    ///
    /// # Panics
    /// If the value cannot be written as JSON (a map with keys that are not strings).
    #[must_use]
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Self {
        let value = serde_json::to_value(value).expect("keyed values are plain data");
        Self::from_bytes(sort_members(value).to_string().as_bytes())
    }

    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people and folder names.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12.min(self.0.len())]
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(text)
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// The same value with every object's members in order of their names.
fn sort_members(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(
                members
                    .into_iter()
                    .map(|(name, member)| (name, sort_members(member)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sort_members).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_order_does_not_matter_and_values_do() {
        let a: Value = serde_json::from_str(r#"{"b":[{"y":1,"x":2}],"a":0.4}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"a":0.4,"b":[{"x":2,"y":1}]}"#).unwrap();
        let c: Value = serde_json::from_str(r#"{"a":0.4,"b":[{"x":2,"y":2}]}"#).unwrap();
        assert_eq!(Key::from_value(&a), Key::from_value(&b));
        assert_ne!(Key::from_value(&a), Key::from_value(&c));
    }

    #[test]
    fn known_digest() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Key::from_bytes(b"").as_str(), empty);
    }
}
