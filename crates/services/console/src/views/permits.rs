//! Permits by age.

use maud::html;

use super::{Parts, time};
use crate::gather::{Permit, Permits};

pub(crate) fn permits(found: &Permits) -> Parts {
    let held = found.permits.len();
    let overdue = found.permits.iter().filter(|permit| permit.is_overdue).count();
    let html = html! {
        div.meter {
            p { strong { (held) " of " (found.max_in_flight) } " permits of " (found.pool) " are held." }
            meter min="0" max=(found.max_in_flight) value=(held) aria-label="Permits held" { (held) }
        }
        @if overdue > 0 {
            p.note {
                (overdue) " overdue: nothing was heard of what holds them. The next sweep ends such attempts; "
                code { "video-worker release" } " does it at once, on your word."
            }
        }
        @if held == 0 {
            p.none { "Nothing is at work." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Permits, those held the longest first" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Held since" }
                            th scope="col" { "For" }
                            th scope="col" { "Attempt" }
                            th scope="col" { "State" }
                            th scope="col" { "Ends by itself" }
                            th scope="col" { "Permit" }
                        }
                    }
                    tbody { @for permit in &found.permits { (row(permit)) } }
                }
            }
        }
    };
    let said = format!("{held} of {} permits held, {overdue} overdue", found.max_in_flight);
    Parts { title: "Permits".to_owned(), said, html }
}

fn row(permit: &Permit) -> maud::Markup {
    html! {
        tr data-state=[permit.is_overdue.then_some("failed")] {
            td { @match permit.since { Some(since) => (time(since)), None => "not known" } }
            td {
                @match (&permit.job_id, permit.segment) {
                    (Some(job), Some(index)) => { a href={ "/jobs/" (job) } { (job) } " segment " (index) },
                    _ => "reserved for the next message",
                }
            }
            td { @if let Some(attempt) = permit.attempt { (attempt) } }
            td { (permit.state.unwrap_or("")) }
            td { (time(permit.until)) @if permit.is_overdue { strong { " overdue" } } }
            td { code { (permit.holder) } }
        }
    }
}
