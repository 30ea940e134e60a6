//! Small pictures beside the numbers.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result};
use parallax_frame::Frame;
use parallax_stereo::{Plane, Rgb};

use crate::truth::Sight;

/// Samples of a cut, and how large each is drawn.
pub(crate) const CUT: (usize, usize) = (96, 60);
const ZOOM: usize = 4;
/// Samples between cuts, and cuts in a row.
const GAP: usize = 2;
const ROW: usize = 3;

/// The same cut, from its left upper corner `at`, of several pictures, three to a row.
pub(crate) fn cuts(path: &Path, pictures: &[&Frame], at: (usize, usize)) -> Result<()> {
    let (across, down) = (CUT.0 + GAP, CUT.1 + GAP);
    let width = ROW.min(pictures.len()) * across - GAP;
    let mut pixels = vec![[255u8; 3]; width * (pictures.len().div_ceil(ROW) * down - GAP)];
    for (i, picture) in pictures.iter().enumerate() {
        let planes = Rgb::of(picture.format())?.planes(picture);
        let corner = i / ROW * down * width + i % ROW * across;
        for y in 0..CUT.1 {
            for x in 0..CUT.0 {
                let value = |plane: &Plane| (plane.at(at.0 + x, at.1 + y) * 255.0 + 0.5) as u8;
                let [r, g, b] = &planes;
                pixels[corner + y * width + x] = [value(r), value(g), value(b)];
            }
        }
    }
    write(path, &pixels, width, ZOOM)
}

/// Depth as grey, near is white, side by side, every other sample.
pub(crate) fn depths(path: &Path, depths: &[&Plane]) -> Result<()> {
    let (width, height) = depths.first().map_or((0, 0), |d| (d.width() / 2, d.height() / 2));
    let all = depths.len() * (width + GAP) - GAP;
    let mut pixels = vec![[255u8; 3]; all * height];
    for (i, depth) in depths.iter().enumerate() {
        for y in 0..height {
            for x in 0..width {
                let grey = (depth.at(2 * x, 2 * y).clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
                pixels[y * all + i * (width + GAP) + x] = [grey; 3];
            }
        }
    }
    write(path, &pixels, all, 1)
}

fn write(path: &Path, pixels: &[[u8; 3]], width: usize, zoom: usize) -> Result<()> {
    let height = pixels.len() / width;
    let context = || format!("write {}", path.display());
    let file = BufWriter::new(File::create(path).with_context(context)?);
    let mut encoder = png::Encoder::new(file, (width * zoom) as u32, (height * zoom) as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let pixel = |i: usize| {
        let (x, y) = (i % (width * zoom) / zoom, i / (width * zoom) / zoom);
        pixels[y * width + x]
    };
    let bytes: Vec<u8> = (0..pixels.len() * zoom * zoom).flat_map(pixel).collect();
    let mut writer = encoder.write_header().with_context(context)?;
    writer.write_image_data(&bytes).and_then(|()| writer.finish()).with_context(context)
}

/// The left upper corner of the cut with the most of what is hidden.
pub(crate) fn busiest(sights: &[Sight], width: usize) -> (usize, usize) {
    let height = sights.len() / width;
    let count = |x: usize, y: usize| {
        let rows = (y..y + CUT.1).step_by(3).map(|y| &sights[y * width + x..][..CUT.0]);
        rows.flatten().filter(|sight| **sight == Sight::Hidden).count()
    };
    let corners = (0..height - CUT.1)
        .step_by(6)
        .flat_map(|y| (0..width - CUT.0).step_by(6).map(move |x| (x, y)));
    corners.max_by_key(|&(x, y)| count(x, y)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_cut_is_where_most_is_hidden() {
        let (width, height) = (240, 120);
        let hole = |i: usize| (130..140).contains(&(i % width)) && (60..80).contains(&(i / width));
        let sight = |i: usize| match i % width {
            0..30 => Sight::Beyond,
            _ if hole(i) => Sight::Hidden,
            _ => Sight::Seen,
        };
        let (x, y) = busiest(&(0..width * height).map(sight).collect::<Vec<_>>(), width);
        assert!((x..x + CUT.0).contains(&130) && (x..x + CUT.0).contains(&139), "{x}");
        assert!((y..y + CUT.1).contains(&60) && (y..y + CUT.1).contains(&79), "{y}");
    }
}
