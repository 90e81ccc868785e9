//! Online training as an objective: episodes of the policy as it is now, then some steps on them.
//!
//! Responsible for credit, advantages and token weights of one batch of episodes, for the
//! log-probabilities that they need, and for what is worth a curve. Who samples and grades is told
//! from outside. Must not know problems, prompts or graders.

use crate::domain::Message;
use crate::model::{Decoder, EncodedDialogue, Tokenizer};

use super::batch_rows::BatchRows;
use super::policy_gradient::{TokenLogProbs, discounted_returns};
use super::training_loop::{TrainError, TrainingObjective, WeightedBatch};
use super::{EncodeError, EncodedExample, OnlineConfig, TrainConfig};

/// One episode in token ids.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedEpisode {
    /// The dialogue; its targets are the turns' attempts, in order.
    pub example: EncodedExample,
    /// What each turn earned.
    pub rewards: Vec<f64>,
}

impl EncodedEpisode {
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
    ) -> Result<Self, EncodeError> {
        let EncodedDialogue {
            mut tokens,
            answers,
        } = tokenizer.encode_dialogue(messages)?;
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
            return Err(EncodeError::TooLong {
                tokens: tokens.len(),
            });
        }
        let rewards = attempts.iter().map(|(_, reward)| *reward).collect();
        Ok(Self {
            example: EncodedExample { tokens, targets },
            rewards,
        })
    }
}

/// What was sampled for one batch.
#[derive(Clone, Debug)]
pub struct SampledGroups {
    /// The episodes of each problem.
    pub groups: Vec<Vec<EncodedEpisode>>,
    /// What was counted on the way.
    pub counts: Vec<(&'static str, u64)>,
}

/// Whoever answers the problems of an iteration, counted from 0, with the policy as it is.
pub type GroupSampler<'a> = &'a mut dyn FnMut(&Decoder, u32) -> Result<SampledGroups, TrainError>;

/// Online training.
pub struct PolicyGradientObjective<'a> {
    online: OnlineConfig,
    config: TrainConfig,
    reference: Option<Decoder>,
    sampler: GroupSampler<'a>,
    rollouts: Option<RolloutBatch>,
}

/// The episodes of an iteration, ready to be trained on.
struct RolloutBatch {
    rows: BatchRows,
    /// The advantage and the turn of each of the rows' spans.
    advantages: Vec<(f64, usize)>,
    episode_count: usize,
    old_logprobs: Vec<f32>,
    reference_logprobs: Vec<f32>,
    metrics: Vec<(String, f64)>,
}

impl<'a> PolicyGradientObjective<'a> {
    /// Online training that is held near `reference`, which is kept only where the rule asks for it.
    #[must_use]
    pub fn new(
        settings: OnlineConfig,
        config: TrainConfig,
        reference: Decoder,
        sampler: GroupSampler<'a>,
    ) -> Self {
        let reference = settings.policy_loss.needs_reference().then_some(reference);
        Self {
            online: settings,
            config,
            reference,
            sampler,
            rollouts: None,
        }
    }

    /// Episodes of the policy as it is.
    fn sample_rollouts(
        &mut self,
        iteration: u32,
        decoder: &Decoder,
    ) -> Result<Vec<(&'static str, u64)>, TrainError> {
        let SampledGroups { groups, mut counts } = (self.sampler)(decoder, iteration)?;
        let trajectories: Vec<&EncodedEpisode> = groups.iter().flatten().collect();
        let rows = BatchRows::new(
            &trajectories
                .iter()
                .map(|one| &one.example)
                .collect::<Vec<_>>(),
        );
        let advantages: Vec<Vec<f64>> = groups
            .iter()
            .flat_map(|group| self.group_advantages(group))
            .collect();
        let of_span = rows
            .spans
            .iter()
            .map(|span| (advantages[span.example][span.target], span.target));
        let advantages = of_span.collect();
        let then = decoder.log_probabilities(&rows.inputs, &rows.loss_targets());
        let mut forward = rows.input_tokens();
        let reference = match &self.reference {
            Some(reference) => {
                forward += rows.input_tokens();
                reference.log_probabilities(&rows.inputs, &rows.loss_targets())
            }
            None => then.clone(),
        };
        counts.push(("forward_tokens", forward));
        let (count, readings) = (trajectories.len(), reward_metrics(&groups));
        self.rollouts = Some(RolloutBatch {
            rows,
            advantages,
            episode_count: count,
            old_logprobs: then,
            reference_logprobs: reference,
            metrics: readings,
        });
        Ok(counts)
    }

