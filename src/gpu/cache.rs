//! A map that forgets entries not used for long.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// A map of two generations. An entry that is used moves to the young one. When the young one is full or old enough, it
/// becomes the old one, and entries that stayed in the old one are forgotten.
#[derive(Debug)]
pub struct Cache<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    capacity: usize,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// A map of at most twice `capacity` entries.
    pub fn new(capacity: usize) -> Self {
        Cache { young: HashMap::new(), old: HashMap::new(), capacity }
    }

    pub fn get<Q>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.insert(key, value);
        }
        self.young.get(key)
    }

    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.capacity {
            self.age();
        }
        self.young.insert(key, value);
    }

    /// Forgets what has not been used since the last call.
    pub fn age(&mut self) {
        self.old = std::mem::take(&mut self.young);
    }

    /// Forgets entries for which `keeps` is false.
    pub fn retain(&mut self, mut keeps: impl FnMut(&K, &V) -> bool) {
        self.young.retain(|key, value| keeps(key, value));
        self.old.retain(|key, value| keeps(key, value));
    }

    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut cache = Cache::new(10);
        for number in 0..1000 {
            cache.insert(number, number);
            assert_eq!(cache.get(&0), Some(&0), "after {number}");
            assert!(cache.young.len() + cache.old.len() <= 20);
        }
        assert_eq!(cache.get(&999), Some(&999));
        assert_eq!(cache.get(&500), None);
        cache.age();
        assert_eq!(cache.get(&999), Some(&999));
        cache.age();
        cache.age();
        assert_eq!(cache.get(&999), None);
    }
}
