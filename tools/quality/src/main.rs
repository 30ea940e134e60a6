//! `parallax-quality`: right eyes against the true ones, as a page with pictures.

mod chain;
mod metrics;
mod network;
mod page;
mod pictures;
mod study;
mod truth;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use parallax_frame::Frame;
use parallax_stereo::{Fill, Warping};

use chain::{Chain, Outcome};
use page::Part;
use study::{Depth, Way, depths, study};
use truth::{Moment, Sight, TAKES};

/// Measures every engine and mode that needs no weights on films whose right eye is known, and writes a
/// page about it, with pictures in the folder `quality` beside it.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// The page.
    #[arg(default_value = "docs/quality.md")]
    out: PathBuf,
    /// Frames of each film.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(2..=240))]
    frames: u32,
}

/// Size of the films.
const SIZE: (u32, u32) = (480, 270);

/// The ways that are measured, whether a cut of them is shown, and their names.
const WAYS: [(Depth, Warping, Fill, bool, &str); 10] = [
    (Depth::True, Warping::Surface, Fill::Black, false, "true depth, black"),
    (Depth::True, Warping::Surface, Fill::Stretch, true, "true depth, stretch"),
    (Depth::True, Warping::Surface, Fill::Mirror, true, "true depth, mirror"),
    (Depth::True, Warping::Surface, Fill::Continue, true, "true depth, continue (default)"),
    (Depth::True, Warping::Surface, Fill::Smooth, true, "true depth, smooth"),
    (Depth::True, Warping::Surface, Fill::Temporal, true, "true depth, temporal"),
    (Depth::True, Warping::Reference, Fill::Black, false, "true depth, reference warp, black"),
    (
        Depth::True,
        Warping::Reference,
        Fill::Continue,
        false,
        "true depth, reference warp, continue",
    ),
    (Depth::Draft, Warping::Surface, Fill::Continue, false, "draft, continue"),
    (Depth::None, Warping::Surface, Fill::Continue, false, "copy"),
];

/// Films on which the steps from a network's planes to disparity are measured.
const THROUGH_STEPS: [usize; 4] = [0, 1, 3, 6];

fn main() -> Result<()> {
    let args = Args::parse();
    let folder = args.out.with_file_name("quality");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let mut parts = Vec::new();
    let mut chains: Vec<(Chain, Vec<Outcome>)> =
        chain::chains().into_iter().map(|chain| (chain, Vec::new())).collect();
    for (number, take) in TAKES.into_iter().enumerate() {
        let film = truth::film(take, SIZE, args.frames);
        if THROUGH_STEPS.contains(&number) {
            for (chain, outcomes) in &mut chains {
                outcomes.push(chain::measure(&film, chain)?);
            }
        }
        let shown = film.len() * 2 / 3;
        let (mut rows, mut cuts, mut names) =
            (Vec::new(), vec![film[shown].right.clone()], vec!["The true right eye".to_owned()]);
        for (depth, warping, fill, show, name) in WAYS {
            let (rights, scores) = study(&film, Way { depth, warping, fill })?;
            if show {
                cuts.push(rights[shown].clone());
                names.push(name.trim_start_matches("true depth, ").to_owned());
            }
            rows.push((name.to_owned(), scores));
        }
        let [holes, grey] = page::pictures(take).map(|name| folder.join(name));
        let at = pictures::busiest(&film[shown].sights, SIZE.0 as usize);
        pictures::cuts(&holes, &cuts.iter().collect::<Vec<&Frame>>(), at)?;
        let draft = depths(&film, Depth::Draft)?.unwrap_or_default();
        pictures::depths(&grey, &[&film[shown].depth, &draft[shown]])?;
        parts.push(Part { take, rows, cuts: names, hidden_percent: hidden_percent(&film) });
    }
    fs::write(&args.out, page::page(&parts, &chains, SIZE, args.frames))
        .with_context(|| format!("write {}", args.out.display()))?;
    println!("{} is written", args.out.display());
    Ok(())
}

fn hidden_percent(film: &[Moment]) -> f64 {
    let all = film.iter().flat_map(|moment| &moment.sights);
    let hidden = all.clone().filter(|sight| **sight == Sight::Hidden).count();
    hidden as f64 / all.count().max(1) as f64 * 100.0
}
