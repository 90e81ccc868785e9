//! Online training as an objective: it samples episodes from the current policy, then does some
//! steps on them.

use crate::domain::Message;
use crate::model::{Decoder, EncodedDialogue, Tokenizer};

use super::batch::{BatchRows, EncodeError, EncodedExample, LossTarget};
use super::policy_gradient::{TokenLogProbs, discounted_returns};
use super::trainer::{TrainError, TrainingObjective, WeightedBatch};
use super::{OnlineConfig, TrainConfig};

/// One episode in token ids.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedEpisode {
    /// The dialogue; its targets are the turns' attempts, in order.
    pub example: EncodedExample,
    /// The reward of each turn.
    pub rewards: Vec<f64>,
}

impl EncodedEpisode {
    /// The dialogue `messages`, in which every assistant message is an attempt: (whether it is
    /// finished, its reward). An unfinished attempt ends without an end token, since the policy
    /// sampled none.
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
        let targets: Vec<LossTarget> = answers
            .into_iter()
            .zip(finished)
            .map(|(answer, finished)| LossTarget {
                start: answer.start,
                end: answer.end - usize::from(!finished),
                weight: 1.0,
            })
            .collect();
        // The last token is predicted and never read.
        let end = targets.last().map_or(0, |target| target.end);
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

/// The episodes of one iteration.
#[derive(Clone, Debug)]
pub struct SampledGroups {
    /// The episodes of each problem.
    pub groups: Vec<Vec<EncodedEpisode>>,
    /// Counts by name.
    pub counts: Vec<(&'static str, u64)>,
}

/// Samples the episodes of an iteration, counted from 0, from the current policy.
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
    /// Online training near `reference`, which is kept only if the loss needs it.
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

    /// Samples episodes from the current policy; returns counts.
    fn sample_rollouts(
        &mut self,
        iteration: u32,
        decoder: &Decoder,
    ) -> Result<Vec<(&'static str, u64)>, TrainError> {
        let SampledGroups { groups, mut counts } = (self.sampler)(decoder, iteration)?;
        let examples: Vec<&EncodedExample> = groups
            .iter()
            .flatten()
            .map(|episode| &episode.example)
            .collect();
        let rows = BatchRows::new(&examples);
        let advantages: Vec<Vec<f64>> = groups
            .iter()
            .flat_map(|group| self.group_advantages(group))
            .collect();
        let spans = rows.spans.iter();
        let advantages = spans
            .map(|span| (advantages[span.example][span.target], span.target))
            .collect();
        let old_logprobs = decoder.log_probabilities(&rows.inputs, &rows.loss_targets());
        let mut forward_tokens = rows.input_tokens();
        let reference_logprobs = match &self.reference {
            Some(reference) => {
                forward_tokens += rows.input_tokens();
                reference.log_probabilities(&rows.inputs, &rows.loss_targets())
            }
            None => old_logprobs.clone(),
        };
        counts.push(("forward_tokens", forward_tokens));
        self.rollouts = Some(RolloutBatch {
            episode_count: examples.len(),
            rows,
            advantages,
            old_logprobs,
            reference_logprobs,
            metrics: reward_metrics(&groups),
        });
        Ok(counts)
    }

