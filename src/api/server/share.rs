//! Fair shares of what is scarce: connections, requests, watches, bytes of bodies.
//! There is so much of each in all, and so much for one client, so that one client
//! cannot starve the others, whatever it sends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Something scarce.
#[derive(Debug)]
pub(super) struct Pool {
    total_max: u32,
    each_max: u32,
    taken: Mutex<Taken>,
}

/// Who has how much. Whoever has nothing is not in it, so it is never larger than
/// the pool.
#[derive(Debug, Default)]
struct Taken {
    total: u32,
    each: BTreeMap<String, u32>,
}

/// A part of a pool; given back when it goes.
#[derive(Debug)]
pub(super) struct Held {
    pool: Arc<Pool>,
    client: String,
    amount: u32,
}

impl Pool {
    pub(super) fn new(total_max: u32, each_max: u32) -> Arc<Pool> {
        Arc::new(Pool { total_max, each_max, taken: Mutex::default() })
    }

    /// Takes `amount` for `client`, if there is as much, and as much for it.
    pub(super) fn take(self: &Arc<Pool>, client: &str, amount: u32) -> Option<Held> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.each.get(client).copied().unwrap_or_default().checked_add(amount)?;
        let total = taken.total.checked_add(amount)?;
        if own > self.each_max || total > self.total_max {
            return None;
        }
        taken.total = total;
        taken.each.insert(client.to_owned(), own);
        Some(Held { pool: Arc::clone(self), client: client.to_owned(), amount })
    }

    /// How much is taken.
    #[cfg(test)]
    pub(super) fn total(&self) -> u32 {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = self.pool.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(self.amount);
        let left = taken.each.get(&self.client).copied().unwrap_or_default().saturating_sub(self.amount);
        if left == 0 {
            taken.each.remove(&self.client);
        } else {
            taken.each.insert(self.client.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_client_cannot_take_the_share_of_others() {
        let pool = Pool::new(3, 2);
        let greedy: Vec<_> = (0..5).filter_map(|_| pool.take("a", 1)).collect();
        assert_eq!(greedy.len(), 2);
        let other = pool.take("b", 1).unwrap();
        assert!(pool.take("c", 1).is_none(), "there is no more");
        drop(other);
        assert!(pool.take("c", 1).is_some());
        assert!(pool.take("c", u32::MAX).is_none());
    }

    proptest! {
        #[test]
        fn what_is_taken_is_given_back(steps in proptest::collection::vec((0..4_u8, 0..4_u32, any::<bool>()), 0..60)) {
            let pool = Pool::new(6, 3);
            let mut held = Vec::new();
            for (client, amount, give) in steps {
                held.extend(pool.take(&client.to_string(), amount));
                if give && !held.is_empty() {
                    held.remove(0);
                }
                let sum: u32 = held.iter().map(|held| held.amount).sum();
                prop_assert_eq!(pool.total(), sum);
                prop_assert!(sum <= 6);
            }
            held.clear();
            prop_assert!(pool.taken.lock().unwrap().each.is_empty());
        }
    }
}
