//! Masks as runs, in the form that COCO's tools read: along columns, out of the object first, and packed into
//! letters (`maskApi.c` of cocoapi, `rleToString`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A mask as runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rle {
    /// Height and width.
    pub size: [usize; 2],
    /// The lengths of the runs, in letters.
    pub counts: String,
}

/// The lengths of the runs of a mask (row by row, not 0 where the object is).
fn runs(samples: &[u8], (width, height): (usize, usize)) -> Vec<i64> {
    let (mut runs, mut inside, mut length) = (Vec::new(), false, 0);
    for x in 0..width {
        for y in 0..height {
            if (samples[y * width + x] != 0) != inside {
                runs.push(length);
                (inside, length) = (!inside, 0);
            }
            length += 1;
        }
    }
    runs.push(length);
    runs
}

impl Rle {
    /// That of a mask (row by row, not 0 where the object is).
    pub(crate) fn of(samples: &[u8], (width, height): (usize, usize)) -> Self {
        let (runs, mut counts) = (runs(samples, (width, height)), String::new());
        for (i, &run) in runs.iter().enumerate() {
            // From the fourth on, how much more than the one before the last.
            let mut rest = if i > 2 { run - runs[i - 2] } else { run };
            loop {
                let five = (rest & 0x1f) as u8;
                rest >>= 5;
                let more = if five & 0x10 == 0 { rest != 0 } else { rest != -1 };
                counts.push(char::from(48 + five + if more { 0x20 } else { 0 }));
                if !more {
                    break;
                }
            }
        }
        Self { size: [height, width], counts }
    }

    /// Whether its runs make up a mask of its size.
    pub(crate) fn is_whole(&self) -> bool {
        self.read().is_some()
    }

    /// The mask, row by row: 255 where the object is, 0 elsewhere; nothing of it where it is not whole.
    pub(crate) fn samples(&self) -> Vec<u8> {
        let [height, width] = self.size;
        let mut samples = vec![0u8; width.saturating_mul(height)];
        let mut at = 0;
        for (i, run) in self.read().unwrap_or_default().into_iter().enumerate() {
            if i % 2 == 1 {
                (at..at + run).for_each(|at| samples[at % height * width + at / height] = 255);
            }
            at += run;
        }
        samples
    }

    /// The lengths of the runs, which make up a mask of its size.
    fn read(&self) -> Option<Vec<usize>> {
        let [height, width] = self.size;
        let mut left = i64::try_from(width.checked_mul(height)?).ok()?;
        let (mut runs, mut run, mut shift) = (Vec::<i64>::new(), 0i64, 0);
        for letter in self.counts.bytes() {
            // Lengths of more than 30 bits are longer than any mask.
            let five = i64::from(letter.checked_sub(48).filter(|five| *five < 64 && shift <= 30)?);
            run |= (five & 0x1f) << shift;
            shift += 5;
            if five & 0x20 > 0 {
                continue;
            }
            if five & 0x10 > 0 {
                run |= -1 << shift;
            }
            let before = if runs.len() > 2 { runs[runs.len() - 2] } else { 0 };
            let length = run + before;
            left -= length;
            if length < 0 || left < 0 {
                return None;
            }
            runs.push(length);
            (run, shift) = (0, 0);
        }
        (left == 0 && shift == 0).then(|| runs.into_iter().map(|run| run as usize).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `pycocotools.mask.encode` 2.0.11 makes of the same samples.
    #[test]
    fn letters_are_those_of_cocos_tools() {
        let square =
            |i: usize| u8::from((10..60).contains(&(i % 97)) && (20..90).contains(&(i / 97)));
        let spots = |i: usize| u8::from(i * i % 7 < 3);
        let mask = |size: (usize, usize), of: &dyn Fn(usize) -> u8| {
            Rle::of(&(0..size.0 * size.1).map(of).collect::<Vec<u8>>(), size).counts
        };
        assert_eq!(
            mask((97, 101), &square),
            "VP1V2o00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000Ud3"
        );
        assert_eq!(mask((7, 5), &spots), "0:500K");
        assert_eq!(mask((3, 2), &|_| 0), "6");
        assert_eq!(mask((3, 2), &|_| 1), "06");
    }

    #[test]
    fn runs_that_make_no_mask_are_known() {
        for (size, counts, whole) in [
            ([2, 3], "6", true),
            ([2, 3], "06", true),
            ([2, 3], "7", false),
            ([2, 3], "5", false),
            ([2, 3], "", false),
            ([2, 3], "6o", false),
            ([2, 3], "6~", false),
            ([2, 3], "oooooooooooooooooooo1", false),
            ([usize::MAX, 3], "6", false),
            ([0, 3], "", true),
        ] {
            let rle = Rle { size, counts: counts.to_owned() };
            assert_eq!(rle.is_whole(), whole, "{size:?} {counts}");
        }
        assert_eq!(Rle { size: [2, 3], counts: "7".to_owned() }.samples(), [0; 6]);
    }

    proptest! {
        #[test]
        fn a_mask_comes_back(width in 1usize..9, height in 1usize..9, bits in any::<u64>()) {
            let inside = |i: usize| if bits >> (i % 64) & 1 == 1 { 255 } else { 0 };
            let samples: Vec<u8> = (0..width * height).map(inside).collect();
            prop_assert_eq!(Rle::of(&samples, (width, height)).samples(), samples);
        }
    }
}
