//! Options of `parallax convert` that say where depth stands, and what shots came to.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Result, ensure};
use clap::Args;
use parallax_stereo::{Comfort, Geometry, ShotReport, Staging};

/// Where depth stands relative to the screen.
#[derive(Debug, Args)]
pub(crate) struct StagingArgs {
    /// Strength: the range of parallax from far to near, in percent of the picture's width (`2`, `2%`)
    /// or in pixels of the source (`40px`); 0 to 10 percent.
    #[arg(long, default_value = "2%", value_name = "RANGE")]
    disparity: Disparity,

    /// The depth that appears at the screen: 0 puts the farthest there, 1 the nearest. `auto` settles it
    /// for each shot: a third of its range in front.
    #[arg(long, default_value = "0.5", value_name = "DEPTH|auto")]
    convergence: Convergence,

    /// Limit parallax in front of and behind the screen, in percent of the width. Without values 1,2,
    /// as for large televisions; what comes near a limit is compressed, never cut.
    #[arg(long, value_name = "FRONT,BEHIND", num_args = 0..=1, require_equals = true,
        default_missing_value = "1,2")]
    comfort: Option<Limits>,

    /// Lay black bars over the sides where something in front of the screen is cut by the picture's
    /// edge.
    #[arg(long)]
    floating_window: bool,
}

impl StagingArgs {
    /// What is decided shot by shot.
    pub(crate) fn staging(&self) -> Staging {
        Staging {
            auto_convergence: self.convergence == Convergence::Auto,
            comfort: self.comfort.map(|limits| limits.0),
            floating_window: self.floating_window,
        }
    }

    /// The geometry for pictures of `width_px`.
    ///
    /// # Errors
    /// When pixels amount to more than is allowed.
    pub(crate) fn geometry(&self, width_px: u32) -> Result<Geometry> {
        let convergence = match self.convergence {
            Convergence::Depth(depth) => depth,
            Convergence::Auto => Geometry::default().convergence,
        };
        Ok(Geometry { disparity_percent: self.disparity.percent(width_px)?, convergence })
    }
}

/// A range of parallax.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Disparity {
    Percent(f32),
    Pixels(f32),
}

/// The largest range, in percent.
const MOST: f32 = 10.0;

impl Disparity {
    /// The range for pictures of `width_px`, in percent of that.
    ///
    /// # Errors
    /// When pixels amount to more than is allowed.
    pub(crate) fn percent(self, width_px: u32) -> Result<f32> {
        let percent = match self {
            Disparity::Percent(percent) => percent,
            Disparity::Pixels(px) => {
                let percent = px / width_px as f32 * 100.0;
                ensure!(
                    percent <= MOST,
                    "--disparity {px}px: {percent:.1} percent of a picture {width_px} pixels wide; \
                     allowed are 0 to {MOST} percent, here {:.0}px",
                    (width_px as f32 * MOST / 100.0).floor()
                );
                percent
            }
        };
        Ok(percent)
    }
}

impl FromStr for Disparity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(pixels) = text.strip_suffix("px") {
            return match pixels.trim_end().parse::<f32>() {
                Ok(px) if px >= 0.0 && px.is_finite() => Ok(Self::Pixels(px)),
                _ => Err("allowed are pixels from 0px".to_owned()),
            };
        }
        let percent = text.strip_suffix('%').unwrap_or(text).trim_end();
        in_range(percent, 0.0, MOST)
            .map(Self::Percent)
            .map_err(|_| format!("allowed are 0% to {MOST}%, or pixels, as in 40px"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Convergence {
    Depth(f32),
    Auto,
}

impl FromStr for Convergence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        parse_depth(text).map(Self::Depth).map_err(|allowed| format!("{allowed}, or auto"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Limits(Comfort);

impl FromStr for Limits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let limits = text.split_once(',').ok_or("allowed are two limits, as in 1,2")?;
        let limit = |text: &str| in_range(text.trim(), 0.0, MOST);
        Ok(Self(Comfort { front_percent: limit(limits.0)?, behind_percent: limit(limits.1)? }))
    }
}

/// A depth from 0, the farthest, to 1.
pub(crate) fn parse_depth(text: &str) -> Result<f32, String> {
    in_range(text, 0.0, 1.0)
}

fn in_range(text: &str, least: f32, most: f32) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(format!("allowed are {least} to {most}")),
    }
}

