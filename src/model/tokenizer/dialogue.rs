//! How a chat template's texts become tokens: prompts and answers, each where sampling has it.
//!
//! A model is shown a prompt's tokens and writes its answer behind them. Where a tokenizer would join
//! the end of one with the beginning of the other (a line's end of each, say), the two are tokens of
//! their own in training as well.

use crate::domain::{Message, Role};
use crate::model::chat::ChatTemplate;

use super::{TokenizerError, Written};

/// What writes dialogues.
pub struct Writer<'a, E> {
    pub template: &'a ChatTemplate,
    /// Tokens that end an answer.
    pub ends: &'a [u32],
    pub encode: E,
}

/// As much of a dialogue as was written.
#[derive(Default)]
struct Begun {
    tokens: Vec<u32>,
    /// Bytes of the text that the tokens stand for.
    shown: usize,
    /// Bytes of the text with the answer behind it.
    said: usize,
}

impl<E: Fn(&str) -> Vec<u32>> Writer<'_, E> {
    /// A dialogue's tokens and where its answers lie in them; with `open`, up to where the next answer
    /// begins.
    pub fn write(&self, messages: &[Message], open: bool) -> Result<Written, TokenizerError> {
        let text = self.template.render(messages, open)?;
        let (mut begun, mut answers) = (Begun::default(), Vec::new());
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
                return Err(TokenizerError::Unsteady(number + 1));
            }
            let tokens = self.gone_on(begun, &before);
            let most = (self.encode)(&after[before.len()..]).len();
            answers.push(tokens.len()..tokens.len() + most);
            begun = Begun {
                tokens,
                shown: before.len(),
                said: after.len(),
            };
        }
        let tokens = self.gone_on(begun, &text);
        // Some templates write a line's end behind the token that ends an answer.
        for answer in &mut answers {
            let end = tokens[answer.start..]
                .iter()
                .position(|token| self.ends.contains(token));
            answer.end = end.map_or(answer.end.min(tokens.len()), |at| answer.start + at + 1);
        }
        Ok(Written { tokens, answers })
    }

    /// The tokens of a dialogue up to where the next answer begins, whether or not the template writes
    /// it again the same way.
    pub fn prompt(&self, messages: &[Message]) -> Result<Vec<u32>, TokenizerError> {
        match self.write(messages, true) {
            Err(TokenizerError::Unsteady(_)) => {
                Ok((self.encode)(&self.template.render(messages, true)?))
            }
            written => Ok(written?.tokens),
        }
    }

    /// The tokens of `text`, which goes on from what was begun.
    fn gone_on(&self, begun: Begun, text: &str) -> Vec<u32> {
        let whole = (self.encode)(text);
        if whole.starts_with(&begun.tokens) {
            return whole;
        }
        let (answer, rest) = (&text[begun.shown..begun.said], &text[begun.said..]);
        [begun.tokens, (self.encode)(answer), (self.encode)(rest)].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CHATML, checkpoint};
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
            let written = tokenizer.write(&turns).unwrap();
            let joined = answer.starts_with('\n');
            let text = tokenizer.template().unwrap().render(&turns, false).unwrap();
            assert_eq!(
                tokenizer.encode(&text) != written.tokens,
                joined,
                "{answer:?}"
            );
            for (number, range) in written.answers.iter().enumerate() {
                let shown = Dialogue(turns[..=2 * number].to_vec());
                assert_eq!(
                    written.tokens[..range.start],
                    tokenizer.prompt(&shown).unwrap(),
                    "{answer:?}"
                );
                assert!(tokenizer.is_end(written.tokens[range.end - 1]));
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
            tokenizer.write(&dialogue("3")),
            Err(TokenizerError::Unsteady(2))
        ));
        let prompt = tokenizer
            .prompt(&Dialogue(dialogue("3")[..3].to_vec()))
            .unwrap();
        assert_eq!(
            prompt,
            tokenizer.encode("1 + 1?<|im_end|>3<|im_end|>Again..<|im_end|>")
        );
    }
}
