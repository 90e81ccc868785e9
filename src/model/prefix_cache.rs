//! Caches of finished samples, looked up by their tokens: the next turn of a dialogue continues the
//! cache of the last one.
//!
//! Holds what the latest call finished, and while a call runs also what the call before it
//! finished; nothing older. Must not know what the tokens mean.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::KvCache;

/// Bytes of caches that one call may leave behind; what comes when they are full is not kept.
pub const BUDGET: usize = 512 << 20;

/// Caches of two calls, each under the tokens that it holds.
#[derive(Debug, Default)]
pub struct PrefixCache {
    previous_call: BTreeMap<Vec<u32>, KvCache>,
    current_call: BTreeMap<Vec<u32>, KvCache>,
    bytes: usize,
}

impl PrefixCache {
    /// A new call begins: what the last one finished may be used, what it found is given up.
    pub fn begin_call(&mut self) {
        self.previous_call = std::mem::take(&mut self.current_call);
        self.bytes = 0;
    }

    /// The call has ended.
    pub fn end_call(&mut self) {
        self.previous_call.clear();
    }

    /// The longest cache of the beginning of `tokens`, if any; always without the last token, whose
    /// logits are still to be computed.
    #[must_use]
    pub fn longest_prefix(&self, tokens: &[u32]) -> Option<KvCache> {
        // Among sorted sequences, the one with the most in common is a neighbour.
        let below = self
            .previous_call
            .range::<[u32], _>((Bound::Unbounded, Bound::Included(tokens)))
            .next_back();
        let above = self
            .previous_call
            .range::<[u32], _>((Bound::Excluded(tokens), Bound::Unbounded))
            .next();
        let (length, state) = below
            .into_iter()
            .chain(above)
            .map(|(kept, state)| (shared_length(kept, tokens), state))
            .max_by_key(|(length, _)| *length)?;
        (length > 0).then(|| state.prefix(length))
    }

    /// Keeps the cache of these tokens, if there is room.
    ///
    /// # Panics
    /// If the cache holds another number of tokens.
    pub fn insert(&mut self, tokens: Vec<u32>, state: KvCache) {
        assert_eq!(
            tokens.len(),
            state.token_count(),
            "tokens and cache of different lengths"
        );
        let bytes = state.bytes();
        if self.bytes + bytes <= BUDGET && self.current_call.insert(tokens, state).is_none() {
            self.bytes += bytes;
        }
    }
}

/// How many tokens two sequences begin with together; the last one of `tokens` does not count.
fn shared_length(kept: &[u32], tokens: &[u32]) -> usize {
    let most = kept.len().min(tokens.len().saturating_sub(1));
    kept.iter()
        .zip(tokens)
        .take(most)
        .take_while(|(a, b)| a == b)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::decoder;

    fn kept(sequences: &[&[u32]]) -> PrefixCache {
        let decoder = decoder();
        let mut kept = PrefixCache::default();
        kept.begin_call();
        for &tokens in sequences {
            let mut state = decoder.new_cache();
            decoder.forward_cached(&[tokens], &mut [&mut state]);
            kept.insert(tokens.to_vec(), state);
        }
        kept
    }

    fn found(kept: &PrefixCache, tokens: &[u32]) -> usize {
        kept.longest_prefix(tokens)
            .map_or(0, |state| state.token_count())
    }

    #[test]
    fn the_longest_beginning_is_found_and_never_the_last_token() {
        let mut kept = kept(&[&[1, 2, 3, 4], &[1, 2, 9], &[5, 6, 7, 8, 9]]);
        assert_eq!(
            found(&kept, &[1, 2, 3, 4, 5]),
            0,
            "a call does not use what it kept itself"
        );
        kept.begin_call();
        assert_eq!(found(&kept, &[1, 2, 3, 4, 5]), 4);
        assert_eq!(found(&kept, &[1, 2, 3, 4]), 3);
        assert_eq!(found(&kept, &[1, 2, 3, 1, 1, 1]), 3);
        assert_eq!(found(&kept, &[1, 2, 9, 9]), 3);
        assert_eq!(found(&kept, &[1, 2, 7, 9]), 2);
        assert_eq!(found(&kept, &[5, 6]), 1);
        assert_eq!(found(&kept, &[5]), 0);
        assert_eq!(found(&kept, &[0, 1, 2]), 0);
        kept.end_call();
        assert_eq!(
            found(&kept, &[1, 2, 3, 4, 5]),
            0,
            "what a call did not keep again is gone"
        );
    }

    #[test]
    fn what_does_not_fit_the_budget_is_not_kept() {
        let decoder = decoder();
        let mut state = decoder.new_cache();
        decoder.forward_cached(&[&[1, 2]], &mut [&mut state]);
        let mut kept = PrefixCache {
            bytes: BUDGET - state.bytes(),
            ..PrefixCache::default()
        };
        kept.insert(vec![1, 2], state.clone());
        kept.insert(vec![1, 3], state);
        kept.begin_call();
        assert_eq!((found(&kept, &[1, 2, 3]), found(&kept, &[1, 3, 3])), (2, 1));
    }
}