    /// The advantage of each turn of each of a problem's episodes.
    fn group_advantages(&self, group: &[EncodedEpisode]) -> Vec<Vec<f64>> {
        let OnlineConfig {
            policy_loss: rule,
            discount,
            ..
        } = &self.online;
        let credit =
            |one: &EncodedEpisode| discounted_returns(&rule.shape_rewards(&one.rewards), *discount);
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

impl TrainingObjective for PolicyGradientObjective<'_> {
    fn config(&self) -> &TrainConfig {
        &self.config
    }

    fn steps(&self) -> usize {
        (self.online.iterations * self.online.updates_per_batch) as usize
    }

    /// In between, the policy is not the one that sampled any more.
    fn can_checkpoint(&self, step: usize) -> bool {
        step.is_multiple_of(self.online.updates_per_batch as usize)
    }

    fn batch(&mut self, step: usize, decoder: &Decoder) -> Result<WeightedBatch, TrainError> {
        let first = self.can_checkpoint(step);
        let mut counts = Vec::new();
        if first {
            counts = self.sample_rollouts(
                (step / self.online.updates_per_batch as usize) as u32,
                decoder,
            )?;
        }
        let drawn = self
            .rollouts
            .as_ref()
            .expect("a training rests before it draws only");
        let again = || decoder.log_probabilities(&drawn.rows.inputs, &drawn.rows.loss_targets());
        let now = if first {
            drawn.old_logprobs.clone()
        } else {
            again()
        };
        if !first {
            counts.push(("forward_tokens", drawn.rows.input_tokens()));
        }
        Ok(WeightedBatch {
            counts,
            ..drawn.weighted_batch(&self.online, &now)
        })
    }
}

impl RolloutBatch {
    /// Weights of all tokens, given what the policy says to them now.
    fn weighted_batch(&self, settings: &OnlineConfig, now: &[f32]) -> WeightedBatch {
        let rule = &settings.policy_loss;
        let scale = rule.batch_scale(self.episode_count, self.rows.spans.len());
        let mut weights = vec![0.0; now.len()];
        let (mut loss, mut kl, mut clipped, mut tokens) = (0.0, 0.0, 0_u64, 0_u64);
        for (span, &(advantage, turn)) in self.rows.spans.iter().zip(&self.advantages) {
            let share = rule.token_scale(span.rows.len()) * scale;
            for row in span.rows.clone() {
                let [now, then, reference] = [now, &self.old_logprobs, &self.reference_logprobs]
                    .map(|all| f64::from(all[row]));
                let said = TokenLogProbs {
                    current: now,
                    old: then,
                    reference,
                };
                let token = rule.token_loss(turn, advantage, said);
                weights[row] = (share * token.nll_weight) as f32;
                loss += share * token.loss;
                kl += said.kl_k3();
                clipped += u64::from(token.clipped);
                tokens += 1;
            }
        }
        let of_tokens = |sum: f64| sum / tokens.max(1) as f64;
        let mut readings = self.metrics.clone();
        readings.push(("divergence".to_owned(), of_tokens(kl)));
        readings.push(("clipped".to_owned(), of_tokens(clipped as f64)));
        WeightedBatch {
            batch: self.rows.with_weights(weights),
            loss: Some(loss),
            metrics: readings,
            counts: Vec::new(),
        }
    }
}

/// What each turn earned on average, and at how many of the problems its episodes differ.
fn reward_metrics(groups: &[Vec<EncodedEpisode>]) -> Vec<(String, f64)> {
    let turns = groups
        .iter()
        .flatten()
        .map(|one| one.rewards.len())
        .max()
        .unwrap_or(0);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let of = |turn: usize| {
        let at = |group: &[EncodedEpisode]| -> Vec<f64> {
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
