//! The messages of the chat-completions API: the body of a request and the check of a reply.
//!
//! Servers send errors, nothing, and halves of an answer with status 200.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::{Dialogue, Role, SampledAttempt, SamplingConfig};

/// The body of a request, without a seed if `seed` is none.
pub fn request_body(
    model: &str,
    system: Option<&str>,
    dialogue: &Dialogue,
    how: &SamplingConfig,
    seed: Option<u32>,
) -> Value {
    let mut messages: Vec<Value> = system
        .map(|text| json!({ "role": "system", "content": text }))
        .into_iter()
        .collect();
    messages.extend(dialogue.0.iter().map(|message| {
        let role = match message.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        json!({ "role": role, "content": message.text })
    }));
    let mut body = json!({
        "model": model, "messages": messages, "temperature": how.temperature, "max_tokens": how.max_tokens,
    });
    if how.top_p < 1.0 {
        body["top_p"] = json!(how.top_p);
    }
    if let Some(seed) = seed {
        body["seed"] = json!(seed);
    }
    body
}

/// An answer of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiAnswer {
    /// The text.
    pub text: String,
    /// Whether it ended by itself.
    pub finished: bool,
    /// Whether a filter took it, or some of it, away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub filtered: bool,
    /// Tokens that were shown, where the server counts them.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the answer, where the server counts them.
    pub completion_tokens: Option<u32>,
    /// The model that answered, by its own name.
    pub model: Option<String>,
    /// The server's name for the state that it was in.
    pub fingerprint: Option<String>,
}

impl ApiAnswer {
    /// Why the model did not say it, if it did not.
    pub fn unusable_reason(&self) -> Option<&'static str> {
        if self.filtered {
            Some("a filter held the answer back")
        } else if self.text.trim().is_empty() {
            Some("the answer is blank")
        } else {
            None
        }
    }

    /// An unusable answer as an unfinished attempt.
    pub fn into_unfinished_attempt(self) -> SampledAttempt {
        Self {
            finished: false,
            ..self
        }
        .into_attempt()
    }

    /// The answer as an attempt.
    pub fn into_attempt(self) -> SampledAttempt {
        SampledAttempt {
            text: self.text,
            tokens: self.completion_tokens.unwrap_or(0),
            prompt_tokens: self.prompt_tokens.unwrap_or(0),
            finished: self.finished,
        }
    }
}

/// Reads the body of a reply with status 200.
///
/// # Errors
/// The reason, if it is no answer.
pub fn parse_reply(body: &str) -> Result<ApiAnswer, String> {
    let reply: Value = serde_json::from_str(body).map_err(|error| {
        if error.is_eof() {
            "the reply is cut".to_owned()
        } else {
            "the reply is not JSON".to_owned()
        }
    })?;
    if let Some(complaint) = error_message(&reply) {
        return Err(format!("the reply is an error: {complaint}"));
    }
    let choice = reply["choices"].get(0).ok_or("the reply has no choice")?;
    let text = choice["message"]["content"].as_str();
    let reason = choice["finish_reason"]
        .as_str()
        .ok_or("the answer says no `finish_reason`, so it may be cut")?;
    let filtered = reason == "content_filter";
    let finished = match reason {
        "stop" | "eos" | "eos_token" | "stop_sequence" | "end_turn" => true,
        "length" | "max_tokens" | "content_filter" => false,
        other => {
            return Err(format!(
                "the answer ended for the reason `{other}`, and not as a text does"
            ));
        }
    };
    // A filter may leave nothing of an answer.
    let text = if finished {
        text.ok_or("the answer has no content")?
    } else {
        text.unwrap_or_default()
    };
    Ok(ApiAnswer {
        text: text.to_owned(),
        finished,
        filtered,
        prompt_tokens: count_field(&reply["usage"]["prompt_tokens"]),
        completion_tokens: count_field(&reply["usage"]["completion_tokens"]),
        model: name_field(&reply["model"]),
        fingerprint: name_field(&reply["system_fingerprint"]),
    })
}

fn count_field(value: &Value) -> Option<u32> {
    value.as_u64().map(|count| count as u32)
}

/// A name; none if it is empty.
fn name_field(value: &Value) -> Option<String> {
    let name = value.as_str().filter(|name| !name.is_empty());
    name.map(str::to_owned)
}

