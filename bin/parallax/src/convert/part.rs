//! Which part of the film is converted, how many of its frames, and how large the result is.

use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use clap::Args;
use parallax_frame::{FrameRate, VideoFormat};
use parallax_media::{Excerpt, Media, Packets, Scaled, show_path};
use parallax_stereo::{Layout, shaped_format};

/// Fewer frames, and smaller ones.
#[derive(Debug, Clone, Args)]
pub(crate) struct PartArgs {
    /// Begin at this time of the film: seconds, or [HH:]MM:SS[.fff]. Sound is cut by whole packets,
    /// subtitles by whole lines; chapters are moved along.
    #[arg(long, value_name = "TIME")]
    pub(crate) start: Option<Moment>,

    /// End at this time of the film.
    #[arg(long, value_name = "TIME")]
    pub(crate) end: Option<Moment>,

    /// Leave frames out where there are more than so many in a second: a number, or a fraction such
    /// as 30000/1001.
    #[arg(long, value_name = "N")]
    pub(crate) fps: Option<MostFrames>,

    #[command(flatten)]
    pub(crate) size: SizeArgs,
}

/// How large an eye of the result is at most.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct SizeArgs {
    /// Scale each eye down to at most so many rows, after it was drawn at full size. The shape stays; an
    /// eye that a layout squeezes counts as it is shown.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(16..=16384))]
    pub(crate) max_height: Option<u32>,

    /// Scale each eye down to at most so many columns, after it was drawn at full size.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(16..=16384))]
    pub(crate) max_width: Option<u32>,
}

