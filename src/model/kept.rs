//! Caches of finished samples, found again by the tokens they were made of: the next turn of a
//! dialogue goes on where the last one ended.
//!
//! Holds what the latest call finished, and while a call runs also what the call before it
//! finished; nothing older. Must not know what the tokens mean.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::State;

/// Bytes of caches that one call may leave behind; what comes when they are full is not kept.
const BUDGET: usize = 512 << 20;

/// Caches of two calls, each under the tokens that it holds.
#[derive(Debug, Default)]
pub struct Kept {
    earlier: BTreeMap<Vec<u32>, State>,
    latest: BTreeMap<Vec<u32>, State>,
    bytes: usize,
}

impl Kept {
    /// A new call begins: what the last one finished may be used, what it found is given up.
    pub fn begin(&mut self) {
        self.earlier = std::mem::take(&mut self.latest);
        self.bytes = 0;
    }

    /// The call has ended.
    pub fn end(&mut self) {
        self.earlier.clear();
    }

    /// The longest cache of the beginning of `tokens`, if any; always without the last token, whose
    /// logits are still to be computed.
    #[must_use]
    pub fn beginning(&self, tokens: &[u32]) -> Option<State> {
        // Among sorted sequences, the one with the most in common is a neighbour.
        let below = self.earlier.range::<[u32], _>((Bound::Unbounded, Bound::Included(tokens))).next_back();
        let above = self.earlier.range::<[u32], _>((Bound::Excluded(tokens), Bound::Unbounded)).next();
        let shared = |(kept, state): (&Vec<u32>, _)| {
            let most = kept.len().min(tokens.len().saturating_sub(1));
            (kept.iter().zip(tokens).take(most).take_while(|(a, b)| a == b).count(), state)
        };
        let (length, state): (usize, &State) =
            below.into_iter().chain(above).map(shared).max_by_key(|(length, _)| *length)?;
        (length > 0).then(|| state.prefix(length))
    }

    /// Keeps the cache of these tokens, if there is room.
    ///
    /// # Panics
    /// If the cache holds another number of tokens.
    pub fn keep(&mut self, tokens: Vec<u32>, state: State) {
        assert_eq!(tokens.len(), state.filled(), "tokens and cache of different lengths");
        let bytes = state.bytes();
        if self.bytes + bytes <= BUDGET && self.latest.insert(tokens, state).is_none() {
            self.bytes += bytes;
        }
    }
}
