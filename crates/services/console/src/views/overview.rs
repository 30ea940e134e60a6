//! The first page.

use maud::{Markup, html};
use parallax_job::JobStatus;

use super::jobs::{item, statuses};
use super::{Parts, count, span};
use crate::gather::{Group, Overview};

pub(crate) fn overview(found: &Overview, acts: bool) -> Parts {
    let html = html! {
        (glance(found, acts))
        (statuses(None))
        (section("failed", "Failed", &found.failed, found, JobStatus::Failed))
        (section("active", "Under way", &found.active, found, JobStatus::ChunkingComplete))
        (section("completed", "Completed", &found.completed, found, JobStatus::Completed))
    };
    let said = format!(
        "{} failed, {} under way, {}",
        counted(&found.failed),
        counted(&found.active),
        count(found.dead_letters.unwrap_or(0), "dead letter")
    );
    Parts { title: "Jobs".to_owned(), said, html }
}

fn counted(group: &Group) -> String {
    format!("{}{}", group.jobs.len(), if group.more { " or more" } else { "" })
}

/// What an operator looks at first.
fn glance(found: &Overview, acts: bool) -> Markup {
    html! {
        dl.glance {
            div {
                dt { "Failed" }
                dd.warn[!found.failed.jobs.is_empty()] { (found.failed.jobs.len()) @if found.failed.more { "+" } }
            }
            div {
                dt { "Under way" }
                dd { (found.active.jobs.len()) @if found.active.more { "+" } }
            }
            div {
                dt { a href="/permits" { "Permits held" } }
                dd { (found.held) " of " (found.max_in_flight) }
            }
            div {
                dt { a href="/queues" { "Dead letters" } }
                dd.warn[found.dead_letters != Some(0)] {
                    @match found.dead_letters { Some(letters) => (letters), None => "?" }
                }
            }
            @if let Some(recent) = &found.recent {
                div {
                    dt { "A job takes" }
                    dd {
                        (span(recent.median_seconds))
                        @if let Some(seconds) = recent.median_seconds_per_megabyte {
                            small { (format!(" {seconds:.1} s/MB")) }
                        }
                    }
                }
            }
        }
        @for role in &found.paused {
            p.note {
                "The role " (role) " is paused: nothing is received for it."
                @if acts { " " a href={ "/do/resume/" (role) } { "Resume" } }
            }
        }
    }
}

fn section(id: &str, title: &str, group: &Group, found: &Overview, all: JobStatus) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 #(id) { (title) }
            @if group.jobs.is_empty() {
                p.none { "There are none." }
            } @else {
                ul.jobs {
                    @for job in &group.jobs {
                        (item(job, found.running.get(job.job_id.as_str()).copied().unwrap_or(0)))
                    }
                }
            }
            @if group.more { p { a.button href={ "/jobs?status=" (all) } { "All of them" } } }
        }
    }
}
