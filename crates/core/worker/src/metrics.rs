//! The numbers that the loops report.

use parallax_ports::metrics::{Kind, Metric};

/// Attempts by outcome.
pub(crate) const ATTEMPTS: &str = "parallax_attempts_total";
/// Segments by how they ended.
pub(crate) const SEGMENTS: &str = "parallax_segments_total";
/// Attempts that ended without a result and are followed by another, by class of error.
pub(crate) const RETRIES: &str = "parallax_attempt_retries_total";
/// Time from an event's happening to its receipt.
pub(crate) const QUEUE_SECONDS: &str = "parallax_queue_delay_seconds";
/// Permits by how long their attempt has been running.
pub(crate) const PERMITS: &str = "parallax_permits";
/// Sweeps that found a rule of the protocol broken; always 0.
pub(crate) const VIOLATIONS: &str = "parallax_invariant_violations_total";
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
/// How far this machine's clock is ahead of a service's, in seconds.
pub(crate) const CLOCK_AHEAD: &str = "parallax_clock_ahead_seconds";
/// Events and results of another cut of a source than its job's, none of which was used.
pub(crate) const OTHER_CUTS: &str = "parallax_other_cuts_total";
/// Sweeps finished.
pub(crate) const SWEEPS: &str = "parallax_sweeps_total";

/// Every number that the loops report: what pages and alarms are made from.
pub const METRICS: [Metric; 16] = [
    metric(SEGMENTS, Kind::Counter, &["outcome"], "segments `completed` and `given_up`"),
    metric(
        ATTEMPTS,
        Kind::Counter,
        &["outcome"],
        "attempts; anything but `finished` and `accepted` wants a look",
    ),
    metric(
        MESSAGES,
        Kind::Counter,
        &["queue", "outcome"],
        "messages; `poison` went to the dead letters with the reason",
    ),
    metric(
        RETRIES,
        Kind::Counter,
        &["class"],
        "attempts that are followed by another, by class of error",
    ),
    metric(
        BACKEND_SECONDS,
        Kind::Histogram,
        &["outcome"],
        "from an attempt's intent to the backend's answer",
    ),
    metric(QUEUE_SECONDS, Kind::Histogram, &["queue"], "from an event's happening to its receipt"),
    metric(IN_FLIGHT, Kind::Gauge, &[], "permits held over all replicas"),
    metric(
        PERMITS,
        Kind::Gauge,
        &["younger_than"],
        "permits by the age of their attempt, each counted once",
    ),
    metric(
        VIOLATIONS,
        Kind::Counter,
        &["invariant"],
        "rules found broken; alarm on anything but 0",
    ),
    metric(
        OVERDUE,
        Kind::Gauge,
        &[],
        "age past its deadline of the oldest permit; should stay near 0",
    ),
    metric(RESENT, Kind::Counter, &["kind"], "events that seemed lost"),
    metric(
        CLOCK_AHEAD,
        Kind::Gauge,
        &["service"],
        "how far this machine's clock is ahead of the `ledger`'s, `queue`'s, `store`'s",
    ),
    metric(
        OTHER_CUTS,
        Kind::Counter,
        &["what"],
        "an `event`, `result` or `film` of another cut of a source than its job's; not used",
    ),
    metric(CALL_RETRIES, Kind::Counter, &["kind"], "port calls repeated, by kind of error"),
    metric(TRIGGERS, Kind::Counter, &[], "reassembly messages sent"),
    metric(
        SWEEPS,
        Kind::Counter,
        &["outcome"],
        "sweeps that are `done`, and those that ended with an `error`",
    ),
];

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric { name, kind, labels, meaning }
}

/// The classes of errors, as labels.
pub(crate) fn class_label(class: &str) -> &'static str {
    const CLASSES: [&str; 17] = [
        "abandoned",
        "cancelled",
        "conflict",
        "expired",
        "internal",
        "model",
        "no_output",
        "not_found",
        "other_cut",
        "rejected",
        "released",
        "stale",
        "throttled",
        "timeout",
        "unauthorized",
        "unavailable",
        "taken_over",
    ];
    CLASSES.into_iter().find(|known| *known == class).unwrap_or("other")
}

/// The bounds of [`PERMITS`], as labels.
pub(crate) const AGES: [(&str, u64); 5] =
    [("1m", 60), ("10m", 600), ("1h", 3600), ("2h", 7200), ("older", u64::MAX)];
