//! Online training as an objective: episodes of the policy as it is now, then some steps on them.
//!
//! Responsible for credit, advantages and token weights of one batch of episodes, for the
//! log-probabilities that they need, and for what is worth a curve. Who samples and grades is told
//! from outside. Must not know problems, prompts or graders.

use crate::domain::Message;
use crate::model::{Decoder, Tokenizer, Written};

use super::optimise::{Objective, TrainError, Weighed};
use super::policy_gradient::{Said, credits};
use super::rows::Rows;
use super::{Encoded, Reinforce, TrainConfig, Unfit};

/// One episode in token ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectory {
    /// The dialogue; its targets are the turns' attempts, in order.
    pub encoded: Encoded,
    /// What each turn earned.
    pub rewards: Vec<f64>,
}

impl Trajectory {
    /// The dialogue `messages`, in which every assistant message is an attempt: whether it ended
    /// by itself, and what it earned. One that was cut off ends without an end token, since none
    /// was sampled.
    ///
    /// # Errors
    /// If the dialogue does not fit `positions`.
    pub fn new(
        messages: &[Message],
        attempts: &[(bool, f64)],
        tokenizer: &Tokenizer,
        positions: usize,
    ) -> Result<Self, Unfit> {
        let Written {
            mut tokens,
            answers,
        } = tokenizer.write(messages)?;
        let finished = attempts
            .iter()
            .map(|(finished, _)| *finished)
            .chain(std::iter::repeat(true));
        let targets: Vec<(usize, usize, f64)> = answers
            .into_iter()
            .zip(finished)
            .map(|(answer, finished)| (answer.start, answer.end - usize::from(!finished), 1.0))
            .collect();
        // The last token is predicted and never read.
        let end = targets.last().map_or(0, |&(_, end, _)| end);
        tokens.truncate(end);
        if tokens.len() > positions + 1 {
            return Err(Unfit::TooLong {
                tokens: tokens.len(),
            });
        }
        let rewards = attempts.iter().map(|(_, reward)| *reward).collect();
        Ok(Self {
            encoded: Encoded { tokens, targets },
            rewards,
        })
    }
}

/// What was sampled for one batch.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// The episodes of each problem.
    pub groups: Vec<Vec<Trajectory>>,
    /// What was counted on the way.
    pub counts: Vec<(&'static str, u64)>,
}

/// Whoever answers the problems of an iteration, counted from 0, with the policy as it is.
pub type Sampler<'a> = &'a mut dyn FnMut(&Decoder, u32) -> Result<Sampled, TrainError>;

/// Online training.
pub struct Practice<'a> {
    settings: Reinforce,
    config: TrainConfig,
    reference: Option<Decoder>,
    sampler: Sampler<'a>,
    drawn: Option<Drawn>,
}

/// The episodes of an iteration, ready to be trained on.
struct Drawn {
    rows: Rows,
    /// The advantage and the turn of each of the rows' spans.
    advantages: Vec<(f64, usize)>,
    trajectories: usize,
    then: Vec<f32>,
    reference: Vec<f32>,
    readings: Vec<(String, f64)>,
}

impl<'a> Practice<'a> {
    /// Online training that is held near `reference`, which is kept only where the rule asks for it.
    #[must_use]
    pub fn new(
        settings: Reinforce,
        config: TrainConfig,
        reference: Decoder,
        sampler: Sampler<'a>,
    ) -> Self {
        let reference = settings.rule.has_reference().then_some(reference);
        Self {
            settings,
            config,
            reference,
            sampler,
            drawn: None,
        }
    }

    /// Episodes of the policy as it is.
    fn draw(
        &mut self,
        iteration: u32,
        decoder: &Decoder,
    ) -> Result<Vec<(&'static str, u64)>, TrainError> {
        let Sampled { groups, mut counts } = (self.sampler)(decoder, iteration)?;
        let trajectories: Vec<&Trajectory> = groups.iter().flatten().collect();
        let rows = Rows::new(
            &trajectories
                .iter()
                .map(|one| &one.encoded)
                .collect::<Vec<_>>(),
        );
        let advantages: Vec<Vec<f64>> = groups
            .iter()
            .flat_map(|group| self.advantages(group))
            .collect();
        let of_span = rows
            .spans
            .iter()
            .map(|span| (advantages[span.example][span.target], span.target));
        let advantages = of_span.collect();
        let then = decoder.log_probabilities(&rows.inputs, &rows.targets());
        let mut forward = rows.tokens();
        let reference = match &self.reference {
            Some(reference) => {
                forward += rows.tokens();
                reference.log_probabilities(&rows.inputs, &rows.targets())
            }
            None => then.clone(),
        };
        counts.push(("forward_tokens", forward));
        let (count, readings) = (trajectories.len(), readings(&groups));
        self.drawn = Some(Drawn {
            rows,
            advantages,
            trajectories: count,
            then,
            reference,
            readings,
        });
        Ok(counts)
    }

