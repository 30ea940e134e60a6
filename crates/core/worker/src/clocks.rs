//! How far this machine's clock is from those of the services it works with.
//!
//! Nothing is decided by that: deadlines are counted by the ledger's clock on every replica, and
//! ages of objects by the store's own times. But a wrong clock is worth knowing of, and it is named
//! where it could have to do with what went wrong.

use tracing::warn;

use crate::context::Context;
use crate::metrics;

/// What is worth a word, in milliseconds.
const NOTEWORTHY_MS: i64 = 5000;

/// Reports each difference, and says which are large.
pub(crate) fn report(context: &Context) {
    for (service, clock) in &context.ports.clocks {
        let Some(ahead) = clock.ahead_ms() else { continue };
        let seconds = ahead as f64 / 1000.0;
        context.ports.metrics.gauge(metrics::CLOCK_AHEAD, &[("service", service)], seconds);
        if ahead.abs() >= NOTEWORTHY_MS {
            warn!(service, seconds, "this machine's clock differs from a service's; set it");
        }
    }
}

/// Which clocks differ from this machine's by how much, to be added to a reason; empty when none
/// does.
pub(crate) fn note(context: &Context) -> String {
    let mut note = String::new();
    for (service, clock) in &context.ports.clocks {
        if let Some(ahead) = clock.ahead_ms().filter(|ahead| ahead.abs() >= NOTEWORTHY_MS) {
            let (seconds, way) =
                (ahead.abs() / 1000, if ahead > 0 { "ahead of" } else { "behind" });
            note += &format!("; this machine's clock is {seconds} s {way} the {service}'s");
        }
    }
    note
}
