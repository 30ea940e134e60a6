//! The page on which a result is watched.

use maud::html;
use parallax_stereo::Layout;

use super::{banner, page};
use crate::job::{Job, Made};
use crate::viewer::Kind;

/// Ways to show two eyes, by the names of the player's script, with the key of each.
const MODES: [(&str, &str); 10] = [
    ("sbs", "Side by side"),
    ("cross", "Cross-eyed"),
    ("anaglyph-dubois", "Red-cyan, Dubois"),
    ("anaglyph", "Red-cyan, full colour"),
    ("anaglyph-half-colour", "Red-cyan, half colour"),
    ("anaglyph-optimised", "Red-cyan, optimised"),
    ("wiggle", "Wiggle"),
    ("left", "Left eye"),
    ("right", "Right eye"),
    ("flat", "As it is"),
];

/// Where the eyes are in a picture of `layout`, for the player; `None` where they cannot be told apart any more.
fn packing(layout: Layout) -> Option<&'static str> {
    match layout {
        Layout::FullSbs | Layout::HalfSbs => Some("left-right"),
        Layout::CrossEyed => Some("right-left"),
        Layout::FullTb | Layout::HalfTb => Some("top-bottom"),
        Layout::RightOnly
        | Layout::Rgbd
        | Layout::Anaglyph
        | Layout::AnaglyphHalfColour
        | Layout::AnaglyphOptimised
        | Layout::AnaglyphDubois
        | Layout::Vr180 => None,
    }
}

pub(crate) fn watch(job: &Job, made: &Made) -> String {
    let url = format!("/api/jobs/{}/result", job.id);
    let packing = packing(job.look.layout);
    let film = job.kind == Kind::Film;
    let body = html! {
        (banner())
        main.watch {
            h1 { (job.name) }
            div #stage.stage data-packing=[packing] {
                @if film {
                    video #source src=(url) controls preload="auto" playsinline {}
                } @else {
                    img #source src=(url) alt={ (job.name) ", both eyes" };
                }
                canvas #canvas tabindex="0" role="img" aria-label={ (job.name) " in 3D" } hidden {}
            }
            div #player hidden {
                @if film {
                    div.transport {
                        button #play.primary type="button" { "Play" }
                        label.seek for="seek" {
                            span.unseen { "Place in the film" }
                            input #seek type="range" min="0" max="1" step="0.001" value="0";
                        }
                        span #time { "0:00" }
                        button #mute type="button" aria-pressed="false" { "Mute" }
                    }
                }
                div.transport {
                    label for="mode" { "Shown as" }
                    select #mode {
                        @for (name, text) in MODES { option value=(name) { (text) } }
                    }
                    label.check { input #swap type="checkbox"; " Swap eyes" }
                    button #full type="button" { "Full screen" }
                }
                div #room.transport hidden {
                    button #headset.primary type="button" { "Watch in the headset" }
                    label for="width" { "Screen, metres wide" }
                    input #width type="number" min="0.5" max="30" step="0.5" value="3";
                    label for="distance" { "metres away" }
                    input #distance type="number" min="0.5" max="30" step="0.5" value="2.5";
                }
                p.hint {
                    @if film { "Space plays and pauses, arrows go 5 s, M mutes. " }
                    "V shows the next way, S swaps the eyes, F fills the screen."
                }
            }
            p #trouble.note role="alert" hidden {}
            @if packing.is_none() {
                p.hint {
                    "This layout is shown as it is. A side-by-side result can be shown in every way here."
                }
            }
            p.links { a.button href={ (url) "?save" } download=(made.name) { "Save" } a href="/" { "All conversions" } }
        }
    };
    let title = format!("{} · Parallax", job.name);
    page(&title, &["base.css", "style.css", "watch.css"], Some("watch.js"), &body)
}