    /// The advantage of each turn of each of a problem's episodes.
    fn group_advantages(&self, group: &[EncodedEpisode]) -> Vec<Vec<f64>> {
        let OnlineConfig {
            policy_loss,
            discount,
            ..
        } = &self.online;
        let returns: Vec<Vec<f64>> = group
            .iter()
            .map(|episode| policy_loss.shape_rewards(&episode.rewards))
            .map(|rewards| discounted_returns(&rewards, *discount))
            .collect();
        let turns = returns.iter().map(Vec::len).max().unwrap_or(0);
        let mut advantages = vec![Vec::with_capacity(turns); group.len()];
        for turn in 0..turns {
            // Only the episodes that reached the turn are compared with each other.
            let samples: Vec<usize> = (0..group.len())
                .filter(|&sample| turn < returns[sample].len())
                .collect();
            let at_turn: Vec<f64> = samples
                .iter()
                .map(|&sample| returns[sample][turn])
                .collect();
            for (&sample, advantage) in samples.iter().zip(policy_loss.advantages(&at_turn)) {
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

    /// Within an iteration, the weights are no longer those that sampled the episodes.
    fn can_checkpoint(&self, step: usize) -> bool {
        step.is_multiple_of(self.online.updates_per_batch as usize)
    }

    fn batch(&mut self, step: usize, decoder: &Decoder) -> Result<WeightedBatch, TrainError> {
        let mut counts = Vec::new();
        let samples = self.can_checkpoint(step);
        if samples {
            let iteration = step / self.online.updates_per_batch as usize;
            counts = self.sample_rollouts(iteration as u32, decoder)?;
        }
        let rollouts = self
            .rollouts
            .as_ref()
            .expect("a training resumes before it samples only");
        let logprobs = if samples {
            rollouts.old_logprobs.clone()
        } else {
            let rows = &rollouts.rows;
            counts.push(("forward_tokens", rows.input_tokens()));
            decoder.log_probabilities(&rows.inputs, &rows.loss_targets())
        };
        Ok(WeightedBatch {
            counts,
            ..rollouts.weighted_batch(&self.online, &logprobs)
        })
    }
}

impl RolloutBatch {
    /// Weights of all tokens, given their log-probabilities under the current policy.
    fn weighted_batch(&self, online: &OnlineConfig, logprobs: &[f32]) -> WeightedBatch {
        let policy_loss = &online.policy_loss;
        let scale = policy_loss.batch_scale(self.episode_count, self.rows.spans.len());
        let mut weights = vec![0.0; logprobs.len()];
        let (mut loss, mut kl, mut clipped, mut tokens) = (0.0, 0.0, 0_u64, 0_u64);
        for (span, &(advantage, turn)) in self.rows.spans.iter().zip(&self.advantages) {
            let token_scale = policy_loss.token_scale(span.rows.len()) * scale;
            for row in span.rows.clone() {
                let token_logprobs = TokenLogProbs {
                    current: f64::from(logprobs[row]),
                    old: f64::from(self.old_logprobs[row]),
                    reference: f64::from(self.reference_logprobs[row]),
                };
                let token = policy_loss.token_loss(turn, advantage, token_logprobs);
                weights[row] = (token_scale * token.nll_weight) as f32;
                loss += token_scale * token.loss;
                kl += token_logprobs.kl_k3();
                clipped += u64::from(token.clipped);
                tokens += 1;
            }
        }
        let tokens = tokens.max(1) as f64;
        let mut metrics = self.metrics.clone();
        metrics.push(("divergence".to_owned(), kl / tokens));
        metrics.push(("clipped".to_owned(), clipped as f64 / tokens));
        WeightedBatch {
            batch: self.rows.with_weights(weights),
            loss: Some(loss),
            metrics,
            counts: Vec::new(),
        }
    }
}

/// The mean reward of each turn, and the part of the problems whose episodes differ in it.
fn reward_metrics(groups: &[Vec<EncodedEpisode>]) -> Vec<(String, f64)> {
    let episodes = groups.iter().flatten();
    let turns = episodes.map(|episode| episode.rewards.len()).max();
    (0..turns.unwrap_or(0))
        .flat_map(|turn| {
            let rewards: Vec<Vec<f64>> =
                groups.iter().map(|group| rewards_at(group, turn)).collect();
            let differ: Vec<f64> = rewards
                .iter()
                .map(|group| f64::from(differ(group)))
                .collect();
            [
                (format!("reward turn {}", turn + 1), mean(&rewards.concat())),
                (format!("mixed turn {}", turn + 1), mean(&differ)),
            ]
        })
        .collect()
}

/// The rewards at a turn of the episodes that reached it.
fn rewards_at(group: &[EncodedEpisode], turn: usize) -> Vec<f64> {
    let rewards = group.iter().map(|episode| episode.rewards.get(turn));
    rewards.flatten().copied().collect()
}

fn differ(rewards: &[f64]) -> bool {
    rewards
        .windows(2)
        .any(|pair| pair[0].total_cmp(&pair[1]).is_ne())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
