//! Dialogues by chat templates against transformers: texts, token ids, and where answers lie.

use std::fs;
use std::path::PathBuf;

use rise_lab::domain::{Dialogue, Message, Role};
use rise_lab::model::{ChatTemplate, EncodedDialogue, Tokenizer};
use serde::Deserialize;

use crate::support::{Lab, manifest};

#[derive(Deserialize)]
struct Golden {
    turns: Vec<(Role, String)>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    messages: usize,
    text: String,
    ids: Vec<u32>,
}

const TEMPLATES: [&str; 7] = [
    "llama-2",
    "llama-3",
    "mistral-v0.2",
    "mistral-v0.3",
    "qwen2.5",
    "zephyr",
    "smollm2",
];

fn folder(name: &str) -> PathBuf {
    manifest("tests/golden/chat").join(name)
}

fn golden(name: &str) -> (Vec<Message>, Vec<Case>) {
    let text = fs::read_to_string(folder(name).join("golden.json")).unwrap();
    let Golden { turns, cases } = serde_json::from_str(&text).unwrap();
    (
        turns
            .into_iter()
            .map(|(role, text)| Message { role, text })
            .collect(),
        cases,
    )
}

#[test]
fn texts_and_token_ids_are_those_of_transformers() {
    for name in TEMPLATES {
        let (turns, cases) = golden(name);
        let template = ChatTemplate::read(&folder(name)).unwrap().unwrap();
        let tokenizer = Tokenizer::load(&folder(name).join("tokenizer.json")).unwrap();
        for case in cases {
            let messages = &turns[..case.messages];
            let is_open = messages.last().unwrap().role == Role::User;
            assert_eq!(
                template.render(messages, is_open).unwrap(),
                case.text,
                "{name}"
            );
            let ids = if is_open {
                tokenizer
                    .encode_prompt(&Dialogue(messages.to_vec()))
                    .unwrap()
            } else {
                tokenizer.encode_dialogue(messages).unwrap().tokens
            };
            assert_eq!(ids, case.ids, "{name}, {} messages", case.messages);
        }
    }
}

#[test]
fn what_is_trained_follows_what_is_shown_and_ends_as_answers_end() {
    for name in TEMPLATES {
        let (turns, _) = golden(name);
        let tokenizer = Tokenizer::load(&folder(name).join("tokenizer.json")).unwrap();
        let EncodedDialogue { tokens, answers } = tokenizer.encode_dialogue(&turns[..4]).unwrap();
        assert_eq!(answers.len(), 2, "{name}");
        for (number, answer) in answers.into_iter().enumerate() {
            let before = Dialogue(turns[..=2 * number].to_vec());
            assert_eq!(
                tokens[..answer.start],
                tokenizer.encode_prompt(&before).unwrap(),
                "{name}"
            );
            assert!(tokenizer.is_end_token(tokens[answer.end - 1]), "{name}");
            assert!(
                !tokens[answer.start..answer.end - 1]
                    .iter()
                    .any(|&token| tokenizer.is_end_token(token))
            );
            assert_eq!(
                tokenizer.decode(&tokens[answer]).trim(),
                turns[2 * number + 1].text,
                "{name}"
            );
        }
    }
}

#[test]
fn a_template_that_refuses_or_rewrites_says_so() {
    let tokenizer = Tokenizer::load(&folder("llama-2").join("tokenizer.json")).unwrap();
    let (turns, _) = golden("llama-2");
    let refused = tokenizer
        .encode_dialogue(&turns[1..2])
        .unwrap_err()
        .to_string();
    assert!(refused.contains("roles must alternate"), "{refused}");
    let lab = Lab::new();
    crate::support::copy(&folder("zephyr"), &lab.path("zephyr"));
    let template =
        "{% for m in messages %}{{ loop.revindex }} {{ m.content }}{{ eos_token }}{% endfor %}";
    lab.write("zephyr/chat_template.jinja", template);
    let rewriting = Tokenizer::load(&lab.path("zephyr/tokenizer.json")).unwrap();
    let error = rewriting
        .encode_dialogue(&turns[..4])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(
            "writes the beginning of a dialogue otherwise once it is answered (message 2)"
        ),
        "{error}"
    );
    fs::remove_file(lab.path("zephyr/chat_template.jinja")).unwrap();
    fs::remove_file(lab.path("zephyr/tokenizer_config.json")).unwrap();
    let error = Tokenizer::load(&lab.path("zephyr/tokenizer.json"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("there is no chat template beside it"),
        "{error}"
    );
}
