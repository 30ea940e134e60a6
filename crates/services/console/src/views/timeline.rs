//! Attempts over time, as a drawing: a bar for each, from its beginning to the next one's, to its completion, or to
//! now. When an attempt failed is not recorded, so that such a bar holds the wait after it as well.

use maud::{Markup, html};
use parallax_job::Timestamp;
use parallax_worker::{Explanation, SegmentExplanation};

use super::{span, time};

/// Segments that are drawn.
const DRAWN: usize = 200;
/// The drawing's own units: its width, and the height of a segment.
const WIDTH: i64 = 1000;
const ROW: usize = 8;

/// Draws the attempts at a job's segments; nothing where none began.
pub(super) fn timeline(found: &Explanation, now: Timestamp) -> Markup {
    let drawn: Vec<&SegmentExplanation> =
        found.segments.iter().filter(|segment| !segment.begun.is_empty()).take(DRAWN).collect();
    let first = drawn.iter().filter_map(|s| s.begun.first()).map(|begun| begun.at).min();
    let Some(first) = first else { return html! {} };
    let ends = drawn.iter().filter_map(|segment| end_of(segment));
    let is_open = drawn.iter().any(|segment| end_of(segment).is_none());
    let last = if is_open { now } else { ends.max().unwrap_or(now) };
    let length = (last.0 - first.0).max(1);
    let x = |at: Timestamp| (at.0.clamp(first.0, last.0) - first.0) * WIDTH / length;
    let height = drawn.len() * ROW;
    let label = format!(
        "Attempts at {} segments over {}",
        drawn.len(),
        span(last.since(first).as_secs_f64())
    );
    html! {
        section aria-labelledby="timeline-title" {
            h2 #timeline-title { "Timeline of attempts" }
            svg.timeline role="img" aria-label=(label) viewBox={ "0 0 " (WIDTH) " " (height) }
                preserveAspectRatio="none" height=(height) {
                @for (row, segment) in drawn.iter().enumerate() {
                    @for (at, begun) in segment.begun.iter().enumerate() {
                        @let next = segment.begun.get(at + 1).map(|next| next.at);
                        @let end = next.or(end_of(segment)).unwrap_or(now);
                        @let from = x(begun.at);
                        rect x=(from) y=(row * ROW + 1) width=((x(end) - from).max(2)) height=(ROW - 2)
                            data-state=(state(segment, next.is_some())) {
                            title { "segment " (segment.index) ", attempt " (begun.attempt) }
                        }
                    }
                }
            }
            p.facts.ends { span { (time(first)) } span { (time(last)) } }
            @if found.segments.len() > DRAWN { p.facts { "The first " (DRAWN) " that were begun are drawn." } }
        }
    }
}

/// When the latest attempt ended, where it did and that is known.
fn end_of(segment: &SegmentExplanation) -> Option<Timestamp> {
    match segment.state {
        "retry_wait" => segment.until,
        "failed" => segment.begun.last().map(|begun| begun.at),
        _ => segment.completed_at,
    }
}

fn state(segment: &SegmentExplanation, is_over: bool) -> &'static str {
    if is_over { "failed" } else { segment.state }
}
