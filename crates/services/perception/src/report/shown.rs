//! What a report shows of a record.

use crate::record::Record;

/// Width in pixels of the pictures of a report.
pub const THUMBNAIL: usize = 320;
/// Pictures of one report: of more frames, evenly chosen ones are shown.
const MOST: usize = 600;

/// What a report shows.
#[derive(Debug)]
pub struct Report<'a> {
    /// What is known.
    pub record: &'a Record,
    /// A JPEG of each frame that was looked at, in order.
    pub pictures: &'a [Vec<u8>],
}

/// A frame as a page shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) index: usize,
    pub(super) seconds: f64,
    pub(super) cluster: usize,
    pub(super) picture: &'a [u8],
}

impl Report<'_> {
    /// The frames that are shown.
    pub(super) fn shown(&self) -> Vec<Shown<'_>> {
        let details = self.record.analysis.frame_details.as_deref().unwrap_or_default();
        let clusters = &self.record.clusters.of_frames;
        let all = details.iter().zip(clusters).zip(self.pictures).enumerate();
        let step = self.pictures.len().div_ceil(MOST).max(1);
        let shown = all.step_by(step).map(|(index, ((frame, &cluster), picture))| Shown {
            index,
            seconds: frame.timestamp,
            cluster,
            picture,
        });
        shown.collect()
    }

    /// The shots' beginnings and ends in seconds. Of a picture there is one of no length.
    pub(super) fn shots(&self) -> Vec<(f64, f64)> {
        let begins: Vec<f64> = self.record.shots.iter().map(|shot| shot.timestamp).collect();
        if begins.is_empty() {
            return vec![(0.0, self.record.seconds)];
        }
        let ends = begins.iter().skip(1).copied().chain([self.record.seconds]);
        begins.iter().copied().zip(ends).collect()
    }
}

/// `0:07.5` or `1:02:03.5`.
pub(super) fn clock(seconds: f64) -> String {
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    let (hours, minutes, seconds, tenth) =
        (tenths / 36_000, tenths / 600 % 60, tenths / 10 % 60, tenths % 10);
    match hours {
        0 => format!("{minutes}:{seconds:02}.{tenth}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}.{tenth}"),
    }
}

/// A letter for each cluster, as columns of a table have them: A to Z, AA, AB.
pub(super) fn letter(cluster: usize) -> String {
    let last = char::from(b'A' + (cluster % 26) as u8);
    match cluster / 26 {
        0 => last.to_string(),
        more => letter(more - 1) + &last.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_letters_are_for_people() {
        assert_eq!(clock(0.0), "0:00.0");
        assert_eq!(clock(59.96), "1:00.0");
        assert_eq!(clock(3723.54), "1:02:03.5");
        assert_eq!(
            [0, 25, 26, 51, 52, 701, 702].map(letter),
            ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]
        );
    }
}