/// The error of a server, if it sent one: `{"error": {"message": ...}}` and its relatives.
pub fn error_message(reply: &Value) -> Option<String> {
    let error = reply.get("error").filter(|error| !error.is_null())?;
    let text = error.as_str().or_else(|| error["message"].as_str());
    Some(text.map_or_else(|| error.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_everything_that_changes_an_answer() {
        let dialogue = Dialogue::default()
            .user("1 + 1?")
            .assistant("3")
            .user("Again.");
        let how = SamplingConfig {
            temperature: 0.5,
            top_p: 0.9,
            max_tokens: 64,
            ..SamplingConfig::default()
        };
        let body = request_body("m", Some("Be brief."), &dialogue, &how, Some(7));
        insta::assert_snapshot!(body, @r#"{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"1 + 1?"},{"role":"assistant","content":"3"},{"role":"user","content":"Again."}],"temperature":0.5,"max_tokens":64,"top_p":0.9,"seed":7}"#);
        let plain = request_body(
            "m",
            None,
            &Dialogue::default(),
            &SamplingConfig::default(),
            None,
        );
        insta::assert_snapshot!(plain, @r#"{"model":"m","messages":[],"temperature":1.0,"max_tokens":96}"#);
    }

    #[test]
    fn an_answer_is_read_with_its_counts() {
        let body = r#"{"model":"m-1","system_fingerprint":"fp","usage":{"prompt_tokens":12,"completion_tokens":3},
            "choices":[{"message":{"role":"assistant","content":"2"},"finish_reason":"stop"}]}"#;
        let read = parse_reply(body).unwrap();
        assert_eq!(
            (read.model.as_deref(), read.fingerprint.as_deref()),
            (Some("m-1"), Some("fp"))
        );
        let expected = SampledAttempt {
            text: "2".to_owned(),
            tokens: 3,
            prompt_tokens: 12,
            finished: true,
        };
        assert_eq!(read.into_attempt(), expected);
        let cut = parse_reply(&body.replace("\"stop\"", "\"length\"")).unwrap();
        assert!(!cut.finished && cut.unusable_reason().is_none());
    }

    #[test]
    fn what_the_model_did_not_say_is_no_answer_of_it() {
        let body = |content: &str, reason: &str| {
            let choice =
                format!("{{\"message\":{{\"content\":{content}}},\"finish_reason\":\"{reason}\"}}");
            parse_reply(&format!("{{\"choices\":[{choice}]}}")).unwrap()
        };
        let told = |content, reason| body(content, reason).unusable_reason();
        assert_eq!(told("\" \"", "stop"), Some("the answer is blank"));
        assert_eq!(told("null", "length"), Some("the answer is blank"));
        assert_eq!(
            told("null", "content_filter"),
            Some("a filter held the answer back")
        );
        assert_eq!(
            told("\"I\"", "content_filter"),
            Some("a filter held the answer back")
        );
        assert_eq!(told("\"I\"", "length"), None);
        let left = body("\" \"", "stop").into_unfinished_attempt();
        assert_eq!((left.text.as_str(), left.finished), (" ", false));
    }

    #[test]
    fn what_only_looks_like_an_answer_is_told() {
        let choice = |choice: &str| format!("{{\"choices\":[{choice}]}}");
        let told: Vec<String> = [
            "<html>".to_owned(),
            r#"{"choices":[{"mess"#.to_owned(),
            r#"{"error":{"message":"overloaded"},"choices":[]}"#.to_owned(),
            r#"{"error":"no"}"#.to_owned(),
            "{}".to_owned(),
            choice(""),
            choice("{}"),
            choice(r#"{"message":{"content":null},"finish_reason":"stop"}"#),
            choice(r#"{"message":{"content":"2"}}"#),
            choice(r#"{"message":{"content":"2"},"finish_reason":null}"#),
            choice(r#"{"message":{"content":"2"},"finish_reason":"tool_calls"}"#),
        ]
        .iter()
        .map(|body| parse_reply(body).unwrap_err())
        .collect();
        insta::assert_snapshot!(told.join("\n"), @"
        the reply is not JSON
        the reply is cut
        the reply is an error: overloaded
        the reply is an error: no
        the reply has no choice
        the reply has no choice
        the answer says no `finish_reason`, so it may be cut
        the answer has no content
        the answer says no `finish_reason`, so it may be cut
        the answer says no `finish_reason`, so it may be cut
        the answer ended for the reason `tool_calls`, and not as a text does
        ");
    }
}
