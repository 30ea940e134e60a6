//! Black bars: where the picture really is.
//!
//! ffmpeg's `cropdetect` looks at frames spread over the film; the union of what it finds is the
//! picture, so that one dark scene cannot cut a bright one.

use tokio_util::sync::CancellationToken;

use crate::child;
use crate::decode::Crop;
use crate::error::{Kind, Result, show_path};
use crate::media::Media;
use crate::programs::{Tools, file_url};
use crate::seconds::seconds;

/// Places in the film that are looked at.
const PLACES: u32 = 7;
/// Frames looked at in each place.
const FRAMES: &str = "6";
/// Bars thinner than this in all, in luma samples, are borders of the picture and stay.
const LEAST: u32 = 8;

/// Finds the bars of a film: the part without them, or `None` when there are none.
///
/// # Errors
/// `Input` when the source cannot be decoded; `Io`; `Tool`; `Cancelled`.
pub fn detect_bars(
    tools: &Tools,
    media: &Media,
    cancel: &CancellationToken,
) -> Result<Option<Crop>> {
    let video = &media.video;
    let (width, height) = (video.format.width, video.format.height);
    let length_us = video.duration.map_or(0, |ticks| video.time_base.rescale(ticks, 1_000_000));
    // First and last column, first and last row of the picture.
    let mut seen: Option<[u32; 4]> = None;
    for place in 0..PLACES {
        let at = length_us / i64::from(PLACES + 1) * i64::from(place + 1);
        let at = if length_us < 1_000_000 { 0 } else { at };
        let mut command = tools.ffmpeg();
        tools.guard(&mut command);
        command.args(["-ss", &seconds(at), "-i"]).arg(file_url(&media.path));
        command.args(["-map", &format!("0:{}", video.index), "-frames:v", FRAMES]);
        command.args(["-vf", "cropdetect=round=2:reset=0,metadata=mode=print:file=-"]);
        command.args(["-f", "null", "/dev/null"]);
        let mut found = [None; 4];
        let ended = child::run(&mut command, cancel, None, |line| {
            for (slot, name) in found.iter_mut().zip(["x1", "x2", "y1", "y2"]) {
                let value = line.strip_prefix("lavfi.cropdetect.").and_then(|rest| {
                    rest.strip_prefix(name).and_then(|rest| rest.strip_prefix('='))
                });
                if let Some(value) = value {
                    *slot = value.parse::<u32>().ok();
                }
            }
            Ok(())
        })?;
        ended.check(&format!("look for bars in {}", show_path(&media.path)), Kind::Input)?;
        // A black frame has no picture and says nothing.
        if let [Some(x1), Some(x2), Some(y1), Some(y2)] = found
            && x1 < x2
            && y1 < y2
        {
            let [a, b, c, d] = seen.unwrap_or([x1, x2, y1, y2]);
            seen = Some([a.min(x1), b.max(x2), c.min(y1), d.max(y2)]);
        }
        if length_us < 1_000_000 {
            break;
        }
    }
    Ok(seen.and_then(|seen| crop(seen, width, height)))
}

/// The picture between the bars, widened to even sides so that no chroma sample is cut.
fn crop([x1, x2, y1, y2]: [u32; 4], width: u32, height: u32) -> Option<Crop> {
    let span = |first: u32, last: u32, size: u32| {
        let start = first - first % 2;
        let end = (last + 1).next_multiple_of(2).min(size);
        (start, end.saturating_sub(start))
    };
    let ((x, w), (y, h)) = (span(x1, x2, width), span(y1, y2, height));
    let inside = w > 0 && h > 0 && x + w <= width && y + h <= height;
    let bars = (width - w.min(width)).max(height - h.min(height));
    (inside && bars >= LEAST).then_some(Crop { x, y, width: w, height: h })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_cut_at_even_samples_and_thin_borders_stay() {
        let cut = crop([0, 639, 41, 318], 640, 360);
        assert_eq!(cut, Some(Crop { x: 0, y: 40, width: 640, height: 280 }));
        assert_eq!(crop([0, 639, 2, 357], 640, 360), None);
        assert_eq!(crop([0, 700, 41, 318], 640, 360).map(|c| c.width), Some(640));
    }
}
