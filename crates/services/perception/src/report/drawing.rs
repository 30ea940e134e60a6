//! The drawings of a report.

use maud::{Markup, html};

use super::shown::{Shown, clock, letter};

/// Units across a drawing, whatever the width of the page.
const WIDE: f64 = 1000.0;
/// Units between shots.
const GAP: f64 = 1.5;

/// A colour for each cluster: hues a golden angle apart, so that neighbours differ.
pub(super) fn colour(cluster: usize) -> String {
    let hue = (cluster as f64 * 137.508 + 190.0) % 360.0;
    let light = if cluster.is_multiple_of(2) { 46 } else { 58 };
    format!("hsl({hue:.0} 58% {light}%)")
}

/// The film from left to right: shots above, and below them which frames look alike. Each place leads to its shot
/// or frame.
pub(super) fn timeline(shots: &[(f64, f64)], frames: &[Shown<'_>], seconds: f64) -> Markup {
    let x = |at: f64| if seconds > 0.0 { at / seconds * WIDE } else { 0.0 };
    let until = |i: usize| frames.get(i + 1).map_or(WIDE, |next| x(next.seconds));
    html! {
        svg.timeline viewBox={ "0 0 " (WIDE) " 60" } preserveAspectRatio="none" role="group"
            aria-label="Timeline: shots above, frames that look alike below" {
            @for (number, (from, to)) in (1..).zip(shots) {
                a href={ "#shot-" (number) } {
                    title { "Shot " (number) ", " (clock(*from)) " to " (clock(*to)) }
                    rect.shot x=(number_of(x(*from))) y="0" width=(number_of((x(*to) - x(*from) - GAP).max(1.0)))
                        height="22" {}
                }
            }
            @for (i, frame) in frames.iter().enumerate() {
                a href={ "#frame-" (frame.index) } tabindex="-1" {
                    title { (clock(frame.seconds)) ", looks " (letter(frame.cluster)) }
                    rect x=(number_of(x(frame.seconds))) y="28" height="32" fill=(colour(frame.cluster))
                        width=(number_of((until(i) - x(frame.seconds)).max(0.5))) {}
                }
            }
        }
    }
}

/// How like each frame is to the one before it, from left to right: 1 above, 0 and less below.
pub(super) fn curve(likenesses: &[(f64, f64)], seconds: f64) -> Markup {
    let point = |&(at, like): &(f64, f64)| {
        let (x, y) = (at / seconds.max(1e-9) * WIDE, (1.0 - like.clamp(0.0, 1.0)) * 96.0 + 2.0);
        format!("{},{}", number_of(x), number_of(y))
    };
    let points: Vec<String> = likenesses.iter().map(point).collect();
    html! {
        svg.curve viewBox={ "0 0 " (WIDE) " 100" } preserveAspectRatio="none" role="img"
            aria-label="How like each frame is to the one before it" {
            line.grid x1="0" x2=(WIDE) y1="2" y2="2" {}
            line.grid x1="0" x2=(WIDE) y1="50" y2="50" {}
            line.grid x1="0" x2=(WIDE) y1="98" y2="98" {}
            polyline points=(points.join(" ")) {}
        }
    }
}

/// A colour's little square.
pub(super) fn swatch(cluster: usize) -> Markup {
    html! {
        svg.swatch viewBox="0 0 10 10" aria-hidden="true" {
            rect width="10" height="10" rx="2.5" fill=(colour(cluster)) {}
        }
    }
}

/// A number of a drawing: two places are less than a pixel.
fn number_of(value: f64) -> String {
    format!("{value:.2}")
}
