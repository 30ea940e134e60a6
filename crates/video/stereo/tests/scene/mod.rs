//! Layered textured planes with known depth, seen by either eye at any time.

use std::sync::Arc;

use parallax_frame::{Chroma, Colour, Frame, PixelFormat, VideoFormat};
use parallax_stereo::Plane;

/// An upright rectangle of one disparity, which moves sideways with time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer {
    /// Disparity in pixels; layers are listed from far to near.
    pub(crate) disparity: f32,
    /// Left, top, right and bottom in the left eye at time 0; whole pixels keep edges sharp.
    pub(crate) area: [f32; 4],
    /// Pixels per frame to the right.
    pub(crate) speed: f32,
    /// Distinguishes textures.
    pub(crate) seed: f32,
}

#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) layers: Vec<Layer>,
}

impl Scene {
    /// A wall behind everything and two cards before it.
    pub(crate) fn cards() -> Self {
        let everywhere = [-1e6, -1e6, 1e6, 1e6];
        Self {
            width: 192,
            height: 108,
            layers: vec![
                Layer { disparity: -3.5, area: everywhere, speed: 0.0, seed: 1.0 },
                Layer { disparity: 1.25, area: [30.0, 20.0, 80.0, 70.0], speed: 0.0, seed: 2.0 },
                Layer { disparity: 6.0, area: [100.0, 40.0, 150.0, 108.0], speed: 0.0, seed: 3.0 },
            ],
        }
    }

    /// The nearest layer at a position of an eye: 0 for the left, 1 for the right.
    pub(crate) fn visible(&self, x: f32, y: f32, eye: f32, time: f32) -> (usize, &Layer) {
        let hit = |layer: &Layer| {
            let x = x + eye * layer.disparity - layer.speed * time;
            let [left, top, right, bottom] = layer.area;
            (left - 0.5..right - 0.5).contains(&x) && (top - 0.5..bottom - 0.5).contains(&y)
        };
        let found = self.layers.iter().enumerate().rev().find(|(_, layer)| hit(layer));
        found.expect("the first layer is everywhere")
    }

    /// Luma code values of one eye.
    pub(crate) fn luma(&self, eye: f32, time: f32) -> Plane {
        Plane::from_fn(self.width, self.height, |x, y| {
            let (x, y) = (x as f32, y as f32);
            let (_, layer) = self.visible(x, y, eye, time);
            texture(x + eye * layer.disparity - layer.speed * time, y, layer.seed)
        })
    }

    pub(crate) fn disparity(&self, time: f32) -> Plane {
        Plane::from_fn(self.width, self.height, |x, y| {
            self.visible(x as f32, y as f32, 0.0, time).1.disparity
        })
    }

    /// What the right eye sees and the left one does not.
    pub(crate) fn occluded(&self, x: usize, y: usize, time: f32) -> bool {
        let (seen, layer) = self.visible(x as f32, y as f32, 1.0, time);
        let from = x as f32 + layer.disparity;
        let outside = from < -0.5 || from > self.width as f32 - 0.5;
        outside || self.visible(from, y as f32, 0.0, time).0 != seen
    }

    pub(crate) fn frame(&self, chroma: Chroma, bits: u8, time: f32, pts: i64) -> Frame {
        let pixels = PixelFormat::new(chroma, bits).expect("a valid depth");
        let format = Arc::new(VideoFormat {
            width: self.width as u32,
            height: self.height as u32,
            pixels,
            colour: Colour::default(),
        });
        let mut frame = Frame::zeroed(format, pts);
        let scale = f32::from(1u16 << (bits - 8));
        let luma: Vec<f32> = self.luma(0.0, time).data().iter().map(|v| v * scale).collect();
        frame.set_plane_f32(0, &luma);
        for index in 1..chroma.planes() {
            let count = frame.plane_f32(index).len();
            frame.set_plane_f32(index, &vec![128.0 * scale; count]);
        }
        frame
    }
}

/// Detail of several scales, none finer than four pixels.
fn texture(x: f32, y: f32, seed: f32) -> f32 {
    let wave = |fx: f32, fy: f32, phase: f32| (x * fx + y * fy + phase * seed).sin();
    128.0
        + 30.0 * wave(0.11, 0.07, 1.7)
        + 24.0 * wave(-0.23, 0.31, 2.9)
        + 18.0 * wave(0.53, 0.41, 4.3)
        + 12.0 * wave(0.9, -0.83, 0.6)
        + 14.0 * (seed * 2.1).sin()
}

/// Peak signal-to-noise ratio, in dB, of 8-bit code values where `keep` says so.
pub(crate) fn psnr(a: &Plane, b: &Plane, keep: impl Fn(usize, usize) -> bool) -> f64 {
    let (mut sum, mut count) = (0.0f64, 0.0f64);
    for y in 0..a.height() {
        for x in 0..a.width() {
            if keep(x, y) {
                sum += f64::from(a.at(x, y) - b.at(x, y)).powi(2);
                count += 1.0;
            }
        }
    }
    10.0 * (255.0 * 255.0 * count / sum.max(1e-9)).log10()
}
