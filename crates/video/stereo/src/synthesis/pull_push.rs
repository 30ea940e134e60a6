//! Holes as a smooth continuation of the background around them, from many scales at once.
//!
//! Pull-push (Gortler et al.: "The Lumigraph", 1996, section 3.5): samples are averaged into ever coarser
//! pictures, and each hole takes from the finest that knows something there. Only the background beside a
//! hole counts, so foreground never smears into it. Texture is lost, but nothing streaks or repeats: best
//! where the background is calm.

use parallax_frame::Frame;
use rayon::prelude::*;

use crate::Plane;
use crate::synthesis::occlusion_fill::{FRINGE, Side, extent, holes};

/// Background samples that count, for each sample of the hole beside them, and at least.
const PER_HOLE: usize = 2;
const LEAST: usize = 8;

/// What a sample of the other eye is to the holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Other,
    Background,
    Hole,
}

/// The role of every sample; `near` is -inf in holes.
pub(crate) fn roles(near: &Plane) -> Vec<Role> {
    let width = near.width();
    let mut roles = vec![Role::Other; near.data().len()];
    roles.par_chunks_mut(width).zip(near.data().par_chunks(width)).for_each(|(roles, near)| {
        for (hole, side) in holes(near) {
            roles[hole.clone()].fill(Role::Hole);
            let wanted = (PER_HOLE * hole.len()).max(LEAST) + FRINGE;
            match side {
                Some(Side::Right) => {
                    let end = hole.end;
                    let count = extent(width - end, wanted, |k| near[end + k], near[end]);
                    let first = (end + FRINGE).min(end + count - 1);
                    roles[first..end + count].fill(Role::Background);
                }
                Some(Side::Left) => {
                    let last = hole.start - 1;
                    let count = extent(hole.start, wanted, |k| near[last - k], near[last]);
                    let end = (hole.start - FRINGE).max(hole.start - count + 1);
                    roles[hole.start - count..end].fill(Role::Background);
                }
                None => {}
            }
        }
    });
    roles
}

/// Fills the holes of every plane of `frame`; `roles` are at luma size.
pub(crate) fn smooth(frame: &mut Frame, roles: &[Role]) {
    if !roles.contains(&Role::Background) {
        return;
    }
    let format = frame.format().clone();
    for index in 0..format.pixels.chroma().planes() {
        let shape = format.plane(index);
        let (sx, sy) = if index == 0 { (0, 0) } else { format.pixels.chroma().shifts() };
        let role = |i: usize| {
            let (x, y) = (i % shape.width, i / shape.width);
            roles[(y << sy) * format.width as usize + (x << sx)]
        };
        let mut values = frame.plane_f32(index);
        let weight = (0..values.len())
            .map(|i| if role(i) == Role::Background { 1.0 } else { 0.0 })
            .collect();
        let fine = Level {
            value: Plane::new(shape.width, shape.height, values.clone()),
            weight: Plane::new(shape.width, shape.height, weight),
        };
        let filled = fine.completed();
        for (i, value) in values.iter_mut().enumerate() {
            if role(i) == Role::Hole {
                *value = filled.data()[i];
            }
        }
        frame.set_plane_f32(index, &values);
    }
}

/// One scale: values, and how much is known of each, 0 to 1.
struct Level {
    value: Plane,
    weight: Plane,
}

impl Level {
    /// Values everywhere: what is known, completed from coarser scales.
    fn completed(self) -> Plane {
        let (width, height) = (self.value.width(), self.value.height());
        if width == 1 && height == 1 {
            return self.value;
        }
        let coarse = self.pulled().completed();
        let mut out = self.value;
        out.data_mut()
            .par_chunks_mut(width)
            .zip(self.weight.data().par_chunks(width))
            .enumerate()
            .for_each(|(y, (row, weight))| {
                let (top, bottom, down) = between(y, coarse.height());
                for (x, (value, &weight)) in row.iter_mut().zip(weight).enumerate() {
                    if weight >= 1.0 {
                        continue;
                    }
                    let (left, right, across) = between(x, coarse.width());
                    let mix = |y: usize| {
                        let a = coarse.at(left, y);
                        a + (coarse.at(right, y) - a) * across
                    };
                    let a = mix(top);
                    let guess = a + (mix(bottom) - a) * down;
                    *value = guess + (*value - guess) * weight;
                }
            });
        out
    }

