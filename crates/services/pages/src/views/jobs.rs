//! A conversion as a card, and as the event that tells of it.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::{bytes, clock};
use crate::job::{Job, Made, State};

/// A conversion for programs and for the page, which shows `html` when the state changes, and in between the
/// numbers.
pub(crate) fn job_view(job: &Job) -> Value {
    json!({
        "id": job.id,
        "name": job.name,
        "state": job.state,
        "percent": job.percent(),
        "line": line(job),
        "progress": job.progress,
        "look": job.look,
        "notes": job.notes,
        "result": job.result,
        "html": card(job).into_string(),
    })
}

/// How it stands, in a line.
fn line(job: &Job) -> String {
    let progress = job.progress;
    match job.state {
        State::Waiting => "waiting for its turn".to_owned(),
        State::Converting if progress.total == 0 => "looking at the film".to_owned(),
        State::Converting if progress.frames >= progress.total => "joining".to_owned(),
        State::Converting => {
            let mut line = format!("{} of {} frames", progress.frames, progress.total);
            if let Some(speed) = progress.frames_per_second {
                line += &format!(" · {speed:.1} frames/s");
            }
            if let Some(left) = progress.eta_seconds {
                line += &format!(" · {} left", clock(left));
            }
            line
        }
        State::Stopped => "stopped; what is done is kept".to_owned(),
        State::Failed => "failed".to_owned(),
        State::Done => job.result.as_ref().map_or_else(String::new, facts),
    }
}

fn facts(made: &Made) -> String {
    let Made { description, parallax_percent, .. } = made;
    let mut facts = format!("{}×{}", description.width_px, description.height_px);
    if let Some(seconds) = description.seconds.filter(|_| description.frames_per_second > 0.0) {
        facts += &format!(" · {}", clock(seconds));
    }
    facts += &format!(" · {}", bytes(made.bytes));
    if let Some((near, far)) = parallax_percent {
        facts += &format!(" · parallax {near:+.1} to {far:+.1} %");
    }
    facts
}

/// The conversion as an item of a list.
pub(super) fn card(job: &Job) -> Markup {
    let look = &job.look;
    let state = match job.state {
        State::Waiting => "waiting",
        State::Converting => "converting",
        State::Stopped => "stopped",
        State::Failed => "failed",
        State::Done => "done",
    };
    html! {
        li.card.job id={ "job-" (job.id) } data-id=(job.id) data-state=(state) {
            div.words {
                h3 { (job.name) }
                p.look {
                    (look.layout) " · " (look.engine) " · " (look.disparity_percent)
                    " % · screen at " (look.convergence)
                }
            }
            (actions(job))
            @if matches!(job.state, State::Waiting | State::Converting | State::Stopped) {
                progress max="100" value=(job.percent()) aria-label={ "Progress of " (job.name) } {
                    (job.percent()) " %"
                }
            }
            p.line { (line(job)) }
            @for note in &job.notes {
                p.note { (note) }
            }
        }
    }
}

fn actions(job: &Job) -> Markup {
    let action = |doing: &str, text: &str| {
        let label = format!("{text} {}", job.name);
        html! { button type="button" data-do=(doing) aria-label=(label) { (text) } }
    };
    let url = format!("/api/jobs/{}/result", job.id);
    html! {
        div.actions {
            @if let Some(made) = &job.result {
                @if made.description.plays_in_browsers {
                    a.button.primary href={ "/watch/" (job.id) } { "Watch" }
                }
                a.button href={ (url) "?save" } download=(made.name) { "Save" }
            }
            @match job.state {
                State::Waiting | State::Converting => (action("stop", "Stop")),
                State::Stopped => { (action("resume", "Go on")) (action("delete", "Delete")) },
                State::Failed => { (action("resume", "Try again")) (action("delete", "Delete")) },
                State::Done => (action("delete", "Delete")),
            }
        }
        @if job.result.as_ref().is_some_and(|made| !made.description.plays_in_browsers) {
            p.note { "Browsers may not play this kind of file; save it for another player." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Progress;
    use crate::look::Look;
    use crate::viewer::{Description, Kind};

    fn job(state: State) -> Job {
        let look = Look {
            engine: "draft".to_owned(),
            disparity_percent: 2.0,
            convergence: 0.5,
            layout: parallax_stereo::Layout::FullSbs,
        };
        Job {
            id: "0123456789abcdef".to_owned(),
            film: "0123456789abcdef".to_owned(),
            name: "<b>film</b>.mp4".to_owned(),
            kind: Kind::Film,
            look,
            state,
            progress: Progress {
                frames: 50,
                total: 200,
                frames_per_second: Some(9.5),
                eta_seconds: Some(75.0),
            },
            notes: vec!["<img src=x onerror=alert(1)>".to_owned()],
            result: None,
            asked: 0,
            turn: 1,
        }
    }

    #[test]
    fn a_card_says_how_it_stands_and_what_can_be_done() {
        let card = card(&job(State::Converting)).into_string();
        assert!(card.contains("50 of 200 frames · 9.5 frames/s · 1:15 left"), "{card}");
        assert!(card.contains("value=\"25\"") && card.contains("data-do=\"stop\""), "{card}");
        assert!(!card.contains("<b>") && !card.contains("<img src=x"), "{card}");
    }

    #[test]
    fn what_browsers_do_not_play_is_saved_instead() {
        let description = Description {
            kind: Kind::Film,
            width_px: 64,
            height_px: 36,
            frames_per_second: 25.0,
            seconds: Some(2.0),
            sounds: 0,
            codec: "hevc".to_owned(),
            plays_in_browsers: false,
        };
        let made = Made { name: "a.mkv".to_owned(), bytes: 5, description, parallax_percent: None };
        let done = Job { result: Some(made), notes: vec![], ..job(State::Done) };
        let card = card(&done).into_string();
        assert!(card.contains("another player") && !card.contains("/watch/"), "{card}");
        assert!(card.contains("result?save"), "{card}");
    }
}
