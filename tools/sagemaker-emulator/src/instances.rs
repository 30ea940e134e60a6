//! Which instance runs a request: any that has room, in the order in which requests came.
//!
//! An endpoint has one queue. Were each request bound to an instance from the start, requests would
//! wait behind a slow one while others idle, for longer than whoever gives permits can know.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The instances of an endpoint.
#[derive(Debug)]
pub(crate) struct Instances {
    places: Semaphore,
    /// Who has room, as often as it has; who has had it longest comes first.
    idle: Mutex<VecDeque<usize>>,
    count: usize,
}

/// Room on an instance, until dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    instances: &'a Instances,
    pub(crate) instance: usize,
    _permit: SemaphorePermit<'a>,
}

impl Instances {
    /// So many instances, each of which runs `per_instance` requests at once, at least one.
    pub(crate) fn new(count: usize, per_instance: usize) -> Self {
        let all = count * per_instance.max(1);
        let idle = (0..count).cycle().take(all).collect();
        Self { places: Semaphore::new(all), idle: Mutex::new(idle), count }
    }

    /// Waits for room; `None` where there are no instances.
    pub(crate) async fn place(&self) -> Option<Place<'_>> {
        if self.count == 0 {
            return None;
        }
        let permit = self.places.acquire().await.ok()?;
        let instance = self.idle().pop_front()?;
        Some(Place { instances: self, instance, _permit: permit })
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<usize>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // The permit goes after this, so whoever gets it finds an instance.
        self.instances.idle().push_back(self.instance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_while_an_instance_has_room() {
        let instances = Instances::new(2, 1);
        let slow = instances.place().await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(instances.place().await.unwrap().instance);
        }
        assert_eq!((slow.instance, seen), (0, vec![1; 6]), "nobody stands behind the slow one");
        assert!(Instances::new(0, 1).place().await.is_none());
    }
}
