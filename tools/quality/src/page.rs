//! The page: what was measured, in tables.

use std::fmt::Write;

use parallax_scene::{Camera, Scene};

use crate::chain::{Chain, Outcome};
use crate::network::{SINGLE, VIDEO};
use crate::study::Scores;
use crate::truth::{STEREO, Take};

/// One film's part of the page.
pub(crate) struct Part {
    pub(crate) take: Take,
    /// The name of each way, and its scores.
    pub(crate) rows: Vec<(String, Scores)>,
    /// What the cuts show, in their order.
    pub(crate) cuts: Vec<String>,
    /// Share of the right eye in which the left one sees something nearer, in percent.
    pub(crate) hidden_percent: f64,
}

/// Names of the pictures of a film: cuts and depth.
pub(crate) fn pictures(take: Take) -> [String; 2] {
    let camera = match take.camera {
        Camera::Truck => "truck",
        Camera::Tripod => "tripod",
    };
    let soft = if take.soft { "-soft" } else { "" };
    ["holes", "depth"].map(|what| format!("{}-{camera}{soft}-{what}.png", take.scene.name()))
}

fn title(take: Take) -> String {
    let scene = match take.scene {
        Scene::Square => "A square",
        Scene::Grove => "A grove",
        Scene::Gallery => "A gallery",
    };
    let camera = match take.camera {
        Camera::Truck => "a moving camera",
        Camera::Tripod => "a camera at rest",
    };
    let lens = if take.soft { " with a soft lens" } else { "" };
    format!("{scene}, {camera}{lens}")
}

fn words(scene: Scene) -> &'static str {
    match scene {
        Scene::Square => "Pillars under clouds; two balls move before them.",
        Scene::Grove => {
            "Thin trunks at many depths before a striped wall; a ball moves among them."
        }
        Scene::Gallery => "Boxes and balls close before each other, strongly patterned.",
    }
}

const HEAD: &str = "\
# Quality on known truth

Written by `make quality`; do not edit. The scene renderer (`tools/scene`) draws both eyes of a film and
its depth, so the right eye that should come out is known. The same command gives the same numbers.

- **Seen** is what both eyes see, **hidden** what the right eye alone sees, behind something that is nearer
  to the left one; the truth of that comes from the depth of both eyes, at pixel centres. Pixels in which
  two surfaces mix count as one or the other. The **rim** is what is seen within two pixels of what is
  hidden. What lies beyond the border of the left picture counts only for the mask: nobody can know it.
- PSNR (dB) and SSIM of luma against the true right eye, over all frames. Every fill but `black` also fills
  the samples beside holes in which foreground and background mix and lets the edge before a hole fade into
  it; all else that is seen is the warp's.
- Precision and recall of the occlusion mask, at a half: those of the warp.
- Flicker: mean change of the error from frame to frame, in code values of 8 bits. It is 0 for a picture
  that changes exactly as the truth does.
- Correlation (Pearson) of depth with the true one, mean over frames.

`draft` guesses depth, so its right eye is another view than the true one: its numbers say how far off,
and what it makes may look right all the same. `copy` shows the left eye: what doing nothing scores.
`stereocrafter` needs weights that the project does not have, and is not here.
";

pub(crate) fn page(
    parts: &[Part],
    chains: &[(Chain, Vec<Outcome>)],
    (width, height): (u32, u32),
    frames: u32,
) -> String {
    let mut out = HEAD.to_owned();
    let (range, convergence) = (STEREO.disparity_percent, STEREO.convergence);
    let _ = writeln!(
        out,
        "\nFilms of {frames} frames of {width}x{height}; parallax of {range} % of the width from far to \
         near, convergence {convergence}."
    );
    let _ = writeln!(out, "\n## All films\n\nMeans of the tables below.\n");
    let rows: Vec<Vec<(String, Scores)>> = parts.iter().map(|part| part.rows.clone()).collect();
    table(&mut out, &means(&rows));
    out.push_str(&steps(chains));
    for part in parts {
        let _ = writeln!(
            out,
            "\n## {}\n\n{} {:.2} % of the right eye is hidden from the left.\n",
            title(part.take),
            words(part.take.scene),
            part.hidden_percent
        );
        table(&mut out, &part.rows);
        let [cuts, depth] = pictures(part.take);
        let _ = writeln!(
            out,
            "\nIn rows: {}:\n\n![cuts](quality/{cuts})\n\nDepth, true and by `draft`:\n\n\
             ![depth](quality/{depth})",
            part.cuts.join(", ")
        );
    }
    out
}

