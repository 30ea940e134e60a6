//! One job: how it stands, its segments, and what may be done.

use maud::{Markup, html};
use parallax_job::JobStatus;
use parallax_ports::ledger::Job;
use parallax_worker::SegmentExplanation;

use super::jobs::words;
use super::timeline::timeline;
use super::{Parts, button, bytes, count, span, time};
use crate::deed::Deed;
use crate::gather::JobPage;

/// Segments that are told of in words, those that need somebody first.
const TOLD: usize = 100;

pub(crate) fn job(page: &JobPage, acts: bool) -> Parts {
    let found = &page.explained;
    let job = &found.job;
    let title = format!("Job {}", job.job_id);
    let total = found.segments.len() as u64;
    let html = html! {
        div.top {
            div {
                @if let Some(title) = &job.title { p.name { (title) } }
                p.state data-state=(job.status) { (words(job.status)) }
            }
            @if acts { (actions(job)) }
        }
        @if let Some(reason) = &job.reason { p.note { "It failed because " (reason) } }
        p { "It waits for " (found.waits_for) "." }
        @if !job.status.is_terminal() {
            @for role in &found.paused {
                p.note { "The role " (role) " is paused: nothing is received for it until it is resumed." }
            }
        }
        @if total > 0 {
            progress max=(total) value=(found.completed) aria-label="Completed segments" {
                (found.completed) " of " (total)
            }
        }
        (facts(page, total))
        @if total > 0 {
            section aria-labelledby="grid-title" {
                h2 #grid-title { "Segments" }
                (legend())
                ol.grid { @for segment in &found.segments { (cell(segment)) } }
            }
            (timeline(found, page.now))
            (told(&found.segments))
        }
        @if found.rows_of_other_cuts > 0 {
            p.facts { (count(found.rows_of_other_cuts as u64, "row")) " of earlier cuts do not matter." }
        }
    };
    let said = format!("{}, {} of {total} segments completed", words(job.status), found.completed);
    Parts { title, said, html }
}

fn actions(job: &Job) -> Markup {
    let of = format!("job {}", job.job_id);
    let id = || job.job_id.clone();
    html! {
        div.actions {
            @if job.status != JobStatus::Deleted && job.status != JobStatus::Completed && !job.is_cancelled() {
                (button(&Deed::RedriveJob(id()), &of))
            }
            @if !job.status.is_terminal() { (button(&Deed::Cancel(id()), &of)) }
            @if job.status != JobStatus::Deleted { (button(&Deed::Delete(id()), &of)) }
        }
    }
}

fn facts(page: &JobPage, total: u64) -> Markup {
    let job = &page.explained.job;
    html! {
        dl.facts {
            div { dt { "Kind" } dd { (job.mode) } }
            @if total > 0 { div { dt { "Completed" } dd { (page.explained.completed) " of " (total) } } }
            @if let Some(size) = job.source_file_size_bytes { div { dt { "Source" } dd { (bytes(size)) } } }
            div { dt { "Made" } dd { (time(job.created_at)) } }
            @if let Some(at) = job.uploaded_at { div { dt { "Uploaded" } dd { (time(at)) } } }
            @if let Some(at) = job.completed_at {
                div { dt { "Completed" } dd { (time(at)) } }
                div { dt { "Took" } dd { (span(at.since(job.created_at).as_secs_f64())) } }
            }
            @if let Some(pace) = page.pace {
                div { dt { "Pace" } dd { (format!("{:.1} segments a minute", pace.segments_per_minute)) } }
                @if let Some(at) = pace.done_at {
                    div { dt { "Segments done" } dd { (time(at)) @if at <= page.now { " (late)" } } }
                }
            }
        }
    }
}

/// A state's mark, so that nobody needs to tell colours apart.
fn mark(state: &str) -> &'static str {
    match state {
        "completed" | "done" => "✓",
        "failed" => "✕",
        "intent" => "▷",
        "invoked" => "▶",
        "retry_wait" => "↻",
        _ => "·",
    }
}

