//! The settings of an API model, as an experiment file spells them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::SamplingConfig;

use super::address::ApiAddress;
use super::secret::Secret;

/// The variable of the key for a remote server, if the settings name none.
const DEFAULT_KEY_VARIABLE: &str = "OPENAI_API_KEY";

/// The part of the dialogue that a teacher sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeacherView {
    /// The question alone.
    #[default]
    Question,
    /// The question, every failed attempt and the retry texts, as the paper shows GPT-3.5.
    Dialogue,
}

/// The price of a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenPrice {
    /// Price of prompt tokens.
    pub input: f64,
    /// Price of completion tokens.
    pub output: f64,
}

impl TokenPrice {
    /// The price of these tokens.
    #[must_use]
    pub fn cost(self, input: u64, output: u64) -> f64 {
        (self.input * input as f64 + self.output * output as f64) / 1e6
    }
}

/// A model behind an API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Where the API begins, e.g. `http://localhost:8000/v1`.
    pub base_url: String,
    /// The model, by the server's name for it.
    pub model: String,
    /// Softmax temperature; by default 0.7 for a teacher and `collect.sampling` for rollouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The most tokens of an answer; by default that of `collect.sampling`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// The part of the dialogue that a teacher sees; rollouts always see their own dialogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "sees")]
    pub view: Option<TeacherView>,
    /// A system message, e.g. how the answer is to be written for the grader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Whether each request names its random seed, which a server may refuse to take.
    #[serde(default = "yes")]
    pub send_seed: bool,
    /// Questions put at a time, by one stage.
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    /// Seconds until an answer must be there.
    #[serde(default = "timeout")]
    pub timeout: f64,
    /// How often a question is put again after a fault that may pass.
    #[serde(default = "retries")]
    pub retries: u32,
    /// The most requests a minute, by all stages on one store together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// The environment variable that holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    /// The price of a million tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<TokenPrice>,
}

const fn yes() -> bool {
    true
}

const fn concurrency() -> usize {
    8
}

const fn timeout() -> f64 {
    120.0
}

const fn retries() -> u32 {
    6
}

