//! How a picture lies in the size that the networks work at, and how it comes back.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::lanczos::resize;

/// What happens to a picture of another shape than the networks' size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// It is squeezed or stretched.
    #[default]
    Squash,
    /// Its middle is taken, as large as possible.
    Crop,
    /// All of it is taken; its border is repeated beside it.
    Pad,
}

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Area {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

/// Where a picture of one size lies in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    source: (usize, usize),
    size: (usize, usize),
    /// What is taken of the picture.
    taken: Area,
    /// Where that lies.
    lies: Area,
}

impl Placed {
    /// A picture of `source` in `size`, both (width, height) and none zero.
    pub(crate) fn new(source: (usize, usize), size: (usize, usize), fit: Fit) -> Self {
        let whole = |(width, height)| Area { left: 0, top: 0, width, height };
        let (taken, lies) = match fit {
            Fit::Squash => (whole(source), whole(size)),
            Fit::Crop => (middle(source, size), whole(size)),
            Fit::Pad => (whole(source), middle(size, source)),
        };
        Self { source, size, taken, lies }
    }

    /// Red, green and blue of a picture of the source's size, at the networks' size.
    pub(crate) fn apply(&self, rgb: &[u8]) -> Vec<u8> {
        let taken = cut(rgb, self.source, self.taken);
        let Area { left, top, width, height } = self.lies;
        let resized = resize(&taken, 3, self.taken.size(), (width, height));
        if (width, height) == self.size {
            return resized;
        }
        let mut out = Vec::with_capacity(3 * self.size.0 * self.size.1);
        for y in 0..self.size.1 {
            let row = y.saturating_sub(top).min(height - 1) * width;
            for x in 0..self.size.0 {
                let at = 3 * (row + x.saturating_sub(left).min(width - 1));
                out.extend_from_slice(&resized[at..at + 3]);
            }
        }
        out
    }

    /// The size that frames come back at: what was taken of the picture, in whole pairs of pixels, which H.264 asks
    /// for.
    pub(crate) fn restored(&self) -> (usize, usize) {
        let even = |side: usize| (side & !1).max(2);
        (even(self.taken.width), even(self.taken.height))
    }

    /// Red, green and blue of a frame at the networks' size, at [`Placed::restored`].
    pub(crate) fn restore(&self, frame: &[u8]) -> Vec<u8> {
        resize(&cut(frame, self.size, self.lies), 3, self.lies.size(), self.restored())
    }
}

impl Area {
    fn size(self) -> (usize, usize) {
        (self.width, self.height)
    }
}

/// The largest area in the middle of `of` that has the shape of `like`, at least a pixel wide and high.
fn middle((width, height): (usize, usize), (like_width, like_height): (usize, usize)) -> Area {
    let scale = (width as f64 / like_width as f64).min(height as f64 / like_height as f64);
    let side = |like: usize, most: usize| ((like as f64 * scale).round() as usize).clamp(1, most);
    let (inner_width, inner_height) = (side(like_width, width), side(like_height, height));
    Area {
        left: (width - inner_width) / 2,
        top: (height - inner_height) / 2,
        width: inner_width,
        height: inner_height,
    }
}

fn cut(samples: &[u8], (width, _): (usize, usize), area: Area) -> Vec<u8> {
    let rows = samples.chunks_exact(3 * width).skip(area.top).take(area.height);
    let span = 3 * area.left..3 * (area.left + area.width);
    rows.flat_map(|row| &row[span.clone()]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture whose red is the column and whose green is the row.
    fn picture(width: usize, height: usize) -> Vec<u8> {
        let pixel = |at: usize| [(at % width) as u8, (at / width) as u8, 7];
        (0..width * height).flat_map(pixel).collect()
    }

    #[test]
    fn a_squashed_picture_fills_the_size_and_comes_back_whole() {
        let placed = Placed::new((90, 51), (64, 128), Fit::Squash);
        assert_eq!(placed.apply(&picture(90, 51)).len(), 3 * 64 * 128);
        assert_eq!(placed.restored(), (90, 50));
        assert_eq!(placed.restore(&[9; 3 * 64 * 128]), [9; 3 * 90 * 50]);
    }

    #[test]
    fn a_cropped_picture_keeps_its_shape_and_its_middle() {
        let placed = Placed::new((200, 64), (64, 64), Fit::Crop);
        let rgb = placed.apply(&picture(200, 64));
        assert_eq!((rgb[0], rgb[3 * 63]), (68, 131), "columns 68 to 131");
        assert_eq!(placed.restored(), (64, 64));
        let tall = Placed::new((64, 200), (64, 64), Fit::Crop);
        assert_eq!(tall.apply(&picture(64, 200))[1], 68);
    }

    #[test]
    fn a_padded_picture_is_all_there_and_its_border_goes_on() {
        let placed = Placed::new((64, 32), (64, 64), Fit::Pad);
        let rgb = placed.apply(&picture(64, 32));
        let green = |y: usize| rgb[3 * 64 * y + 1];
        assert_eq!([0, 15, 16, 17, 47, 48, 63].map(green), [0, 0, 0, 1, 31, 31, 31]);
        assert_eq!(placed.restored(), (64, 32));
        let back = placed.restore(&rgb);
        assert_eq!(back, picture(64, 32));
        // However thin it is, there is something of it.
        let thin = Placed::new((4000, 1), (64, 64), Fit::Pad);
        assert_eq!(thin.apply(&picture(4000, 1)).len(), 3 * 64 * 64);
        assert_eq!(thin.restored(), (4000, 2));
    }
}