fn legend() -> Markup {
    let all = [
        ("failed", "given up"),
        ("retry_wait", "waits for another attempt"),
        ("intent", "an attempt begins or is in doubt"),
        ("invoked", "accepted by the backend"),
        ("unknown", "not begun"),
        ("completed", "completed"),
    ];
    html! {
        ul.legend {
            @for (state, text) in all {
                li { span.cell data-state=(state) aria-hidden="true" { (mark(state)) } (text) }
            }
        }
    }
}

fn cell(segment: &SegmentExplanation) -> Markup {
    let mut label = format!("segment {}: {}", segment.index, segment.state);
    if segment.attempt > 1 {
        label += &format!(", attempt {}", segment.attempt);
    }
    let overlong = segment.attempt > 1;
    html! {
        li.cell data-state=(segment.state) title=(label) {
            span aria-hidden="true" { (mark(segment.state)) @if overlong { sub { (segment.attempt) } } }
            span.unseen { (label) }
        }
    }
}

/// Everything about the segments that are not completed at their first attempt.
fn told(segments: &[SegmentExplanation]) -> Markup {
    let plain =
        |s: &&SegmentExplanation| s.state == "completed" && s.attempt <= 1 && s.holder.is_none();
    let mut some: Vec<_> = segments.iter().filter(|s| !plain(s)).collect();
    let order = |state: &str| {
        ["failed", "retry_wait", "intent", "invoked", "unknown"].iter().position(|s| *s == state)
    };
    some.sort_by_key(|s| (order(s.state).unwrap_or(9), s.index));
    let more = some.len().saturating_sub(TOLD);
    some.truncate(TOLD);
    html! {
        @if !some.is_empty() {
            section aria-labelledby="told-title" {
                h2 #told-title { "Segments that are not just done" }
                ul.segments { @for segment in some { (one(segment)) } }
                @if more > 0 { p.none { "and " (more) " more, all of them at " code { "/api" } } }
            }
        }
    }
}

fn one(segment: &SegmentExplanation) -> Markup {
    html! {
        li.card.segment data-state=(segment.state) {
            h3 { (mark(segment.state)) " Segment " (segment.index) ": " (segment.state.replace('_', " ")) }
            @if segment.waits_for != "nothing" { p { "Waits for " (segment.waits_for) } }
            p.facts {
                (count(segment.attempt.into(), "attempt")) ", " (segment.failures) " failed"
                @if let Some(holder) = &segment.holder { " · holds permit " code { (holder) } }
                @if let Some(until) = segment.until { " · until " (time(until)) }
            }
            @if let Some(error) = &segment.last_error {
                p.note { "Last error, " (error.class) ": " (error.message) }
            }
            @if !segment.begun.is_empty() {
                details {
                    summary { "Attempts" }
                    ol.attempts {
                        @for (at, begun) in segment.begun.iter().enumerate() {
                            li {
                                "Attempt " (begun.attempt) " began " (time(begun.at)) ", "
                                (end(segment, begun.error.as_deref(), at + 1 == segment.begun.len()))
                            }
                        }
                    }
                }
            }
            @for (what, place) in [("Response", &segment.locations.response), ("Failure", &segment.locations.failure)] {
                @if let Some(place) = place { p.facts { (what) " expected at " code { (place) } } }
            }
        }
    }
}

/// How an attempt ended: of the latest the segment itself says it.
fn end(segment: &SegmentExplanation, error: Option<&str>, latest: bool) -> String {
    match (error, latest) {
        (Some(error), _) => format!("ended with {error}"),
        (None, false) => "ended".to_owned(),
        (None, true) => match (segment.state, &segment.last_error) {
            ("completed" | "done", _) => "completed".to_owned(),
            ("failed" | "retry_wait", Some(error)) => format!("ended with {}", error.class),
            ("intent" | "invoked", _) => "is open".to_owned(),
            _ => "ended".to_owned(),
        },
    }
}
