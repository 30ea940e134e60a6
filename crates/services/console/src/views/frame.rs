//! What is around every page: the way to the others, and who one is here.

use maud::{Markup, html};
use parallax_web::page;

use crate::settings::Settings;
use crate::topic::Topic;
use crate::view::View;

const STYLES: [&str; 2] = ["base.css", "console.css"];
const SECTIONS: [(&str, &str); 5] = [
    ("/", "Jobs"),
    ("/permits", "Permits"),
    ("/queues", "Queues"),
    ("/replicas", "Replicas"),
    ("/acts", "Acts"),
];

/// Who looks at a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Visitor {
    /// Nobody can do more than read.
    Reader,
    /// Somebody who may give the token.
    Stranger,
    /// Somebody of this name who may act.
    Operator(String),
}

/// A page around what changes of it.
pub(crate) fn whole(view: &View, topic: &Topic, settings: &Settings, visitor: &Visitor) -> String {
    let here = match topic {
        Topic::Overview | Topic::Jobs { .. } | Topic::Job(_) => "/",
        Topic::Permits => "/permits",
        Topic::Queues => "/queues",
        Topic::Replicas => "/replicas",
        Topic::Acts { .. } => "/acts",
    };
    let body = html! {
        (banner(settings, visitor, Some(here)))
        main #main {
            h1 { (view.title) }
            p #trouble.note role="alert" hidden {}
            div #live data-events={ "/events/" (topic) } { (maud::PreEscaped(&view.html)) }
            p #said.unseen role="status" {}
            p.facts {
                "The same for programs: " a href={ "/api/" (topic) } { code { "/api/" (topic) } }
            }
        }
    };
    page(&titled(&view.title), &STYLES, Some("console.js"), &body)
}

pub(super) fn titled(title: &str) -> String {
    format!("{title} · Parallax console")
}

/// A page that stays as it is.
pub(super) fn still(
    title: &str,
    settings: &Settings,
    visitor: &Visitor,
    content: &Markup,
) -> String {
    let body = html! {
        (banner(settings, visitor, None))
        main #main.narrow { h1 { (title) } (content) }
    };
    page(&titled(title), &STYLES, None, &body)
}

fn banner(settings: &Settings, visitor: &Visitor, here: Option<&str>) -> Markup {
    html! {
        a.skip href="#main" { "To the page" }
        header.banner {
            a.brand href="/" {
                img src="/assets/icon.svg" alt="" width="28" height="28";
                "Parallax console"
            }
            span.where { (settings.platform) }
            nav aria-label="Sections" {
                @for (path, name) in SECTIONS {
                    a href=(path) aria-current=[(here == Some(path)).then_some("page")] { (name) }
                }
            }
            div.who {
                @match visitor {
                    Visitor::Reader => span { "read-only" },
                    Visitor::Stranger => a href="/enter" { "Enter to act" },
                    Visitor::Operator(name) => {
                        span { (name) }
                        form method="post" action="/leave" { button.quiet type="submit" { "Leave" } }
                    },
                }
            }
        }
    }
}

/// Where the token is given. `next` is where one wanted to go, and `why` what was wrong with an earlier try.
pub(crate) fn enter(settings: &Settings, next: &str, why: Option<&str>) -> String {
    let content = html! {
        p { "Whoever has the token of " code { "WORKER_CONSOLE_TOKEN" } " may act, and is written down with each act." }
        @if let Some(why) = why {
            p.note role="alert" { (why) }
        }
        form.card.enter method="post" action="/enter" {
            input type="hidden" name="next" value=(next);
            label for="name" { "Your name, for the record of acts" }
            input #name name="name" type="text" maxlength="64" autocomplete="nickname";
            label for="token" { "Token" }
            input #token name="token" type="password" required maxlength="4096" autocomplete="current-password";
            button.primary type="submit" { "Enter" }
        }
    };
    still("Enter", settings, &Visitor::Stranger, &content)
}

/// Why nothing is shown.
pub(crate) fn refused(settings: &Settings, why: &str) -> String {
    let content = html! { p { (why) } p { a href="/" { "To the first page" } } };
    still("Not this", settings, &Visitor::Reader, &content)
}
