//! Clips made from clips by ffmpeg's own filters: more frames in between, and loops.
//!
//! Pictures only. Sound would neither stretch with new frames nor close with a loop.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::child;
use crate::encode::EncodeSettings;
use crate::error::{Error, Kind, Result, show_path};
use crate::media::Media;
use crate::output::Partial;
use crate::probe::probe;
use crate::programs::{Tools, file_url};
use crate::scan::scan;

/// Most frames of a clip that is played backwards: they are all held at once.
const MOST_REVERSED: u64 = 600;

/// How a clip becomes one whose end meets its beginning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LoopStyle {
    /// Forwards, then backwards.
    PingPong,
    /// The end fades into the beginning over this many frames, at least 1.
    Crossfade {
        /// Length of the fade.
        frames: u32,
    },
}

/// A clip to be made from another.
#[derive(Debug, Clone)]
pub struct Effect<'a> {
    /// The ffmpeg programs and the limits on inputs.
    pub tools: &'a Tools,
    /// The clip.
    pub input: &'a Path,
    /// What is made of it (MP4); appears whole or not at all.
    pub output: &'a Path,
    /// Preset, quality and threads of the encoder.
    pub settings: &'a EncodeSettings,
    /// Ends the work.
    pub cancel: &'a CancellationToken,
}

impl Effect<'_> {
    /// Multiplies the frame rate by `factor`, 2 to 8, with frames that follow the motion between their
    /// neighbours. Returns the number of frames made. `progress` is told how many are done.
    ///
    /// # Errors
    /// `Input` when the clip is not readable, has fewer than 2 frames, or the factor is out of range;
    /// `Space`; `Io`; `Tool`; `Cancelled`.
    pub fn interpolate(&self, factor: u32, progress: &mut dyn FnMut(u64)) -> Result<u64> {
        if !(2..=8).contains(&factor) {
            return Err(Error::input(self.input, format!("factor {factor}; allowed are 2 to 8")));
        }
        let (media, frames) = self.look(2)?;
        let rate = media.video.rate;
        let (num, den) = (u64::from(rate.num) * u64::from(factor), rate.den);
        let filter = format!("minterpolate=fps={num}/{den}:mi_mode=mci:mc_mode=aobmc:vsbmc=1");
        let made = self.render(&media, &filter, progress)?;
        // Nothing lies beyond the last frame to move towards.
        let least = (frames - 1) * u64::from(factor) - u64::from(factor);
        if made < least {
            let what = format!("{made} frames were made, not {least} or more");
            return Err(Error::new(Kind::Output, format!("{}: {what}", show_path(self.output))));
        }
        Ok(made)
    }

    /// Makes a clip that can be played over and over without a jump. Returns the number of its frames.
    ///
    /// # Errors
    /// As [`Effect::interpolate`]; `Input` when the clip is too short for the fade or too long to be played
    /// backwards.
    pub fn make_loop(&self, style: LoopStyle, progress: &mut dyn FnMut(u64)) -> Result<u64> {
        let (media, frames) = self.look(3)?;
        let rate = media.video.rate;
        let (filter, expected) = match style {
            LoopStyle::PingPong if frames > MOST_REVERSED => {
                let what = format!("{frames} frames; at most {MOST_REVERSED} are played backwards");
                return Err(Error::input(self.input, what));
            }
            LoopStyle::PingPong => {
                // The turning points are shown once each.
                let back = format!("[b]reverse,trim=start_frame=1:end_frame={}", frames - 1);
                let filter = format!("split[a][b];{back},setpts=PTS-STARTPTS[c];[a][c]concat=n=2");
                (filter, 2 * frames - 2)
            }
            LoopStyle::Crossfade { frames: fade } => {
                let fade = u64::from(fade);
                if fade == 0 || fade * 2 > frames {
                    let most = frames / 2;
                    let what = format!("a fade of {fade} frames; allowed are 1 to {most}");
                    return Err(Error::input(self.input, what));
                }
                // The body begins where the faded beginning ends, so the last frame leads to the first.
                let head = format!("[a]trim=end_frame={fade},setpts=PTS-STARTPTS[head]");
                let tail_start = frames - fade;
                let body = format!(
                    "[b]trim=start_frame={fade}:end_frame={tail_start},setpts=PTS-STARTPTS[body]"
                );
                let tail = format!("[c]trim=start_frame={tail_start},setpts=PTS-STARTPTS[tail]");
                // By time: whether the number of the first frame is 0 or 1 depends on the version.
                let step = format!("(T*{}/{}+1)/{}", rate.num, rate.den, fade + 1);
                let weight = format!("A*(1-{step})+B*{step}");
                let mix = format!("[tail][head]blend=all_expr='{weight}'[mix]");
                let join = match frames == 2 * fade {
                    true => "[body]nullsink;[mix]null".to_owned(),
                    false => "[body][mix]concat=n=2".to_owned(),
                };
                (format!("split=3[a][b][c];{head};{body};{tail};{mix};{join}"), frames - fade)
            }
        };
        // A constant rate, so that frames can be counted on either side of a join.
        let filter = format!("fps={}/{},{filter}", rate.num, rate.den);
        let made = self.render(&media, &filter, progress)?;
        // Rounding to a constant rate may add or drop a frame.
        if made.abs_diff(expected) > 1 {
            let what = format!("{made} frames were made, not {expected}");
            return Err(Error::new(Kind::Output, format!("{}: {what}", show_path(self.output))));
        }
        Ok(made)
    }

    fn look(&self, least: u64) -> Result<(Media, u64)> {
        let media = probe(self.tools, self.input, self.cancel)?;
        let frames = scan(self.tools, &media, self.cancel)?.shown();
        if frames < least {
            return Err(Error::input(
                self.input,
                format!("{frames} frames; at least {least} are needed"),
            ));
        }
        Ok((media, frames))
    }

    fn render(&self, media: &Media, filter: &str, progress: &mut dyn FnMut(u64)) -> Result<u64> {
        let Self { tools, output, settings, cancel, .. } = *self;
        let partial = Partial::create(output)?;
        let mut command = tools.ffmpeg();
        command.args(["-progress", "pipe:1"]);
        tools.guard(&mut command);
        command.arg("-i").arg(file_url(&media.path));
        let stream = media.video.index;
        command.args(["-filter_complex", &format!("[0:{stream}]{filter}[out]"), "-map", "[out]"]);
        command.args(["-map_metadata", "-1", "-c:v", "libx264", "-pix_fmt", "yuv420p"]);
        command.args(["-preset", &settings.preset, "-crf", &settings.crf.to_string()]);
        command.args(["-threads", &settings.threads.to_string(), "-f", "mp4"]);
        command.arg(file_url(partial.path()));
        let doing = format!("make {}", show_path(output));
        let ended = child::run(&mut command, cancel, None, |line| {
            if let Some(frame) = line.strip_prefix("frame=").and_then(|n| n.trim().parse().ok()) {
                progress(frame);
            }
            Ok(())
        })?;
        ended.check(&doing, Kind::Input)?;
        let made = probe(tools, partial.path(), cancel).and_then(|made| scan(tools, &made, cancel));
        let made = made.map_err(Error::of_own_file)?.shown();
        partial.finish()?;
        Ok(made)
    }
}
