//! A key: read from the environment, sent in a header, and shown nowhere.

use std::env;
use std::fmt;

/// Shorter ones are no secrets, and taking them out of texts would maul the texts.
const MIN_REDACTED_LEN: usize = 8;

/// The key of an API. It has no readable form but the header's.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The content of an environment variable.
    ///
    /// # Errors
    /// If it is not set, is empty, or holds characters that no header may.
    pub fn from_environment(name: &str) -> Result<Self, String> {
        let value = env::var(name).unwrap_or_default();
        let value = value.trim();
        if value.is_empty() {
            return Err(format!(
                "the environment variable `{name}` is not set; put the key into it"
            ));
        }
        if !value.chars().all(|letter| letter.is_ascii_graphic()) {
            return Err(format!(
                "the environment variable `{name}` holds characters that no key has; set it anew"
            ));
        }
        Ok(Self(value.to_owned()))
    }

    /// The value of the `Authorization` header.
    pub fn bearer_header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// A text in which the key does not occur; some servers repeat it in their complaints.
    pub fn redact(&self, text: String) -> String {
        if self.0.len() < MIN_REDACTED_LEN {
            text
        } else {
            text.replace(&self.0, "[key]")
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_no_readable_form() {
        let secret = Secret("sk-12345678".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(
            secret.redact("wrong key sk-12345678!".to_owned()),
            "wrong key [key]!"
        );
    }
}