/// Shots that were measured, by segment and first frame.
#[derive(Debug, Default)]
pub(crate) struct Shots(BTreeMap<(u32, u64), ShotReport>);

/// Shots that a person is told of one by one.
const MOST_LINES: usize = 12;

impl Shots {
    /// Takes a shot of a segment; one that was done again replaces the first.
    pub(crate) fn add(&mut self, segment: u32, shot: &ShotReport) {
        self.0.insert((segment, shot.first_frame), *shot);
    }

    /// The widest 1st and 99th percentile of all shots; `None` when none was measured.
    pub(crate) fn widest(&self) -> Option<(f32, f32)> {
        let ranges = self.0.values().map(|shot| shot.parallax_percent);
        ranges.reduce(|(near, far), (n, f)| (near.min(n), far.max(f)))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// What a person is told in the end.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Some(widest) = self.widest() else { return Vec::new() };
        let mut lines = Vec::new();
        if self.count() > 1 {
            for ((segment, first), shot) in self.0.iter().take(MOST_LINES) {
                let last = first + shot.frames - 1;
                let range = range(shot.parallax_percent);
                lines.push(format!("  segment {segment}, frames {first} to {last}: {range}"));
            }
            if self.count() > MOST_LINES {
                lines.push(format!("  and {} more; --json tells all", self.count() - MOST_LINES));
            }
        }
        let limits = Comfort::default();
        let (front, behind) = (limits.front_percent, limits.behind_percent);
        let beyond = |shot: &&ShotReport| {
            // A hundredth is what is measured.
            let (near, far) = shot.parallax_percent;
            -near > front + 0.01 || far > behind + 0.01
        };
        let beyond = self.0.values().filter(beyond).count();
        let shots = if self.count() == 1 { "shot" } else { "shots" };
        lines.insert(0, format!("parallax of {} {shots}: {}", self.count(), range(widest)));
        if beyond > 0 {
            lines.push(format!(
                "  {beyond} of them beyond {front} % in front or {behind} % behind; --comfort limits it"
            ));
        }
        lines
    }
}

fn range((near, far): (f32, f32)) -> String {
    let place = |percent: f32| {
        let side = if percent < 0.0 { "in front of" } else { "behind" };
        format!("{:.2} % {side} the screen", percent.abs())
    };
    format!("{} to {}", place(near), place(far))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disparity_is_percent_or_pixels_of_the_picture() {
        let percent = |text: &str| text.parse::<Disparity>().unwrap().percent(1280);
        assert_eq!(percent("2").unwrap(), 2.0);
        assert_eq!(percent("2.5%").unwrap(), 2.5);
        assert_eq!(percent("64px").unwrap(), 5.0);
        let error = percent("400px").unwrap_err().to_string();
        assert!(error.contains("31.2 percent") && error.contains("128px"), "{error}");
    }

    #[test]
    fn limits_come_in_twos() {
        let limits: Limits = "0.5, 3".parse().unwrap();
        assert_eq!((limits.0.front_percent, limits.0.behind_percent), (0.5, 3.0));
        assert!("3".parse::<Limits>().is_err());
        let missing: Limits = "1,2".parse().unwrap();
        assert_eq!(missing.0, Comfort::default());
    }

    #[test]
    fn shots_are_told_with_the_widest_first() {
        let mut shots = Shots::default();
        assert!(shots.lines().is_empty());
        let shot = |first_frame, near, far| ShotReport {
            first_frame,
            frames: 10,
            parallax_percent: (near, far),
        };
        shots.add(0, &shot(0, -0.8, 0.9));
        assert_eq!(
            shots.lines(),
            ["parallax of 1 shot: 0.80 % in front of the screen to 0.90 % behind the screen"]
        );
        shots.add(1, &shot(0, -1.2, 0.4));
        // A segment that was tried again is told once.
        shots.add(1, &shot(0, -1.4, 0.4));
        let lines = shots.lines();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[0].contains("2 shots: 1.40 % in front of the screen to 0.90 %"), "{lines:?}");
        assert!(lines[2].contains("segment 1, frames 0 to 9"), "{lines:?}");
        assert!(lines[3].contains("1 of them beyond 1 % in front"), "{lines:?}");
    }
}
