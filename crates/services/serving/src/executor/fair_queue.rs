//! Who is next: clients take turns, and each client's own tasks keep their order.

use std::collections::{BTreeMap, VecDeque};

/// Tasks by client. The client that was served longest ago is next.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    waiting: VecDeque<(String, T)>,
    /// When each waiting client had its last turn; a client without tasks is forgotten once
    /// everybody who waits had a later one.
    served: BTreeMap<String, u64>,
    turn: u64,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), served: BTreeMap::new(), turn: 0 }
    }
}

impl<T> FairQueue<T> {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn push(&mut self, client: &str, task: T) {
        self.waiting.push_back((client.to_owned(), task));
    }

    pub(super) fn next(&mut self) -> Option<T> {
        let last = |client: &String| self.served.get(client).copied().unwrap_or_default();
        let order =
            self.waiting.iter().enumerate().min_by_key(|(n, (client, _))| (last(client), *n));
        let (index, _) = order?;
        let (client, task) = self.waiting.remove(index)?;
        self.turn += 1;
        self.served.insert(client, self.turn);
        if self.waiting.is_empty() {
            // Nobody is kept waiting by what is forgotten here.
            self.served.clear();
        }
        Some(task)
    }

    pub(super) fn remove(&mut self, is: impl Fn(&T) -> bool) -> Option<T> {
        let index = self.waiting.iter().position(|(_, task)| is(task))?;
        self.waiting.remove(index).map(|(_, task)| task)
    }

    pub(super) fn remove_all(&mut self, is: impl Fn(&T) -> bool) -> Vec<T> {
        std::iter::from_fn(|| self.remove(&is)).collect()
    }

    pub(super) fn clear(&mut self) -> Vec<T> {
        self.waiting.drain(..).map(|(_, task)| task).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nobody_waits_longer_than_one_task_of_each_other_client(
            clients in prop::collection::vec(0u8..5, 1..60),
        ) {
            let mut queue = FairQueue::default();
            for (n, client) in clients.iter().enumerate() {
                queue.push(&client.to_string(), (*client, n));
            }
            let served: Vec<_> = std::iter::from_fn(|| queue.next()).collect();
            prop_assert_eq!(served.len(), clients.len());
            for client in 0..5u8 {
                let places: Vec<usize> = served.iter().enumerate()
                    .filter(|(_, (c, _))| *c == client).map(|(place, _)| place).collect();
                // Its own order holds, and between two of its turns everybody else has at most one.
                let own: Vec<usize> = served.iter().filter(|(c, _)| *c == client).map(|(_, n)| *n).collect();
                prop_assert!(own.is_sorted());
                for pair in places.windows(2) {
                    let between = &served[pair[0] + 1..pair[1]];
                    let mut others: Vec<u8> = between.iter().map(|(c, _)| *c).collect();
                    others.sort_unstable();
                    others.dedup();
                    prop_assert_eq!(others.len(), between.len());
                }
            }
        }
    }
}
