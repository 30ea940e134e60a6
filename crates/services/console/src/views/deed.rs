//! Asking before an act, and telling what came of it.

use maud::{Markup, html};

use super::frame::{Visitor, still};
use crate::acts::Done;
use crate::deed::{Deed, Manner};
use crate::settings::Settings;

/// What would be done, and the button that does it.
pub(crate) fn confirm(
    settings: &Settings,
    visitor: &Visitor,
    deed: &Deed,
    manner: &Manner,
    plan: &Done,
) -> String {
    let content = html! {
        p { (deed.meaning()) }
        section.card aria-labelledby="plan" {
            h2 #plan { "What would be done now" }
            (steps(plan))
        }
        p.facts { "The same in a terminal: " code { "video-worker " (deed.command(manner)) } }
        form.confirm method="post" action={ "/do/" (deed.path()) } {
            @if deed.takes_reason() {
                label for="because" { "Why, for the record (may be left out)" }
                input #because name="because" type="text" maxlength="500" value=[manner.because.as_ref()];
            }
            @if deed.takes_force() {
                label.check {
                    input type="checkbox" name="force" value="yes" checked[manner.force];
                    "also while it is not over or its attempts run"
                }
            }
            div.actions {
                a.button href=(deed.back()) { "Back" }
                button.primary.final[deed.is_final()] #confirm type="submit" { (deed.label()) }
            }
        }
    };
    still(&asked(deed), settings, visitor, &content)
}

/// What came of an act.
pub(crate) fn done(settings: &Settings, visitor: &Visitor, deed: &Deed, done: &Done) -> String {
    let content = html! {
        section.card #outcome aria-label="Outcome" { (steps(done)) }
        @if let Some(number) = done.number {
            p.facts { "Written down as act " (number) ": " a href="/acts" { "all acts" } }
        }
        div.actions { a.button.primary href=(deed.back()) { "Back" } }
    };
    let title = match done.error {
        Some(_) => "Not all was done",
        None => "Done",
    };
    still(&format!("{title}: {}", subject(deed)), settings, visitor, &content)
}

fn steps(done: &Done) -> Markup {
    html! {
        ul.steps { @for line in &done.lines { li { (line) } } }
        @if let Some(error) = &done.error {
            p.note role="alert" { (error) }
        }
    }
}

fn subject(deed: &Deed) -> String {
    let words = deed.label().to_lowercase();
    match deed {
        Deed::RedriveJob(job) | Deed::Cancel(job) | Deed::Delete(job) => {
            format!("{words} job {job}")
        }
        Deed::RedriveLetters => words,
        Deed::Pause(role) | Deed::Resume(role) => format!("{words} the role {}", role.as_str()),
    }
}

fn asked(deed: &Deed) -> String {
    let subject = subject(deed);
    let (first, rest) = subject.split_at(1);
    format!("{}{rest}?", first.to_uppercase())
}