    /// The scale of half the size.
    fn pulled(&self) -> Level {
        let (width, height) = (self.value.width(), self.value.height());
        let (w, h) = (width.div_ceil(2), height.div_ceil(2));
        let (mut value, mut weight) = (Plane::filled(w, h, 0.0), Plane::filled(w, h, 0.0));
        value
            .data_mut()
            .par_chunks_mut(w)
            .zip(weight.data_mut().par_chunks_mut(w))
            .enumerate()
            .for_each(|(y, (values, weights))| {
                for (x, (value, weight)) in values.iter_mut().zip(weights).enumerate() {
                    let (mut sum, mut known) = (0.0, 0.0);
                    for (row, by_row) in taps(y, height) {
                        let (values, weights) = (self.value.row(row), self.weight.row(row));
                        for (column, by_column) in taps(x, width) {
                            let w = by_row * by_column * weights[column];
                            sum += w * values[column];
                            known += w;
                        }
                    }
                    if known > 0.0 {
                        (*value, *weight) = (sum / known, (known * SATURATED).min(1.0));
                    }
                }
            });
        Level { value, weight }
    }
}

/// What is known in a quarter of a coarse sample's reach is all known: that much of a tent is a pixel of
/// four.
const SATURATED: f32 = 4.0;

/// The samples that make up sample `i` of a coarser scale, and their shares: a tent over two of them and
/// their neighbours, so that knowledge spreads at every scale alike, wherever its grid lies.
fn taps(i: usize, size: usize) -> impl Iterator<Item = (usize, f32)> {
    const TENT: [f32; 4] = [0.125, 0.375, 0.375, 0.125];
    let at = move |(k, &share): (usize, &f32)| Some(((2 * i + k).checked_sub(1)?, share));
    TENT.iter().enumerate().filter_map(at).filter(move |&(j, _)| j < size)
}

/// The two samples of a coarser scale of `size` around sample `i`, and how far it is to the second.
fn between(i: usize, size: usize) -> (usize, usize, f32) {
    let at = ((i as f32 + 0.5) / 2.0 - 0.5).clamp(0.0, (size - 1) as f32);
    let low = at as usize;
    (low, (low + 1).min(size - 1), at - low as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: f32 = f32::NEG_INFINITY;

    #[test]
    fn background_beside_holes_counts_and_nothing_else() {
        // A near card, a hole, a wall that ends at a farther one.
        let near = [vec![5.0; 6], vec![NONE; 4], vec![1.0; 5], vec![-3.0; 9]].concat();
        let roles = roles(&Plane::new(24, 1, near));
        let of = |role: Role| -> Vec<usize> { (0..24).filter(|&x| roles[x] == role).collect() };
        assert_eq!(of(Role::Hole), [6, 7, 8, 9]);
        // The first may be mixed with the card.
        assert_eq!(of(Role::Background), [11, 12, 13, 14]);
    }

    #[test]
    fn the_other_side_is_the_background_where_it_is_farther() {
        let near = [vec![0.0; 6], vec![NONE; 2], vec![4.0; 4]].concat();
        let roles = roles(&Plane::new(12, 1, near));
        let seeds: Vec<usize> = (0..12).filter(|&x| roles[x] == Role::Background).collect();
        assert_eq!(seeds, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_ramp_is_continued_without_reaching_into_the_foreground() {
        let value = Plane::from_fn(32, 32, |x, y| if x < 10 { 200.0 } else { y as f32 });
        let weight = Plane::from_fn(32, 32, |x, _| if x >= 16 { 1.0 } else { 0.0 });
        let level = Level { value, weight };
        let filled = level.completed();
        for y in 4..28 {
            for x in 12..16 {
                let off = (filled.at(x, y) - y as f32).abs();
                assert!(off < 2.0, "{} at {x},{y}", filled.at(x, y));
            }
        }
    }

    #[test]
    fn nothing_known_changes_nothing() {
        let near = Plane::filled(8, 2, NONE);
        assert!(roles(&near).iter().all(|&role| role == Role::Hole));
    }
}
