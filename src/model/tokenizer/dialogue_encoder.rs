//! How a chat template's texts become tokens: prompts and answers, each where sampling has it.
//!
//! A model is shown a prompt's tokens and writes its answer behind them. Where a tokenizer would join
//! the end of one with the beginning of the other (a line's end of each, say), the two are tokens of
//! their own in training as well.

use crate::domain::{Message, Role};
use crate::model::chat_template::ChatTemplate;

use super::{EncodedDialogue, TokenizerError};

/// What writes dialogues.
pub struct DialogueEncoder<'a, E> {
    pub template: &'a ChatTemplate,
    /// Tokens that end an answer.
    pub stop_tokens: &'a [u32],
    pub encode: E,
}

/// As much of a dialogue as was written.
#[derive(Default)]
struct PartialEncoding {
    tokens: Vec<u32>,
    /// Bytes of the text that the tokens stand for.
    prompt_bytes: usize,
    /// Bytes of the text with the answer behind it.
    answered_bytes: usize,
}

impl<E: Fn(&str) -> Vec<u32>> DialogueEncoder<'_, E> {
    /// A dialogue's tokens and where its answers lie in them; with `open`, up to where the next answer
    /// begins.
    pub fn encode(
        &self,
        messages: &[Message],
        open: bool,
    ) -> Result<EncodedDialogue, TokenizerError> {
        let text = self.template.render(messages, open)?;
        let (mut begun, mut answers) = (PartialEncoding::default(), Vec::new());
        let answered = messages
            .iter()
            .enumerate()
            .filter(|(_, message)| message.role == Role::Assistant);
        for (number, _) in answered {
            let before = self.template.render(&messages[..number], true)?;
            let after = self.template.render(&messages[..=number], false)?;
            if !text.starts_with(&after)
                || !after.starts_with(&before)
                || after.len() == before.len()
            {
                return Err(TokenizerError::PrefixChanged(number + 1));
            }
            let tokens = self.continue_encoding(begun, &before);
            let most = (self.encode)(&after[before.len()..]).len();
            answers.push(tokens.len()..tokens.len() + most);
            begun = PartialEncoding {
                tokens,
                prompt_bytes: before.len(),
                answered_bytes: after.len(),
            };
        }
        let tokens = self.continue_encoding(begun, &text);
        // Some templates write a line's end behind the token that ends an answer.
        for answer in &mut answers {
            let end = tokens[answer.start..]
                .iter()
                .position(|token| self.stop_tokens.contains(token));
            answer.end = end.map_or(answer.end.min(tokens.len()), |at| answer.start + at + 1);
        }
        Ok(EncodedDialogue { tokens, answers })
    }

    /// The tokens of a dialogue up to where the next answer begins, whether or not the template writes
    /// it again the same way.
    pub fn encode_prompt(&self, messages: &[Message]) -> Result<Vec<u32>, TokenizerError> {
        match self.encode(messages, true) {
            Err(TokenizerError::PrefixChanged(_)) => {
                Ok((self.encode)(&self.template.render(messages, true)?))
            }
            written => Ok(written?.tokens),
        }
    }

    /// The tokens of `text`, which continues the unfinished message.
    fn continue_encoding(&self, begun: PartialEncoding, text: &str) -> Vec<u32> {
        let whole = (self.encode)(text);
        if whole.starts_with(&begun.tokens) {
            return whole;
        }
        let (answer, rest) = (
            &text[begun.prompt_bytes..begun.answered_bytes],
            &text[begun.answered_bytes..],
        );
        [begun.tokens, (self.encode)(answer), (self.encode)(rest)].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{CHATML, checkpoint};
    use super::super::{Tokenizer, TokenizerError};
    use crate::domain::{Dialogue, Message, Role};

    fn said(role: Role, text: &str) -> Message {
        Message {
            role,
            text: text.to_owned(),
        }
    }

    /// Two turns, the first answer of which begins as no template begins one.
    fn dialogue(answer: &str) -> Vec<Message> {
        let (user, assistant) = (Role::User, Role::Assistant);
        vec![
            said(user, "1 + 1?"),
            said(assistant, answer),
            said(user, "Again."),
            said(assistant, "2"),
        ]
    }

    #[test]
    fn an_answer_that_begins_with_a_line_follows_the_tokens_of_its_prompt() {
        let folder = checkpoint(CHATML, "");
        let tokenizer = Tokenizer::load(&folder.path().join("tokenizer.json")).unwrap();
        for answer in ["\n3", "3", "", "\n"] {
            let turns = dialogue(answer);
            let written = tokenizer.encode_dialogue(&turns).unwrap();
            let joined = answer.starts_with('\n');
            let text = tokenizer
                .chat_template()
                .unwrap()
                .render(&turns, false)
                .unwrap();
            assert_eq!(
                tokenizer.encode(&text) != written.tokens,
                joined,
                "{answer:?}"
            );
            for (number, range) in written.answers.iter().enumerate() {
                let shown = Dialogue(turns[..=2 * number].to_vec());
                assert_eq!(
                    written.tokens[..range.start],
                    tokenizer.encode_prompt(&shown).unwrap(),
                    "{answer:?}"
                );
                assert!(tokenizer.is_end_token(written.tokens[range.end - 1]));
                let text = tokenizer.decode(&written.tokens[range.clone()]);
                assert_eq!(text, turns[2 * number + 1].text, "{answer:?}");
            }
        }
    }

    #[test]
    fn a_template_that_rewrites_a_text_is_unsteady_but_prompts() {
        let last = "{% for m in messages %}{{ m.content }}{% if loop.last %}.{% endif %}<|im_end|>{% endfor %}";
        let folder = checkpoint(last, "");
        let tokenizer = Tokenizer::load(&folder.path().join("tokenizer.json")).unwrap();
        assert!(matches!(
            tokenizer.encode_dialogue(&dialogue("3")),
            Err(TokenizerError::PrefixChanged(2))
        ));
        let prompt = tokenizer
            .encode_prompt(&Dialogue(dialogue("3")[..3].to_vec()))
            .unwrap();
        assert_eq!(
            prompt,
            tokenizer.encode("1 + 1?<|im_end|>3<|im_end|>Again..<|im_end|>")
        );
    }
}
