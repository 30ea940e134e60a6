//! `parallax inspect`: streams, layout and measured parallax of a file.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use parallax_conversion::{Guess, Inspect, Inspection, inspect};
use parallax_media::{Media, StereoMode, Stream, StreamKind, Tools};
use parallax_stereo::{Layout, Matches};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Percent of the width in one bar of the histogram.
const BAR: f32 = 0.25;
/// Characters of the longest bar.
const LONGEST_BAR: f64 = 40.0;

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The file.
    input: PathBuf,

    /// Frames to measure, evenly over the film; 0 measures nothing.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(0..=1000))]
    frames: u32,

    /// What the layout is, where the file does not say it or is wrong.
    #[arg(long)]
    layout: Option<Layout>,

    /// Write the report as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(args: &InspectArgs) -> ExitCode {
    match run(args) {
        Ok(report) if args.json => println!("{:#}", to_json(&report)),
        Ok(report) => print!("{}", to_text(&report)),
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run(args: &InspectArgs) -> Result<Inspection> {
    let tools = Tools::find()?;
    let what = Inspect { frames: args.frames as usize, layout: args.layout };
    Ok(inspect(&tools, &args.input, what, &CancellationToken::new())?)
}

fn kind(stream: &Stream) -> &'static str {
    match stream.kind {
        StreamKind::Video => "video",
        StreamKind::AttachedPicture => "picture",
        StreamKind::Audio => "audio",
        StreamKind::Subtitle => "subtitle",
        StreamKind::Attachment => "attachment",
        StreamKind::Other => "other",
    }
}

fn packing(mode: StereoMode) -> &'static str {
    match mode {
        StereoMode::SideBySide => "side by side",
        StereoMode::SideBySideRightFirst => "side by side, right eye first",
        StereoMode::TopBottom => "top and bottom",
    }
}

/// A share of the histogram: from, to, in percent of the width, and the share of all blocks.
fn histogram(matches: &Matches) -> Vec<(f32, f32, f64)> {
    let bar = |parallax: f32| (parallax / BAR).floor() as i32;
    let (Some(low), Some(high)) = (matches.percentile(0.0), matches.percentile(1.0)) else {
        return Vec::new();
    };
    let bars = (bar(low)..=bar(high)).map(|n| {
        let count = matches.parallax.iter().filter(|p| bar(**p) == n).count();
        (n as f32 * BAR, (n + 1) as f32 * BAR, count as f64 / matches.parallax.len() as f64)
    });
    bars.collect()
}

/// A name out of a file, for one line.
fn colours(media: &Media) -> String {
    let colour = &media.video.format.colour;
    let name = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let range = match colour.range {
        Some(parallax_frame::Range::Full) => "full",
        Some(parallax_frame::Range::Limited) => "limited",
        None => "-",
    };
    let (primaries, transfer) = (name(&colour.primaries), name(&colour.transfer));
    format!("{range}/{}/{primaries}/{transfer}", name(&colour.matrix))
}

fn layout_name(layout: Option<Layout>) -> String {
    layout.map_or_else(|| "none".to_owned(), |layout| layout.to_string())
}

fn looks(guess: Guess) -> String {
    match (guess.layout, guess.sure) {
        (Some(layout), true) => layout.to_string(),
        (Some(layout), false) => format!("perhaps {layout} (say so with --layout)"),
        (None, true) => "one flat picture".to_owned(),
        (None, false) => "nothing that can be told".to_owned(),
    }
}

