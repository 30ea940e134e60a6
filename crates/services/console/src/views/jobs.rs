//! Lists of jobs.

use maud::{Markup, html};
use parallax_job::JobStatus;
use parallax_ports::ledger::Job;

use super::{Parts, bytes, count, span, time};
use crate::gather::JobsPage;

/// A status in words.
pub(super) fn words(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Created => "waits for its source",
        JobStatus::Ingesting => "source being fetched",
        JobStatus::ChunkingInProgress => "being cut",
        JobStatus::ChunkingComplete => "segments at work",
        JobStatus::Reassembling => "being joined",
        JobStatus::Completed => "completed",
        JobStatus::Failed => "failed",
        JobStatus::Deleted => "deleted",
    }
}

/// The jobs in one status.
pub(crate) fn jobs(page: &JobsPage) -> Parts {
    let title = format!("Jobs: {}", page.status.as_str().replace('_', " "));
    let html = html! {
        (statuses(Some(page.status)))
        @if page.jobs.is_empty() {
            p.none { "There are none." }
        } @else {
            h2.unseen { "Each of them" }
            ul.jobs { @for job in &page.jobs { (item(job, 0)) } }
        }
        nav.pages aria-label="Pages" {
            @if !page.first { a.button href={ "/jobs?status=" (page.status) } { "Newest" } }
            @if let Some(next) = &page.next {
                a.button href={ "/jobs?status=" (page.status) "&after=" (next) } { "Older" }
            }
        }
    };
    let more = if page.next.is_some() { " and more" } else { "" };
    let said = format!("{}{more}", count(page.jobs.len() as u64, "job"));
    Parts { title, said, html }
}

/// The way to the lists.
pub(super) fn statuses(here: Option<JobStatus>) -> Markup {
    let mut all = JobStatus::ALL;
    // What needs somebody comes first.
    all.sort_by_key(|status| *status != JobStatus::Failed);
    html! {
        nav.statuses aria-label="Jobs by status" {
            @for status in all {
                a href={ "/jobs?status=" (status) } aria-current=[(here == Some(status)).then_some("page")] {
                    (status.as_str().replace('_', " "))
                }
            }
        }
    }
}

/// A job as an item of a list, of which so many attempts run.
pub(super) fn item(job: &Job, running: usize) -> Markup {
    html! {
        li.card.job data-state=(job.status) {
            div.words {
                h3 { a href={ "/jobs/" (job.job_id) } { (job.title.as_deref().unwrap_or(job.job_id.as_str())) } }
                p.facts {
                    @if job.title.is_some() { code { (job.job_id) } " · " }
                    (job.mode)
                    @if let Some(total) = job.total_segments { " · " (count(total.into(), "segment")) }
                    @if let Some(size) = job.source_file_size_bytes { " · " (bytes(size)) }
                    " · made " (time(job.created_at))
                    @if let Some(at) = job.completed_at {
                        " · took " (span(at.since(job.created_at).as_secs_f64()))
                    }
                }
            }
            p.state {
                (words(job.status))
                @if running > 0 { " · " (count(running as u64, "attempt")) " at work" }
            }
            @if let Some(reason) = &job.reason { p.note { (reason) } }
        }
    }
}
