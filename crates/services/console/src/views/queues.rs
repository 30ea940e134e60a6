//! Queues, dead letters and the roles that receive.

use maud::{Markup, html};
use parallax_worker::Role;

use super::{Parts, button, count, time};
use crate::deed::Deed;
use crate::gather::{DeadQueue, Letter, Queues, RoleState};

pub(crate) fn queues(found: &Queues, acts: bool) -> Parts {
    let depths = found.dead_letters.iter().filter_map(|dead| dead.queue.depth);
    let dead: u64 = depths.map(|depth| depth.visible + depth.hidden).sum();
    let html = html! {
        section aria-labelledby="queues-title" {
            h2 #queues-title { "Queues" }
            div.scroll tabindex="0" role="region" aria-label="How much is in each queue" {
                table {
                    thead {
                        tr { th scope="col" { "Queue" } th scope="col" { "Ready" } th scope="col" { "Received" } }
                    }
                    tbody {
                        @for queue in &found.queues {
                            tr {
                                th scope="row" { (queue.name) }
                                @match (&queue.depth, &queue.trouble) {
                                    (Some(depth), _) => { td { (depth.visible) } td { (depth.hidden) } },
                                    (None, why) => td colspan="2" { (why.as_deref().unwrap_or("not known")) },
                                }
                            }
                        }
                    }
                }
            }
        }
        section aria-labelledby="dead-title" {
            div.top {
                h2 #dead-title { "Dead letters" }
                @if acts && dead > 0 { div.actions { (button(&Deed::RedriveLetters, "of every queue")) } }
            }
            @if found.dead_letters.is_empty() {
                p.none { "No queue of dead letters is known." }
            }
            @for dead in &found.dead_letters { (of_dead(dead)) }
        }
        section aria-labelledby="roles-title" {
            h2 #roles-title { "Roles" }
            ul.roles { @for role in &found.roles { (of_role(role, acts)) } }
        }
    };
    Parts { title: "Queues".to_owned(), said: count(dead, "dead letter"), html }
}

fn of_role(state: &RoleState, acts: bool) -> Markup {
    let role = Role::RECEIVING.into_iter().find(|role| role.as_str() == state.role);
    html! {
        li.card.role {
            span { strong { (state.role) } " " @if state.is_paused { span.warn { "paused" } } @else { "receives" } }
            @if let Some(role) = role.filter(|_| acts) {
                @if state.is_paused {
                    (button(&Deed::Resume(role), &format!("the role {}", state.role)))
                } @else {
                    (button(&Deed::Pause(role), &format!("the role {}", state.role)))
                }
            }
        }
    }
}

fn of_dead(dead: &DeadQueue) -> Markup {
    let shown = dead.letters.len() as u64;
    html! {
        h3 {
            (dead.queue.name)
            @if let Some(depth) = dead.queue.depth { ": " (depth.visible) " ready, " (depth.hidden) " being looked at" }
        }
        @if let Some(why) = &dead.queue.trouble { p.note { "It cannot be looked into: " (why) } }
        @else if dead.queue.depth.is_some_and(|depth| depth.visible > shown) {
            p.facts { (shown) " of them are shown." }
        }
        ul.letters { @for letter in &dead.letters { (of_letter(letter)) } }
    }
}

fn of_letter(letter: &Letter) -> Markup {
    html! {
        li.card.letter {
            p.note { (letter.reason.as_deref().unwrap_or("Its queue gave it up after too many deliveries.")) }
            p.facts {
                "message " code { (letter.id) } " · sent " (time(letter.sent_at))
                @for (name, value) in &letter.attributes { " · " (name) ": " (value) }
            }
            pre tabindex="0" { (letter.preview) @if letter.is_cut { "…" } }
        }
    }
}