/// What the steps from a network's planes to disparity are good for.
fn steps(chains: &[(Chain, Vec<Outcome>)]) -> String {
    let films = chains.first().map_or(0, |(_, outcomes)| outcomes.len());
    let [noise, video] = [SINGLE, VIDEO].map(|faults| 100.0 * faults.noise);
    let (scale, shift) = (100.0 * SINGLE.scale, 100.0 * SINGLE.shift);
    let mut out = format!(
        "
## From a network's planes to disparity

True depth at 0.35 of the film's width and height, softened, with noise of {noise:.1} % of the range, and with
another scale (up to {scale:.0} % off) and shift (up to {shift:.0} % of the range) for every frame: what networks
that see one frame at a time are like. The planes of a video network have noise of {video:.1} % and one scale and
shift. They pass the steps of `SteadyDepth`, all of them or all but one, and what comes out is brought onto the
true depth by one scale and one shift for a whole film. Means of {films} films below; right eyes as by default.

- Error: mean absolute error of depth, in percent of its range. Depth flicker: mean change of that error from
  frame to frame. Spreading nearness over mixed pixels is an error here that pays in the right eye.
- Edges: F1 score, within two pixels, of where depth steps by a pixel of disparity or more.

| | PSNR seen | PSNR rim | PSNR hidden | SSIM seen | flicker seen | error | depth flicker | edges |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"
    );
    for (chain, outcomes) in chains {
        let Outcome { right, error, flicker, edges } = Outcome::mean(outcomes);
        let cells = [
            (right.psnr_seen, 1),
            (right.psnr_rim, 1),
            (right.psnr_hidden, 1),
            (right.ssim_seen, 4),
            (right.flicker_seen, 2),
            (error.value(), 2),
            (flicker.value(), 2),
            (edges.value(), 3),
        ]
        .map(|(score, digits)| value(score, digits));
        let _ = writeln!(out, "| {} | {} |", chain.name, cells.join(" | "));
    }
    out
}

/// A number of a table.
fn value(score: Option<f64>, digits: usize) -> String {
    score.map_or("-".to_owned(), |score| format!("{score:.digits$}"))
}

/// The mean scores of each way over several films, which were measured in the same ways.
fn means(films: &[Vec<(String, Scores)>]) -> Vec<(String, Scores)> {
    let ways = films.first().map_or(&[][..], Vec::as_slice).iter().enumerate();
    ways.map(|(i, (name, _))| {
        let scores: Vec<Scores> = films.iter().map(|rows| rows[i].1).collect();
        (name.clone(), Scores::mean(&scores))
    })
    .collect()
}

fn table(out: &mut String, rows: &[(String, Scores)]) {
    out.push_str(
        "| | PSNR seen | PSNR rim | PSNR hidden | SSIM seen | SSIM rim | SSIM hidden | precision \
         | recall | flicker seen | flicker hidden | correlation |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (way, s) in rows {
        let cells = [
            way.clone(),
            value(s.psnr_seen, 1),
            value(s.psnr_rim, 1),
            value(s.psnr_hidden, 1),
            value(s.ssim_seen, 4),
            value(s.ssim_rim, 3),
            value(s.ssim_hidden, 3),
            value(s.precision, 3),
            value(s.recall, 3),
            value(s.flicker_seen, 2),
            value(s.flicker_hidden, 2),
            value(s.correlation, 3),
        ];
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
}
