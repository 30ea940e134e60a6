//! The first page: what was dropped, what to make of it, what became of it.

use maud::{Markup, html};
use parallax_stereo::{Comfort, Layout};
use serde_json::{Value, json};

use super::{STYLES, banner, bytes, clock, jobs, page};
use crate::films::Film;
use crate::job::Job;
use crate::look::EngineChoice;
use crate::viewer::Kind;

/// Layouts by what they are watched with.
const LAYOUTS: [(&str, &[(Layout, &str)]); 4] = [
    (
        "Headset, 3D screen, or the player here",
        &[
            (Layout::FullSbs, "Side by side"),
            (Layout::HalfSbs, "Side by side, half width"),
            (Layout::FullTb, "Top and bottom"),
            (Layout::HalfTb, "Top and bottom, half height"),
            (Layout::Vr180, "VR180"),
        ],
    ),
    ("Nothing but your eyes", &[(Layout::CrossEyed, "Cross-eyed")]),
    (
        "Red-cyan glasses",
        &[
            (Layout::AnaglyphDubois, "Least ghosting (Dubois)"),
            (Layout::Anaglyph, "Full colour"),
            (Layout::AnaglyphHalfColour, "Half colour"),
            (Layout::AnaglyphOptimised, "Optimised"),
        ],
    ),
    (
        "For further work",
        &[(Layout::Rgbd, "Picture and depth"), (Layout::RightOnly, "Right eye only")],
    ),
];

pub(crate) fn index(
    engines: &[EngineChoice],
    films: &[Film],
    queue: &[Job],
    largest_upload: u64,
) -> String {
    let body = html! {
        (banner())
        main data-largest-upload=(largest_upload) {
            h1.unseen { "Parallax: films in 3D" }
            (drop_zone(films.is_empty()))
            ul #uploads aria-live="polite" {}
            section #films aria-label="Films and pictures" hidden[films.is_empty()] {
                ul { @for film in films { (film_item(film)) } }
            }
            (workbench(engines))
            section aria-labelledby="queue-title" {
                h2 #queue-title { "Conversions" }
                p #nothing hidden[!queue.is_empty()] {
                    "Nothing yet. What you convert is listed here, to be watched and saved, and is still here "
                    "when you come back."
                }
                ul #jobs { @for job in queue { (jobs::card(job)) } }
            }
            p #said.unseen role="status" {}
            p #trouble.note role="alert" hidden {}
        }
    };
    page("Parallax", &STYLES, Some("app.js"), &body)
}

fn drop_zone(large: bool) -> Markup {
    html! {
        label #drop.drop.large[large] for="files" {
            img src="/assets/icon.svg" alt="" width="56" height="56";
            span.call { "Drop films or pictures here" }
            span.hint { "or choose them. Any length, nearly any format." }
            span.button.primary aria-hidden="true" { "Choose files" }
            input #files.unseen type="file" multiple accept="video/*,image/jpeg,image/png,image/webp,.mkv,.ts,.m2ts"
                aria-label="Choose films or pictures";
        }
        noscript {
            p.note {
                "Dropping, previews and conversions need JavaScript, all of which is this program's own. The lists "
                "below work without."
            }
        }
    }
}

/// A film's item, which the page's script gives its behaviour.
fn film_item(film: &Film) -> Markup {
    html! {
        li.film id={ "film-" (film.id) } data-id=(film.id) {
            button.choose type="button" aria-pressed="false" {
                span.name { (film.name) }
                span.facts { (facts(film)) }
            }
            button.quiet type="button" data-do="forget" aria-label={ "Remove " (film.name) } { "×" }
        }
    }
}

fn facts(film: &Film) -> String {
    let seen = &film.description;
    let mut facts = format!("{}×{}", seen.width_px, seen.height_px);
    if seen.kind == Kind::Film {
        let speed = (seen.frames_per_second * 100.0).round() / 100.0;
        facts += &format!(" · {speed} frames/s");
        if let Some(seconds) = seen.seconds {
            facts += &format!(" · {}", clock(seconds));
        }
        facts += match seen.sounds {
            0 => " · silent",
            1 => " · sound",
            _ => " · several sound tracks",
        };
    }
    facts + &format!(" · {}", bytes(film.bytes))
}

/// A film for the page's script.
pub(crate) fn film_view(film: &Film) -> Value {
    json!({
        "id": film.id,
        "name": film.name,
        "bytes": film.bytes,
        "description": film.description,
        "html": film_item(film).into_string(),
    })
}

fn workbench(engines: &[EngineChoice]) -> Markup {
    html! {
        section #workbench aria-labelledby="work-title" hidden {
            h2 #work-title { "" }
            div.bench {
                figure.preview aria-busy="false" {
                    div.frame {
                        img #picture alt="One frame as the conversion will give it" hidden;
                        p #why role="status" { "" }
                    }
                    figcaption { (comfort()) }
                    label.moment for="at" {
                        span { "Moment" }
                        input #at type="range" min="0" max="1" step="0.01" value="0.4";
                    }
                }
                (controls(engines))
            }
        }
    }
}

fn comfort() -> Markup {
    let Comfort { front_percent, behind_percent } = Comfort::default();
    html! {
        div #comfort.comfort data-front=(front_percent) data-behind=(behind_percent) {
            span.side { "in front" }
            div.track aria-hidden="true" { span.fine {} span.range {} span.screen {} }
            span.side { "behind" }
            p.verdict { "" }
        }
    }
}

fn controls(engines: &[EngineChoice]) -> Markup {
    html! {
        form #controls {
            label for="strength" { "Strength" output for="strength" #strength-said { "2 %" } }
            input #strength type="range" min="0" max="5" step="0.1" value="2";
            label for="convergence" {
                "Screen" output for="convergence" #convergence-said { "0.5" }
            }
            input #convergence type="range" min="0" max="1" step="0.05" value="0.5"
                aria-describedby="convergence-hint";
            p.hint #convergence-hint {
                span { "all comes forward" } span { "all goes back" }
            }
            label for="layout" { "Watched with" }
            select #layout {
                @for (group, layouts) in LAYOUTS {
                    optgroup label=(group) {
                        @for (layout, text) in layouts {
                            option value=(layout) { (text) }
                        }
                    }
                }
            }
            label for="engine" { "Depth by" }
            select #engine {
                @for engine in engines {
                    option value=(engine.name) disabled[engine.missing.is_some()] {
                        (engine.name) ": " (engine.about)
                    }
                }
            }
            @for missing in engines.iter().filter_map(|engine| engine.missing.as_ref()) {
                p.hint { "For more: " code { (missing) } }
            }
            button.primary #convert type="submit" { "Convert" }
            details {
                summary { "The same in a terminal" }
                div.command {
                    code #command {}
                    button type="button" #copy { "Copy" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_can_be_chosen_once() {
        let offered = LAYOUTS.iter().flat_map(|(_, layouts)| layouts.iter().map(|(l, _)| *l));
        let mut offered: Vec<String> = offered.map(|layout| layout.to_string()).collect();
        let mut all: Vec<String> = Layout::ALL.map(|layout| layout.to_string()).into();
        offered.sort_unstable();
        all.sort_unstable();
        assert_eq!(offered, all);
    }

    #[test]
    fn an_empty_page_says_what_to_do() {
        let page = index(&[], &[], &[], 5);
        assert!(page.contains("Drop films or pictures here") && page.contains("Nothing yet."));
        assert!(!page.contains("style=") && !page.contains("onclick"), "the policy forbids these");
    }
}