    /// The advantage of each turn of each of a problem's episodes.
    fn advantages(&self, group: &[Trajectory]) -> Vec<Vec<f64>> {
        let Reinforce { rule, discount, .. } = &self.settings;
        let credit = |one: &Trajectory| credits(&rule.shaped(&one.rewards), *discount);
        let all: Vec<Vec<f64>> = group.iter().map(credit).collect();
        let turns = all.iter().map(Vec::len).max().unwrap_or(0);
        let mut advantages = vec![Vec::with_capacity(turns); group.len()];
        for turn in 0..turns {
            // Those that came so far are compared with each other.
            let here: Vec<usize> = (0..group.len())
                .filter(|&sample| turn < all[sample].len())
                .collect();
            let credits: Vec<f64> = here.iter().map(|&sample| all[sample][turn]).collect();
            for (&sample, advantage) in here.iter().zip(rule.advantages(&credits)) {
                advantages[sample].push(advantage);
            }
        }
        advantages
    }
}

impl Objective for Practice<'_> {
    fn config(&self) -> &TrainConfig {
        &self.config
    }

    fn steps(&self) -> usize {
        (self.settings.iterations * self.settings.passes) as usize
    }

    /// In between, the policy is not the one that sampled any more.
    fn may_rest(&self, step: usize) -> bool {
        step.is_multiple_of(self.settings.passes as usize)
    }

    fn batch(&mut self, step: usize, decoder: &Decoder) -> Result<Weighed, TrainError> {
        let first = self.may_rest(step);
        let mut counts = Vec::new();
        if first {
            counts = self.draw((step / self.settings.passes as usize) as u32, decoder)?;
        }
        let drawn = self
            .drawn
            .as_ref()
            .expect("a training rests before it draws only");
        let again = || decoder.log_probabilities(&drawn.rows.inputs, &drawn.rows.targets());
        let now = if first { drawn.then.clone() } else { again() };
        if !first {
            counts.push(("forward_tokens", drawn.rows.tokens()));
        }
        Ok(Weighed {
            counts,
            ..drawn.weigh(&self.settings, &now)
        })
    }
}

impl Drawn {
    /// Weights of all tokens, given what the policy says to them now.
    fn weigh(&self, settings: &Reinforce, now: &[f32]) -> Weighed {
        let rule = &settings.rule;
        let scale = rule.scale(self.trajectories, self.rows.spans.len());
        let mut weights = vec![0.0; now.len()];
        let (mut loss, mut kl, mut clipped, mut tokens) = (0.0, 0.0, 0_u64, 0_u64);
        for (span, &(advantage, turn)) in self.rows.spans.iter().zip(&self.advantages) {
            let share = rule.share(span.rows.len()) * scale;
            for row in span.rows.clone() {
                let [now, then, reference] =
                    [now, &self.then, &self.reference].map(|all| f64::from(all[row]));
                let said = Said {
                    now,
                    then,
                    reference,
                };
                let token = rule.token(turn, advantage, said);
                weights[row] = (share * token.push) as f32;
                loss += share * token.loss;
                kl += said.kl_3();
                clipped += u64::from(token.clipped);
                tokens += 1;
            }
        }
        let of_tokens = |sum: f64| sum / tokens.max(1) as f64;
        let mut readings = self.readings.clone();
        readings.push(("divergence".to_owned(), of_tokens(kl)));
        readings.push(("clipped".to_owned(), of_tokens(clipped as f64)));
        Weighed {
            batch: self.rows.weighed(weights),
            loss: Some(loss),
            readings,
            counts: Vec::new(),
        }
    }
}

/// What each turn earned on average, and at how many of the problems its episodes differ.
fn readings(groups: &[Vec<Trajectory>]) -> Vec<(String, f64)> {
    let turns = groups
        .iter()
        .flatten()
        .map(|one| one.rewards.len())
        .max()
        .unwrap_or(0);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let of = |turn: usize| {
        let at = |group: &[Trajectory]| -> Vec<f64> {
            group
                .iter()
                .filter_map(|one| one.rewards.get(turn).copied())
                .collect()
        };
        let all: Vec<Vec<f64>> = groups.iter().map(|group| at(group)).collect();
        let mixed = |rewards: &Vec<f64>| {
            f64::from(
                rewards
                    .windows(2)
                    .any(|two| two[0].total_cmp(&two[1]).is_ne()),
            )
        };
        let mixed = mean(&all.iter().map(mixed).collect::<Vec<f64>>());
        [
            (format!("reward turn {}", turn + 1), mean(&all.concat())),
            (format!("mixed turn {}", turn + 1), mixed),
        ]
    };
    (0..turns).flat_map(of).collect()
}
