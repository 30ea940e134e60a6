//! The numbers that the loops report.

use crate::Pipeline;

/// Attempts by outcome.
pub(crate) const ATTEMPTS: &str = "parallax_attempts_total";
/// Segments completed.
pub(crate) const COMPLETIONS: &str = "parallax_completions_total";
/// Messages by queue and outcome.
pub(crate) const MESSAGES: &str = "parallax_messages_total";
/// Port calls repeated, by kind of error.
pub(crate) const CALL_RETRIES: &str = "parallax_call_retries_total";
/// Reassembly messages sent.
pub(crate) const TRIGGERS: &str = "parallax_reassembly_messages_total";
/// Events sent again because they seemed lost, by kind.
pub(crate) const RESENT: &str = "parallax_events_resent_total";
/// Permits held.
pub(crate) const IN_FLIGHT: &str = "parallax_in_flight_permits";
/// Age of the oldest permit past its deadline, 0 when there is none.
pub(crate) const OVERDUE: &str = "parallax_permit_overdue_seconds";
/// Time of one attempt from intent to answer.
pub(crate) const BACKEND_SECONDS: &str = "parallax_backend_duration_seconds";
/// Sweeps finished.
pub(crate) const SWEEPS: &str = "parallax_sweeps_total";

impl Pipeline {
    pub(crate) fn count(&self, name: &'static str, labels: &[(&'static str, &'static str)]) {
        self.ports.metrics.count(name, labels, 1);
    }
}
