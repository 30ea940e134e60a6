//! The page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::drawing;
use super::shown::{Report, Shown, clock, letter};
use crate::vectors;

const STYLE: &str = include_str!("style.css");
/// Groups of frames that look alike, and frames of one, that have pictures of their own.
const MOST_GROUPS: usize = 24;
const MOST_OF_A_GROUP: usize = 8;

impl Report<'_> {
    /// The page.
    pub fn html(&self) -> String {
        page(self)
    }
}

fn page(report: &Report<'_>) -> String {
    let record = report.record;
    let (frames, shots) = (report.shown(), report.shots());
    let digest = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    );
    let is_film = !record.shots.is_empty();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (record.film) " - what is in it" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#frames" { "To the frames" }
                header {
                    p.brand { "Parallax" }
                    h1 { (record.film) }
                    (facts(report, &shots))
                }
                main {
                    @if !record.damage().is_empty() {
                        section.card.warning {
                            h2 { "The file is damaged" }
                            @for line in record.damage() { p { (line) } }
                        }
                    }
                    @if is_film && frames.len() > 1 {
                        (overview(report, &frames, &shots))
                        (alike(&frames))
                    }
                    (all(&frames, &shots, is_film, report.pictures.len()))
                    (made(report))
                }
            }
        }
    };
    page.into_string()
}

/// What is short to say.
fn facts(report: &Report<'_>, shots: &[(f64, f64)]) -> Markup {
    let (record, analysis) = (report.record, &report.record.analysis);
    let [width, height] = analysis.processing_resolution;
    let fact = |value: String, name: &str| html! { div { dd { (value) } dt { (name) } } };
    let many = |n: usize, one: &'static str, more: &'static str| if n == 1 { one } else { more };
    html! {
        dl.facts {
            @if !record.shots.is_empty() {
                (fact(clock(record.seconds), "long"))
                (fact(shots.len().to_string(), many(shots.len(), "shot", "shots")))
            }
            (fact(record.frames().to_string(), many(record.frames(), "frame looked at", "frames looked at")))
            (fact(record.clusters.count.to_string(), many(record.clusters.count, "look", "different looks")))
            (fact(format!("{width} × {height}"), "pixels"))
            @if let Some(fps) = analysis.source_fps {
                (fact(format!("{:.2}", fps), "frames a second"))
            }
        }
    }
}

/// The whole film at one glance.
fn overview(report: &Report<'_>, frames: &[Shown<'_>], shots: &[(f64, f64)]) -> Markup {
    let seconds = report.record.seconds;
    let vectors = report.record.analysis.frame_embeddings.as_deref().unwrap_or_default();
    let details = report.record.analysis.frame_details.as_deref().unwrap_or_default();
    let pairs = vectors.windows(2).zip(details.iter().skip(1));
    let likenesses: Vec<(f64, f64)> = pairs
        .filter_map(|(two, frame)| Some((frame.timestamp, vectors::cosine(&two[0], &two[1])?)))
        .collect();
    html! {
        section.card aria-labelledby="overview" {
            h2 #overview { "The film at a glance" }
            p.hint { "Above its shots; below, frames that look alike have one colour. Each leads to its pictures." }
            (drawing::timeline(shots, frames, seconds))
            div.axis aria-hidden="true" {
                span { (clock(0.0)) } span { (clock(seconds / 2.0)) } span { (clock(seconds)) }
            }
            h3 { "Likeness of each frame to the one before" }
            div.graph {
                div.scale aria-hidden="true" { span { "1" } span { "0.5" } span { "0" } }
                (drawing::curve(&likenesses, seconds))
            }
        }
    }
}

/// Frames that look alike, the looks that most frames have first.
fn alike(frames: &[Shown<'_>]) -> Markup {
    let count = frames.iter().map(|frame| frame.cluster + 1).max().unwrap_or(0);
    let mut groups: Vec<Vec<&Shown<'_>>> = vec![Vec::new(); count];
    frames.iter().for_each(|frame| groups[frame.cluster].push(frame));
    groups.retain(|group| group.len() > 1);
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let more = groups.len().saturating_sub(MOST_GROUPS);
    html! {
        @if !groups.is_empty() {
            section.card aria-labelledby="alike" {
                h2 #alike { "Frames that look alike" }
                p.hint { "Grouped by what the network saw in them, whenever they are shown." }
                @for group in groups.iter().take(MOST_GROUPS) {
                    div.group {
                        h3 { (drawing::swatch(group[0].cluster)) "Look " (letter(group[0].cluster))
                            span.hint { " " (group.len()) " frames" } }
                        div.row {
                            @for frame in spread(group) {
                                a.small href={ "#frame-" (frame.index) } {
                                    img src=(data(frame.picture)) alt={ "Frame at " (clock(frame.seconds)) } loading="lazy";
                                    span { (clock(frame.seconds)) }
                                }
                            }
                        }
                    }
                }
                @if more > 0 { p.hint { "And " (more) " more, with their letters beside the frames below." } }
            }
        }
    }
}

/// As many as have pictures, evenly.
fn spread<'a, 'b>(group: &[&'a Shown<'b>]) -> Vec<&'a Shown<'b>> {
    let most = group.len().min(MOST_OF_A_GROUP);
    (0..most).map(|k| group[k * group.len() / most]).collect()
}

/// All frames that are shown, shot by shot.
fn all(frames: &[Shown<'_>], shots: &[(f64, f64)], is_film: bool, looked: usize) -> Markup {
    html! {
        section #frames aria-labelledby="shots" {
            h2 #shots { @if is_film { "Shot by shot" } @else { "The picture" } }
            @if frames.len() < looked {
                p.hint { "Of " (looked) " frames " (frames.len()) " are shown, evenly over the film." }
            }
            @for (number, (from, to)) in (1..).zip(shots) {
                @let last = number == shots.len();
                @let within = frames.iter().filter(|f| f.seconds >= *from && (last || f.seconds < *to));
                @let within: Vec<_> = within.collect();
                div.of-shot #{ "shot-" (number) } {
                    @if is_film {
                        h3 { "Shot " (number) span.hint { " " (clock(*from)) " – " (clock(*to)) } }
                    }
                    @if within.is_empty() { p.hint { "No frame of it was looked at: more frames a second would show it." } }
                    div.grid {
                        @for frame in within {
                            figure #{ "frame-" (frame.index) } tabindex="0" {
                                img src=(data(frame.picture)) alt={ "Frame at " (clock(frame.seconds)) } loading="lazy";
                                figcaption {
                                    span { (clock(frame.seconds)) }
                                    @if is_film {
                                        span.look { (drawing::swatch(frame.cluster)) (letter(frame.cluster)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What made what.
fn made(report: &Report<'_>) -> Markup {
    let record = report.record;
    let made = &record.analysis.models.level1_global;
    let row = |name: &str, value: &str| html! { tr { th scope="row" { (name) } td { (value) } } };
    html! {
        section.card aria-labelledby="made" {
            h2 #made { "What made this" }
            table {
                (row("Network", &made.model))
                (row("Weights", &made.revision))
                (row("Vector of a frame", made.method))
                (row("Width of a vector", &record.analysis.embedding_dim.to_string()))
                (row("Vector of the film", record.analysis.clip_embedding_method))
                @if !record.shots.is_empty() { (row("Shots", crate::record::SHOTS)) }
                (row("Frames that look alike", &record.clusters.method))
                (row("Analysis", &record.analysis.video_id))
            }
        }
    }
}

fn data(picture: &[u8]) -> String {
    format!("data:image/jpeg;base64,{}", STANDARD.encode(picture))
}
