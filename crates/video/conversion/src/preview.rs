//! A sheet of pictures that shows what a conversion will look like, without converting.
//!
//! A row for each chosen frame: the left eye, its depth, what the left eye does not see, the right eye,
//! and both for red-cyan glasses. Only the chosen frames are decoded, and what the engine looks back
//! over before each of them, so that the depth is the one that a conversion would give. Pictures of high
//! dynamic range are shown as an ordinary screen can.

use parallax_media::{DecodeOptions, Media, Packets, Tools};
use parallax_stereo::{Geometry, Layout, Rendering, compose};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::moment::{Moment, PreviewDepth};
use crate::sheet::{Sheet, Tile};

/// How a preview is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Preview<'a> {
    /// Where depth comes from.
    pub depth: PreviewDepth<'a>,
    /// Stereo geometry.
    pub geometry: Geometry,
    /// How pairs are drawn.
    pub rendering: Rendering,
    /// What happens to the pictures first.
    pub pictures: DecodeOptions,
    /// Samples across one picture of the sheet, at least 16.
    pub tile_width: usize,
}

/// Draws the frames of `media` at the positions `frames`, counted from 0 in order of time.
///
/// # Errors
/// `Media` when the film cannot be read; `Engine` when a position is beyond its end or its format or
/// the geometry cannot be drawn.
pub fn preview(
    tools: &Tools,
    (media, packets): (&Media, &Packets),
    frames: &[usize],
    how: Preview<'_>,
    cancel: &CancellationToken,
) -> Result<Sheet, Error> {
    let shown = how.pictures.applied(media);
    let tile = Tile::of(&shown.video.format, shown.video.sample_aspect, how.tile_width);
    let mut sheet = tile.sheet(frames.len());
    for (row, &position) in frames.iter().enumerate() {
        let seen = (how.depth, how.pictures);
        let moment = Moment::of_film(tools, (media, packets), position, seen, cancel)?;
        let (pair, mask) = moment.eyes(how.geometry, how.rendering)?;
        let anaglyph = compose(&pair, Layout::Anaglyph)?;
        let pictures = [
            tile.picture(&pair.left)?,
            tile.grey(moment.depth()),
            tile.grey(&mask),
            tile.picture(&pair.right)?,
            tile.picture(&anaglyph)?,
        ];
        for (column, picture) in pictures.iter().enumerate() {
            tile.put(&mut sheet, (column, row), picture);
        }
    }
    Ok(sheet)
}