fn to_text(report: &Inspection) -> String {
    use std::fmt::Write as _;
    let (media, video) = (&report.media, &report.media.video);
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    let seconds = media.duration_seconds.map_or("?".to_owned(), |s| format!("{s:.3}"));
    let megabytes = media.bytes as f64 / 1e6;
    line(format!("{}: {}, {megabytes:.1} MB, {seconds} s", media.path.display(), media.container));
    for stream in &media.streams {
        let language = stream.language.as_deref().unwrap_or("");
        line(format!("  {:>2} {:<10} {} {language}", stream.index, kind(stream), stream.codec));
    }
    let format = &video.format;
    line(format!(
        "pictures: {} of {}x{} (samples {}:{}), {:.3} per second, {}, {}",
        report.frames,
        format.width,
        format.height,
        video.sample_aspect.0,
        video.sample_aspect.1,
        video.rate.fps(),
        video.pixel_name,
        colours(media)
    ));
    if video.rotation != 0 {
        line(format!("          turned by {} degrees, shown upright here", video.rotation));
    }
    if let Some(order) = &video.field_order {
        line(format!("          interlaced ({order})"));
    }
    for kind in &video.dynamic_hdr {
        line(format!("          {}", kind.name()));
    }
    let mode = |mode: Option<StereoMode>| mode.map_or("nothing", packing);
    line(format!("layout:   {}", layout_name(report.layout)));
    line(format!(
        "          the {} says {}{}; its name: {}; pictures look like: {}",
        if report.stream.is_some() { "stream" } else { "file" },
        mode(report.container.stereo.or(report.stream)),
        if report.container.half_sphere { ", part of a sphere" } else { "" },
        layout_name(report.named),
        looks(report.guessed)
    ));
    let Some(matches) = &report.matches else {
        line("parallax: there are no two eyes to compare".to_owned());
        return out;
    };
    let limits = matches.percentile(0.01).zip(matches.percentile(0.99));
    let Some((low, high)) = limits else {
        line("parallax: nothing in the pictures can be matched".to_owned());
        return out;
    };
    line(format!(
        "parallax: {} blocks of {} frames, in percent of the width; minus is in front of the screen",
        matches.parallax.len(),
        report.moments.len()
    ));
    line(format!("          crossed limit   {low:+.2} (1st percentile)"));
    line(format!("          uncrossed limit {high:+.2} (99th percentile)"));
    if let Some(occluded) = report.occluded {
        line(format!("          seen by the left eye only: {:.1} %", occluded * 100.0));
    }
    let bars = histogram(matches);
    let most = bars.iter().map(|bar| bar.2).fold(f64::MIN_POSITIVE, f64::max);
    // A stray match or two would stretch the page.
    let counts = |bar: &(f32, f32, f64)| bar.2 >= 0.0005;
    let first = bars.iter().position(counts).unwrap_or(0);
    let last = bars.iter().rposition(counts).unwrap_or(0);
    for (from, to, share) in bars.into_iter().take(last + 1).skip(first) {
        let bar = "#".repeat((share / most * LONGEST_BAR).round() as usize);
        line(format!("          {from:+6.2} to {to:+6.2} {:5.1} % {bar}", share * 100.0));
    }
    out
}

fn to_json(report: &Inspection) -> Value {
    let (media, video) = (&report.media, &report.media.video);
    let streams = media.streams.iter().map(|stream| {
        let Stream { index, codec, language, .. } = stream;
        json!({ "index": index, "kind": kind(stream), "codec": codec, "language": language })
    });
    let name = |layout: Option<Layout>| layout.map(|layout| layout.to_string());
    let parallax = report.matches.as_ref().map(|matches| {
        let bars = histogram(matches).into_iter().map(
            |(from, to, share)| json!({ "from_percent": from, "to_percent": to, "share": share }),
        );
        json!({
            "frames": report.moments.len(),
            "blocks": matches.parallax.len(),
            "ambiguous_blocks": matches.ambiguous,
            "crossed_limit_percent": matches.percentile(0.01),
            "median_percent": matches.percentile(0.5),
            "uncrossed_limit_percent": matches.percentile(0.99),
            "occlusion_share": report.occluded,
            "histogram": bars.collect::<Vec<_>>(),
        })
    });
    let colour = &video.format.colour;
    json!({
        "file": media.path,
        "container": media.container,
        "bytes": media.bytes,
        "seconds": media.duration_seconds,
        "streams": streams.collect::<Vec<_>>(),
        "video": {
            "codec": video.codec,
            "frames": report.frames,
            "width": video.format.width,
            "height": video.format.height,
            "sample_aspect": [video.sample_aspect.0, video.sample_aspect.1],
            "frames_per_second": video.rate.fps(),
            "pixel_format": video.pixel_name,
            "matrix": colour.matrix,
            "primaries": colour.primaries,
            "transfer": colour.transfer,
            "rotation": video.rotation,
            "field_order": video.field_order,
            "dynamic_hdr": video.dynamic_hdr.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
        },
        "layout": {
            "container": report.container.stereo.map(packing),
            "half_sphere": report.container.half_sphere,
            "stream": report.stream.map(packing),
            "declared": name(report.declared),
            "named": name(report.named),
            "guessed": name(report.guessed.layout.filter(|_| report.guessed.sure)),
            "perhaps": name(report.guessed.layout.filter(|_| !report.guessed.sure)),
            "sure": report.guessed.sure,
            "used": name(report.layout),
        },
        "parallax": parallax,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_covers_every_block_once() {
        let parallax = vec![-0.3, -0.25, 0.0, 0.1, 0.24, 0.26, 1.0];
        let bars = histogram(&Matches { parallax, ..Matches::default() });
        assert_eq!(bars.first().map(|bar| bar.0), Some(-0.5));
        assert_eq!(bars.last().map(|bar| (bar.0, bar.1)), Some((1.0, 1.25)));
        assert!((bars.iter().map(|bar| bar.2).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!((bars[2].2 - 3.0 / 7.0).abs() < 1e-9, "{bars:?}");
        assert!(histogram(&Matches::default()).is_empty());
    }
}
