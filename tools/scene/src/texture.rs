//! Colour as a function of a point in the world: value noise in octaves, and patterns of it.

use crate::vec3::{Vec3, vec3};

/// How a surface is coloured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Texture {
    /// Tiles of two colours with noise on them.
    Tiles { light: Vec3, dark: Vec3, size: f32 },
    /// Clouds between two colours.
    Clouds { low: Vec3, high: Vec3, scale: f32 },
    /// Horizontal bands of two colours with noise on them.
    Bands { one: Vec3, other: Vec3, height: f32 },
    /// Upright stripes of two colours with noise on them.
    Stripes { one: Vec3, other: Vec3, width: f32 },
    /// A chequered pattern of two colours with noise on them, turned by 30 degrees.
    Checks { one: Vec3, other: Vec3, size: f32 },
}

impl Texture {
    /// Linear colour at `p`, each channel 0 to 1.
    pub(crate) fn at(self, p: Vec3) -> Vec3 {
        match self {
            Texture::Tiles { light, dark, size } => {
                let odd = ((p.x / size).floor() + (p.z / size).floor()).rem_euclid(2.0) >= 1.0;
                (if odd { light } else { dark }) * (0.7 + 0.5 * octaves(p * 3.0))
            }
            Texture::Clouds { low, high, scale } => {
                let t = octaves(p * scale.recip());
                low * (1.0 - t) + high * t
            }
            Texture::Bands { one, other, height } => {
                let odd = (p.y / height).floor().rem_euclid(2.0) >= 1.0;
                (if odd { one } else { other }) * (0.6 + 0.7 * octaves(p * 4.0))
            }
            Texture::Stripes { one, other, width } => {
                let odd = ((p.x + p.z) / width).floor().rem_euclid(2.0) >= 1.0;
                (if odd { one } else { other }) * (0.6 + 0.7 * octaves(p * 5.0))
            }
            Texture::Checks { one, other, size } => {
                let (along, up) = (0.866 * p.x + 0.5 * p.y + p.z, 0.866 * p.y - 0.5 * p.x);
                let odd = ((along / size).floor() + (up / size).floor()).rem_euclid(2.0) >= 1.0;
                (if odd { one } else { other }) * (0.7 + 0.5 * octaves(p * 3.0))
            }
        }
    }
}

/// Four octaves of value noise, 0 to 1.
fn octaves(p: Vec3) -> f32 {
    let (mut sum, mut weight, mut at) = (0.0, 0.5, p);
    for _ in 0..4 {
        sum += weight * noise(at);
        weight *= 0.5;
        at = at * 2.03 + vec3(17.0, 31.0, 47.0);
    }
    (sum / 0.9375).clamp(0.0, 1.0)
}

/// Trilinear value noise on the integer lattice.
fn noise(p: Vec3) -> f32 {
    let (x, y, z) = (p.x.floor(), p.y.floor(), p.z.floor());
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v, w) = (smooth(p.x - x), smooth(p.y - y), smooth(p.z - z));
    let corner = |i: i32, j: i32, k: i32| lattice(x as i32 + i, y as i32 + j, z as i32 + k);
    let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
    let plane = |k| {
        let near = mix(corner(0, 0, k), corner(1, 0, k), u);
        mix(near, mix(corner(0, 1, k), corner(1, 1, k), u), v)
    };
    mix(plane(0), plane(1), w)
}

/// A number in 0 to 1 for a lattice point: an integer hash, the same on every machine.
fn lattice(x: i32, y: i32, z: i32) -> f32 {
    let mut h = (x as u32).wrapping_mul(0x8da6_b343)
        ^ (y as u32).wrapping_mul(0xd816_3841)
        ^ (z as u32).wrapping_mul(0xcb1a_b31f);
    h ^= h >> 15;
    h = h.wrapping_mul(0x2c1b_3c6d);
    h ^= h >> 12;
    h = h.wrapping_mul(0x297a_2d39);
    h ^= h >> 15;
    (h >> 8) as f32 / (1 << 24) as f32
}
