//! How long work goes on whose lease nobody renews.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use parallax_conformance::fault::{Faults, Faulty, Outage, Rates};
use parallax_conformance::memory::MemoryLedger;
use parallax_job::Timestamp;
use parallax_ports::{
    Clock, Custody, Error, InferenceBackend, Invocation, Invoked, Kind, Ledger, Queue, Result,
    TokioClock,
};
use parallax_worker::{Config, Ports, Role};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, written};

const LEASE: Duration = Duration::from_secs(40);

/// When an attempt began and was cancelled, and the end of its lease.
#[derive(Debug)]
struct Kept {
    begun: Timestamp,
    cancelled: Timestamp,
    deadline: Timestamp,
}

/// Works until it is cancelled.
#[derive(Debug)]
struct Endless {
    clock: Arc<TokioClock>,
    ledger: Arc<MemoryLedger>,
    kept: Mutex<Vec<Kept>>,
}

#[async_trait]
impl InferenceBackend for Endless {
    fn custody(&self) -> Custody {
        Custody::Caller
    }

    async fn invoke(&self, of: &Invocation, cancel: &CancellationToken) -> Result<Invoked> {
        let begun = self.clock.now();
        cancel.cancelled().await;
        let cancelled = self.clock.now();
        let deadline = self.ledger.segment(&of.segment).await?.unwrap().deadline;
        self.kept.lock().unwrap().push(Kept { begun, cancelled, deadline });
        Err(Error::new(Kind::Cancelled, "told to stop"))
    }
}

#[tokio::test(start_paused = true)]
async fn work_ends_well_within_its_lease_however_late_it_began() {
    const TOTAL: u32 = 12;
    let stage = Stage::new();
    stage.job("job", TOTAL).await;
    for index in 0..TOTAL {
        let event = written(&stage.input(&Stage::segment("job", index, TOTAL)));
        stage.segments.send(&event, &[]).await.unwrap();
    }
    let from = Instant::now();
    let until = from + Duration::from_secs(3600);
    let renewals = Outage { calls: "ledger.renew", from, until, kind: Kind::Unavailable };
    let slow = Rates { delay: 1.0, longest: LEASE / 4, ..Rates::NONE };
    let faults = Faults::seeded(1, slow, Arc::default()).with_outages(Arc::new([renewals]));
    let endless = Arc::new(Endless {
        clock: stage.clock.clone(),
        ledger: stage.ledger.clone(),
        kept: Mutex::default(),
    });
    let ports = Ports {
        ledger: Arc::new(Faulty::new(stage.ledger.clone(), Arc::new(faults))),
        ..stage.ports(endless.clone())
    };
    let config = Config { lease: LEASE, max_in_flight: TOTAL, ..stage.config() };
    stage.run(ports, config, &[Role::Segments], Duration::from_secs(120)).await;
    let kept = endless.kept.lock().unwrap();
    assert!(kept.len() >= TOTAL as usize, "{kept:#?}");
    let late = |kept: &&Kept| kept.begun > kept.deadline - LEASE + LEASE / 8;
    assert!(kept.iter().any(|one| late(&one)), "none began late: {kept:#?}");
    for one in &*kept {
        assert!(one.cancelled <= one.deadline - LEASE.mul_f64(0.4), "{one:?}");
    }
}
