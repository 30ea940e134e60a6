//! Who is at work, and what operators did.

use maud::{Markup, html};

use super::{Parts, count, time};
use crate::gather::{ActsPage, ReplicaState, ReplicasPage};

pub(crate) fn replicas(found: &ReplicasPage) -> Parts {
    let silent = found.replicas.iter().filter(|replica| replica.is_silent).count();
    let html = html! {
        p.facts { "Each process says once a minute how it is, and is remembered for a day after its last word." }
        @if found.replicas.is_empty() {
            p.none { "None was heard of." }
        } @else {
            h2.unseen { "Each of them" }
            ul.replicas { @for replica in &found.replicas { (of_replica(replica)) } }
        }
    };
    let said = format!("{}, {silent} silent", count(found.replicas.len() as u64, "replica"));
    Parts { title: "Replicas".to_owned(), said, html }
}

fn of_replica(state: &ReplicaState) -> Markup {
    let replica = &state.replica;
    let (name, words) = match (state.is_silent, replica.not_ready.is_empty()) {
        (true, _) => ("failed", "silent: it has ended without a word, or cannot reach the ledger"),
        (false, true) => ("completed", "ready"),
        (false, false) => ("retry_wait", "not ready"),
    };
    html! {
        li.card.replica data-state=(name) {
            h3 { (replica.id) }
            p.state { (words) }
            p.facts {
                (replica.version) " · " (replica.roles) " · since " (time(replica.since)) " · heard of "
                (time(replica.seen))
            }
            @for (what, why) in &replica.not_ready { p.note { (what) ": " (why) } }
        }
    }
}

pub(crate) fn acts(found: &ActsPage) -> Parts {
    let html = html! {
        p.facts {
            "What was done on consoles of this deployment. What the commands of a terminal did is not among it."
        }
        @if found.acts.is_empty() {
            p.none { "Nothing was done." }
        }
        h2.unseen { "Each of them" }
        ul.acts {
            @for written in &found.acts {
                li.card.act {
                    h3 { code { (written.act.what) } }
                    p.facts { "act " (written.number) " · " (written.act.who) " · " (time(written.act.at)) }
                    @match &written.act.outcome {
                        Some(outcome) => p.outcome { (outcome) },
                        None => p.note { "being done, or its process ended meanwhile: look at what it was done to" },
                    }
                }
            }
        }
        @if let Some(next) = found.next {
            nav.pages aria-label="Pages" { a.button href={ "/acts?before=" (next) } { "Earlier" } }
        }
    };
    Parts { title: "Acts".to_owned(), said: count(found.acts.len() as u64, "act"), html }
}
