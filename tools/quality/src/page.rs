//! The page: what was measured, in tables.

use std::fmt::Write;

use parallax_scene::Camera;

use crate::study::Scores;
use crate::truth::STEREO;

/// One film's part of the page.
pub(crate) struct Part {
    pub(crate) camera: Camera,
    /// The name of each way, and its scores.
    pub(crate) rows: Vec<(String, Scores)>,
    /// What the cuts show, in their order.
    pub(crate) cuts: Vec<String>,
    /// Share of the right eye that the left one does not see, in percent.
    pub(crate) hidden_percent: f64,
}

/// Names of the pictures of a film: cuts and depth.
pub(crate) fn pictures(camera: Camera) -> [String; 2] {
    ["holes", "depth"].map(|what| format!("{}-{what}.png", name(camera)))
}

fn name(camera: Camera) -> &'static str {
    match camera {
        Camera::Truck => "truck",
        Camera::Tripod => "tripod",
    }
}

const HEAD: &str = "\
# Quality on known truth

Written by `make quality`; do not edit. The scene renderer (`tools/scene`) draws both eyes of a film and
its depth, so the right eye that should come out is known. The same command gives the same numbers.

- **Seen** is what both eyes see, **hidden** what the right eye alone sees; the truth of that comes from
  the depth of both eyes, at pixel centres. Pixels in which two surfaces mix count as one or the other.
- PSNR (dB) and SSIM of luma against the true right eye, over all frames. Every fill has the same
  pixels outside its holes, so PSNR and precision there are those of the warp.
- Precision and recall of the occlusion mask, at a half.
- Flicker: mean change of the error from frame to frame, in code values of 8 bits. It is 0 for a picture
  that changes exactly as the truth does.
- Correlation (Pearson) of depth with the true one, mean over frames.

`draft` guesses depth, so its right eye is another view than the true one: its numbers say how far off,
and what it makes may look right all the same. `copy` shows the left eye: what doing nothing scores.
`stereocrafter` needs weights that the project does not have, and is not here.
";

pub(crate) fn page(parts: &[Part], (width, height): (u32, u32), frames: u32) -> String {
    let mut out = HEAD.to_owned();
    let (range, convergence) = (STEREO.disparity_percent, STEREO.convergence);
    let _ = writeln!(
        out,
        "\nFilms of {frames} frames of {width}x{height}; parallax of {range} % of the width from far to \
         near, convergence {convergence}."
    );
    for part in parts {
        let (title, words) = match part.camera {
            Camera::Truck => ("A moving camera", "The camera trucks to the side; two balls move."),
            Camera::Tripod => {
                ("A camera at rest", "The same scene from one place; two balls move.")
            }
        };
        let _ = writeln!(
            out,
            "\n## {title}\n\n{words} {:.2} % of the right eye is hidden from the left.\n",
            part.hidden_percent
        );
        out.push_str(
            "| | PSNR seen | PSNR hidden | SSIM seen | SSIM hidden | precision | recall | flicker seen \
             | flicker hidden | correlation |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for (way, s) in &part.rows {
            let value = |v: Option<f64>, digits: usize| {
                v.map_or("-".to_owned(), |v| format!("{v:.digits$}"))
            };
            let cells = [
                way.clone(),
                value(s.psnr_seen, 1),
                value(s.psnr_hidden, 1),
                value(s.ssim_seen, 4),
                value(s.ssim_hidden, 3),
                value(s.precision, 3),
                value(s.recall, 3),
                value(s.flicker_seen, 2),
                value(s.flicker_hidden, 2),
                value(s.correlation, 3),
            ];
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        let [cuts, depth] = pictures(part.camera);
        let _ = writeln!(
            out,
            "\n{}:\n\n![cuts](quality/{cuts})\n\nDepth, true and by `draft`:\n\n\
             ![depth](quality/{depth})",
            part.cuts.join(", ")
        );
    }
    out
}
