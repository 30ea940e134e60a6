//! The way of an event from the object store to a queue: late, doubled, or never.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use parallax_ports::memory::MemoryQueue;
use parallax_ports::{Message, Queue, Receipt, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

#[derive(Debug, Clone, Copy)]
pub struct Weather {
    pub lose: f64,
    pub double: f64,
    pub late: f64,
}

#[derive(Debug)]
pub struct Link {
    to: Arc<MemoryQueue>,
    state: Mutex<(StdRng, Weather)>,
}

impl Link {
    pub fn new(to: Arc<MemoryQueue>, seed: u64, weather: Weather) -> Self {
        Self { to, state: Mutex::new((StdRng::seed_from_u64(seed), weather)) }
    }

    pub fn heal(&self) {
        self.state.lock().unwrap().1 = Weather { lose: 0.0, double: 0.0, late: 0.0 };
    }
}

#[async_trait]
impl Queue for Link {
    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Message>> {
        unreachable!("a link is only sent to")
    }

    async fn delete(&self, _: &Receipt) -> Result<()> {
        unreachable!("a link is only sent to")
    }

    async fn change_visibility(&self, _: &Receipt, _: Duration) -> Result<()> {
        unreachable!("a link is only sent to")
    }

    async fn send(&self, body: &str, _: &[(&str, &str)]) -> Result<()> {
        let (copies, delay) = {
            let (rng, weather) = &mut *self.state.lock().unwrap();
            let copies = match rng.random::<f64>() {
                roll if roll < weather.lose => 0,
                roll if roll < weather.lose + weather.double => 2,
                _ => 1,
            };
            let late = rng.random::<f64>() < weather.late;
            // Skewed: mostly seconds, sometimes an hour.
            let delay = if late { 3600.0 * rng.random::<f64>().powi(4) } else { 0.0 };
            (copies, delay)
        };
        for copy in 0..copies {
            let (to, body) = (self.to.clone(), body.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs_f64(delay * f64::from(copy + 1))).await;
                to.send(&body, &[]).await.unwrap();
            });
        }
        Ok(())
    }
}