/// A time of a film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    us: i64,
    typed: String,
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, Self::Err> {
        let allowed = || format!("{typed:?}; allowed are seconds, or [HH:]MM:SS[.fff]");
        let (whole, fraction) = typed.split_once('.').unwrap_or((typed, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let parts: Vec<&str> = whole.split(':').collect();
        if !parts.iter().all(|part| digits(part) && part.len() <= 9) || !digits(fraction) {
            return Err(allowed());
        }
        let value = |text: &str| text.parse::<i64>().map_err(|_| allowed());
        let mut seconds = 0;
        for (place, part) in parts.iter().enumerate() {
            let value = value(part)?;
            // Only what stands first may be a large number.
            if place > 2 || place > 0 && (value > 59 || part.len() != 2) {
                return Err(allowed());
            }
            seconds = seconds * 60 + value;
        }
        let micros: String = fraction.chars().chain("000000".chars()).take(6).collect();
        Ok(Self { us: seconds * 1_000_000 + value(&micros)?, typed: typed.to_owned() })
    }
}

/// An upper limit of the frame rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MostFrames(u32, u32);

impl FromStr for MostFrames {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, Self::Err> {
        let found = match typed.split_once('/') {
            Some((num, den)) => num.parse().ok().zip(den.parse().ok()),
            None => typed.parse::<f64>().ok().map(|rate| ((rate * 1000.0).round() as u32, 1000)),
        };
        found
            .filter(|&(num, den)| den > 0 && num >= den && u64::from(num) <= 1000 * u64::from(den))
            .map(|(num, den)| Self(num, den))
            .ok_or_else(|| format!("{typed:?}; allowed is 1 to 1000, or a fraction of that"))
    }
}

impl PartArgs {
    /// What of the film that `media` and `packets` describe is wanted.
    ///
    /// # Errors
    /// Names the option, what it says, and what the film allows.
    pub(crate) fn excerpt(&self, media: &Media, packets: &Packets) -> Result<Excerpt> {
        let film = show_path(&media.path);
        let unit = media.video.time_base;
        let pictures_us = packets.end().map(|end| unit.rescale(end, 1_000_000) - media.start_us);
        let all_us = media.duration_seconds.map(|seconds| (seconds * 1e6).round() as i64);
        let length_us = pictures_us.max(all_us).unwrap_or(i64::MAX);
        // What is shown of a length is rounded.
        let within = |us: i64| us <= length_us.saturating_add(1000);
        let seconds = length_us as f64 / 1e6;
        if let Some(Moment { us, typed }) = &self.start {
            let end = pictures_us.unwrap_or(length_us);
            let last = end as f64 / 1e6;
            ensure!(
                *us < end,
                "--start {typed}: the pictures of {film} end at {last:.3} s; allowed is what is before"
            );
        }
        if let Some(Moment { us, typed }) = &self.end {
            ensure!(
                within(*us),
                "--end {typed}: {film} is {seconds:.3} s long; allowed is up to that"
            );
            if let Some(start) = &self.start
                && *us <= start.us
            {
                bail!("--end {typed}: --start is {}; allowed is what comes after it", start.typed);
            }
            ensure!(*us > 0, "--end {typed}: allowed is more than 0, up to {seconds:.3} s");
        }
        Ok(Excerpt {
            start_us: self.start.as_ref().map(|start| start.us).filter(|&us| us > 0),
            end_us: self.end.as_ref().map(|end| end.us),
            most_per_second: self.fps.and_then(|MostFrames(num, den)| {
                let FrameRate { num: n, den: d } = media.video.rate;
                // Nothing is left out of a film of a lower rate, unless it varies.
                let varies = media.video.base_rate != Some(media.video.rate);
                let more = u64::from(n) * u64::from(den) > u64::from(num) * u64::from(d);
                (more || varies).then_some((num, den))
            }),
        })
    }
}

impl SizeArgs {
    /// The format of the result, and how each of its views is scaled to it; `None` when it stays as it
    /// is drawn. `source` is the format of the film's pictures, whose samples have the shape `aspect`.
    pub(crate) fn of(
        self,
        layout: Layout,
        source: &VideoFormat,
        (aspect, full_chroma): ((u32, u32), bool),
    ) -> (VideoFormat, Option<Scaled>) {
        let shaped = |source: &VideoFormat| shaped_format(layout, source, aspect, full_chroma).0;
        let views = views(layout);
        let full = shaped(source);
        let eye = match layout {
            Layout::Vr180 => (full.width / 2, full.height),
            _ => (source.width, source.height),
        };
        let width = self.max_width.unwrap_or(u32::MAX).min(eye.0);
        let height = self.max_height.unwrap_or(u32::MAX).min(eye.1);
        if (width, height) == eye {
            return (full, None);
        }
        // The side that is cut down the most decides.
        let factor =
            (f64::from(width) / f64::from(eye.0)).min(f64::from(height) / f64::from(eye.1));
        let even = |side: u32| ((f64::from(side) * factor + 1e-6) as u32 / 2 * 2).max(2);
        let smaller = match layout {
            Layout::Vr180 => VideoFormat { width: 2 * even(eye.0), height: even(eye.1), ..full },
            _ => shaped(&VideoFormat {
                width: even(source.width),
                height: even(source.height),
                ..source.clone()
            }),
        };
        let size = (smaller.width / views.0, smaller.height / views.1);
        (smaller, Some(Scaled { views, size }))
    }
}

/// Views beside and above each other.
fn views(layout: Layout) -> (u32, u32) {
    match layout {
        Layout::FullSbs | Layout::HalfSbs | Layout::CrossEyed | Layout::Rgbd | Layout::Vr180 => {
            (2, 1)
        }
        Layout::FullTb | Layout::HalfTb => (1, 2),
        Layout::RightOnly
        | Layout::Anaglyph
        | Layout::AnaglyphHalfColour
        | Layout::AnaglyphOptimised
        | Layout::AnaglyphDubois => (1, 1),
    }
}

#[cfg(test)]
mod tests {
    use parallax_frame::{Colour, PixelFormat};

    use super::*;

    #[test]
    fn times_are_read_in_seconds_and_on_the_clock() {
        let us = |typed: &str| typed.parse::<Moment>().map(|moment| moment.us).ok();
        for (typed, found) in [
            ("0", 0),
            ("90", 90_000_000),
            ("1.5", 1_500_000),
            ("1:02", 62_000_000),
            ("01:02:03.004", 3_723_004_000),
            ("100:00", 6_000_000_000),
        ] {
            assert_eq!(us(typed), Some(found), "{typed}");
        }
        for bad in ["", "-1", "1:60", "1:2", "1:2:3:4", "x", "1.", ".5", "1e3", "1:00:00:00", "+1"]
        {
            assert_eq!(us(bad), None, "{bad}");
        }
    }

    #[test]
    fn rates_are_numbers_or_fractions() {
        let rate = |typed: &str| typed.parse::<MostFrames>().ok();
        assert_eq!(rate("24"), Some(MostFrames(24_000, 1000)));
        assert_eq!(rate("29.97"), Some(MostFrames(29_970, 1000)));
        assert_eq!(rate("30000/1001"), Some(MostFrames(30_000, 1001)));
        for bad in ["0", "0.5", "-1", "NaN", "inf", "1/0", "1001", "fast", "1/2/3"] {
            assert_eq!(rate(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_eye_gets_smaller_and_keeps_its_shape() {
        let pixels = PixelFormat::YUV420P;
        let source = VideoFormat { width: 1920, height: 1080, pixels, colour: Colour::default() };
        let of = |layout, max_width, max_height| {
            let size = SizeArgs { max_width, max_height };
            let (format, scaled) = size.of(layout, &source, ((1, 1), false));
            (format.width, format.height, scaled.map(|scaled| scaled.size))
        };
        assert_eq!(of(Layout::FullSbs, None, Some(720)), (2560, 720, Some((1280, 720))));
        assert_eq!(of(Layout::HalfSbs, None, Some(720)), (1280, 720, Some((640, 720))));
        assert_eq!(of(Layout::HalfTb, Some(640), None), (640, 360, Some((640, 180))));
        assert_eq!(of(Layout::Anaglyph, Some(641), Some(9999)), (640, 360, Some((640, 360))));
        assert_eq!(of(Layout::Vr180, None, Some(999)), (1996, 998, Some((998, 998))));
        assert_eq!(of(Layout::FullTb, Some(1920), Some(2000)), (1920, 2160, None));
    }
}