impl Endpoint {
    /// A model at a base URL, with defaults.
    #[must_use]
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            model: model.into(),
            temperature: None,
            max_tokens: None,
            view: None,
            system: None,
            send_seed: yes(),
            concurrency: concurrency(),
            timeout: timeout(),
            retries: retries(),
            requests_per_minute: None,
            key_env: None,
            price: None,
        }
    }

    /// The first error in these settings, as (field, complaint).
    #[must_use]
    pub fn first_error(&self) -> Option<(&'static str, String)> {
        let address = match ApiAddress::parse(&self.base_url) {
            Ok(address) => address,
            Err(complaint) => return Some(("base_url", complaint)),
        };
        if !address.tls && !address.is_local() {
            let complaint = format!(
                "`{}` would send the key in the clear; write `https://`, or reach the server through a tunnel to \
                 localhost",
                self.base_url
            );
            return Some(("base_url", complaint));
        }
        self.number_error().or_else(|| self.name_error())
    }

    fn number_error(&self) -> Option<(&'static str, String)> {
        let sampling = SamplingConfig {
            temperature: self.temperature.unwrap_or(1.0),
            max_tokens: self.max_tokens.unwrap_or(1),
            ..SamplingConfig::default()
        };
        let usable_timeout = self.timeout > 0.0 && self.timeout <= f64::from(24 * 60 * 60);
        let valid_price = self.price.is_none_or(|price| {
            let mut prices = [price.input, price.output].into_iter();
            prices.all(|price| price.is_finite() && price >= 0.0)
        });
        if let Some(error) = sampling.first_error() {
            return Some(error);
        }
        let (field, complaint) = if self.concurrency == 0 {
            ("concurrency", "0 questions at a time are never answered")
        } else if self.concurrency > 1024 {
            (
                "concurrency",
                "more than 1024 questions at a time are a slip of the pen",
            )
        } else if !usable_timeout {
            let complaint = format!(
                "{} is not a number of seconds above 0 and up to a day",
                self.timeout
            );
            return Some(("timeout", complaint));
        } else if self.requests_per_minute == Some(0) {
            ("requests_per_minute", "0 requests a minute ask nothing")
        } else if !valid_price {
            ("price", "a price is a number of at least 0")
        } else {
            return None;
        };
        Some((field, complaint.to_owned()))
    }

    fn name_error(&self) -> Option<(&'static str, String)> {
        if self.model.is_empty() {
            return Some(("model", "no model is named".to_owned()));
        }
        let name = self.key_env.as_ref()?;
        let is_name = name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        // The text may be the key itself, so no message, log or database may repeat it.
        (name.is_empty() || !is_name).then(|| {
            (
                "key_env",
                "this is not the name of an environment variable; the key itself does not belong here"
                    .to_owned(),
            )
        })
    }

    /// Whether the server can be asked from here: that this program can encrypt where it has to, and
    /// that the key is there where one is needed. Asks nobody.
    ///
    /// # Errors
    /// The missing part and the remedy.
    pub fn check_ready(&self) -> Result<(), String> {
        let address = ApiAddress::parse(&self.base_url)?;
        if address.tls && !cfg!(feature = "https") {
            return Err(format!(
                "{} needs a program with TLS, and this one is without; build it with `cargo build --release --features https`",
                self.base_url
            ));
        }
        self.secret().map(|_| ())
    }

    /// The key that the server wants, if it wants one.
    pub(super) fn secret(&self) -> Result<Option<Secret>, String> {
        let local = ApiAddress::parse(&self.base_url)?.is_local();
        match &self.key_env {
            Some(name) => Secret::from_environment(name).map(Some),
            // A host's key is not handed to whatever listens on a local port.
            None if local => Ok(None),
            None => Secret::from_environment(DEFAULT_KEY_VARIABLE)
                .map(Some)
                .map_err(|complaint| {
                    format!(
                        "{complaint}; {} wants a key (`key_env` names another variable)",
                        self.base_url
                    )
                }),
        }
    }

    /// How the key's variable is called, for messages.
    pub(super) fn key_variable(&self) -> Option<&str> {
        let local = ApiAddress::parse(&self.base_url).is_ok_and(|address| address.is_local());
        self.key_env
            .as_deref()
            .or((!local).then_some(DEFAULT_KEY_VARIABLE))
    }

    /// Who answers: the host where it is somebody else's, or `local`.
    ///
    /// A local server moves between ports and machines from day to day while the model is the same, so
    /// its place is not part of what it answers; hosts serve builds of their own under one name.
    #[must_use]
    pub fn host_name(&self) -> String {
        match ApiAddress::parse(&self.base_url) {
            Ok(address) if !address.is_local() => address.host,
            _ => "local".to_owned(),
        }
    }

    /// How answers are drawn, given the run's own way and the temperature where none is named.
    #[must_use]
    pub fn sampling_with_overrides(
        &self,
        own: &SamplingConfig,
        temperature: f64,
    ) -> SamplingConfig {
        SamplingConfig {
            temperature: self.temperature.unwrap_or(temperature),
            max_tokens: self.max_tokens.unwrap_or(own.max_tokens),
            ..*own
        }
    }

    /// What changes answers, for the key of a stage: who answers and what else a request says beside the
    /// dialogue and the sampling. Concurrency, patience, price and key are not part of it.
    #[must_use]
    pub fn identity(&self) -> Value {
        let mut identity = json!({ "place": self.host_name(), "model": self.model });
        if let Some(system) = &self.system {
            identity["system"] = json!(system);
        }
        if !self.send_seed {
            identity["send_seed"] = json!(false);
        }
        identity
    }

    /// The same settings without those that change no answer, for the key of a run.
    #[must_use]
    pub fn result_relevant(&self) -> Self {
        Self {
            temperature: self.temperature,
            max_tokens: self.max_tokens,
            view: self.view.filter(|sees| *sees != TeacherView::default()),
            system: self.system.clone(),
            send_seed: self.send_seed,
            ..Self::new(self.host_name(), self.model.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut Endpoint)) -> String {
        let mut endpoint = Endpoint::new("http://localhost:8000/v1", "m");
        change(&mut endpoint);
        endpoint.first_error().map_or_else(
            || "none".to_owned(),
            |(field, complaint)| format!("{field}: {complaint}"),
        )
    }

    #[test]
    fn settings_that_cannot_be_carried_out_are_told() {
        let told = [
            fault(|_| ()),
            fault(|e| e.base_url = "http://api.openai.com/v1".to_owned()),
            fault(|e| e.model.clear()),
            fault(|e| e.temperature = Some(-1.0)),
            fault(|e| e.max_tokens = Some(0)),
            fault(|e| e.concurrency = 0),
            fault(|e| e.timeout = 0.0),
            fault(|e| e.requests_per_minute = Some(0)),
            fault(|e| {
                e.price = Some(TokenPrice {
                    input: -1.0,
                    output: 1.0,
                });
            }),
            fault(|e| e.key_env = Some("sk-proj-123".to_owned())),
        ];
        insta::assert_snapshot!(told.join("\n"), @"
        none
        base_url: `http://api.openai.com/v1` would send the key in the clear; write `https://`, or reach the server through a tunnel to localhost
        model: no model is named
        temperature: -1 is not a number of at least 0
        max_tokens: 0 leaves no room for an answer
        concurrency: 0 questions at a time are never answered
        timeout: 0 is not a number of seconds above 0 and up to a day
        requests_per_minute: 0 requests a minute ask nothing
        price: a price is a number of at least 0
        key_env: this is not the name of an environment variable; the key itself does not belong here
        ");
    }

    #[test]
    fn only_what_changes_answers_is_part_of_the_identity() {
        let one = Endpoint::new("http://localhost:8000/v1", "m");
        let moved = Endpoint {
            base_url: "http://10.0.0.7:9000/v1".to_owned(),
            concurrency: 2,
            timeout: 5.0,
            retries: 0,
            requests_per_minute: Some(3),
            key_env: Some("OTHER".to_owned()),
            price: Some(TokenPrice {
                input: 1.0,
                output: 2.0,
            }),
            view: Some(TeacherView::Question),
            ..one.clone()
        };
        assert_eq!(
            (one.identity(), one.result_relevant()),
            (moved.identity(), moved.result_relevant())
        );
        let hosted = Endpoint::new("https://api.example.com/v1", "m");
        let elsewhere = Endpoint::new("https://other.example.com/v1", "m");
        for (a, b) in [(&one, &hosted), (&hosted, &elsewhere)] {
            assert_ne!(a.identity(), b.identity());
            assert_ne!(a.result_relevant(), b.result_relevant());
        }
        assert_ne!(
            one.identity(),
            Endpoint {
                system: Some("Be brief.".to_owned()),
                ..one.clone()
            }
            .identity()
        );
    }

    #[test]
    fn a_local_server_gets_no_key_unless_one_is_named() {
        let local = Endpoint::new("http://localhost:8000/v1", "m");
        assert!(local.secret().unwrap().is_none());
        local.check_ready().unwrap();
        let named = Endpoint {
            key_env: Some("RISE_LAB_NO_SUCH_KEY".to_owned()),
            ..local
        };
        insta::assert_snapshot!(named.check_ready().unwrap_err(), @"the environment variable `RISE_LAB_NO_SUCH_KEY` is not set; put the key into it");
    }

    #[test]
    fn a_price_by_hand() {
        assert!(
            (TokenPrice {
                input: 0.5,
                output: 2.0
            }
            .cost(2_000_000, 500_000)
                - 2.0)
                .abs()
                < 1e-12
        );
    }
}
