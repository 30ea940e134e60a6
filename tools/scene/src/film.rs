//! The film: how the camera moves, and a frame of it.

use std::sync::Arc;

use parallax_frame::{Colour, Frame, PixelFormat, Range, VideoFormat};
use rayon::prelude::*;

use crate::camera::{Eye, FOCAL, NEAR, Stereo, depth};
use crate::scenes::Scene;
use crate::shapes::Thing;
use crate::vec3::{Vec3, vec3};

/// A film of one scene.
#[derive(Debug, Clone, Copy)]
pub struct Film {
    /// Picture width in pixels, at least 1.
    pub width: u32,
    /// Picture height in pixels, at least 1.
    pub height: u32,
    /// Stereo geometry.
    pub stereo: Stereo,
    /// What is before the camera.
    pub scene: Scene,
    /// What the camera does.
    pub camera: Camera,
    /// Rays per pixel and side: two are four per pixel.
    pub samples: u32,
}

/// What the camera does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Camera {
    /// A slow truck to the side, a little forward and up.
    #[default]
    Truck,
    /// It stands still; the things before it move.
    Tripod,
}

/// One rendered view.
#[derive(Debug, Clone)]
pub struct View {
    /// The picture: 4:4:4, BT.709, limited range.
    pub frame: Frame,
    /// Normalised inverse distance of each pixel's centre, row-major: 0 farthest, 1 nearest.
    pub depth: Vec<f32>,
}

impl Film {
    /// The format of its frames.
    pub fn format(&self) -> VideoFormat {
        let tag = |name: &str| Some(name.to_owned());
        VideoFormat {
            width: self.width,
            height: self.height,
            pixels: PixelFormat::YUV444P,
            colour: Colour {
                range: Some(Range::Limited),
                matrix: tag("bt709"),
                primaries: tag("bt709"),
                transfer: tag("bt709"),
            },
        }
    }

    /// The view of `eye` at `seconds`; `pts` is only written into the frame.
    pub fn view(&self, eye: Eye, seconds: f32, pts: i64) -> View {
        let things = self.scene.things(seconds);
        let (aside, shift) = self.stereo.placement(eye);
        let clock = if self.camera == Camera::Truck { seconds } else { 0.0 };
        let turn = clock * 0.7;
        let from = vec3(0.9 * turn.sin() + aside, 0.15 * (turn * 0.6).sin(), 0.25 * clock.sin());
        let samples = self.samples.max(1);
        let (width, height) = (self.width as usize, self.height as usize);
        let scale = 1.0 / self.width as f32;
        let ray = |x: f32, y: f32| {
            let across = (x * scale - 0.5 - shift) / FOCAL;
            let up = (0.5 * self.height as f32 - y) * scale / FOCAL;
            vec3(across, up, 1.0)
        };
        let mut colours = vec![vec3(0.0, 0.0, 0.0); width * height];
        let mut depths = vec![0.0f32; width * height];
        let rows = colours.par_chunks_mut(width).zip(depths.par_chunks_mut(width)).enumerate();
        rows.for_each(|(y, (colours, depths))| {
            for (x, (colour, deep)) in colours.iter_mut().zip(depths).enumerate() {
                let (_, z) = trace(&things, from, ray(x as f32 + 0.5, y as f32 + 0.5));
                *deep = depth(z);
                let mut sum = vec3(0.0, 0.0, 0.0);
                for sub in 0..samples * samples {
                    let offset = |n: u32| (n as f32 + 0.5) / samples as f32;
                    let (dx, dy) = (offset(sub % samples), offset(sub / samples));
                    sum = sum + trace(&things, from, ray(x as f32 + dx, y as f32 + dy)).0;
                }
                *colour = sum * (1.0 / (samples * samples) as f32);
            }
        });
        View { frame: self.frame(&colours, pts), depth: depths }
    }

    fn frame(&self, colours: &[Vec3], pts: i64) -> Frame {
        let mut frame = Frame::zeroed(Arc::new(self.format()), pts);
        let encoded: Vec<[f32; 3]> = colours.iter().map(|c| ycbcr(*c)).collect();
        for plane in 0..3 {
            let values: Vec<f32> = encoded.iter().map(|c| c[plane]).collect();
            frame.set_plane_f32(plane, &values);
        }
        frame
    }
}

/// BT.709 code values, 8 bits, limited range, of a colour whose channels are already non-linear.
fn ycbcr(c: Vec3) -> [f32; 3] {
    let (r, g, b) = (c.x.clamp(0.0, 1.0), c.y.clamp(0.0, 1.0), c.z.clamp(0.0, 1.0));
    let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    [16.0 + 219.0 * y, 128.0 + 224.0 * (b - y) / 1.8556, 128.0 + 224.0 * (r - y) / 1.5748]
}

/// Colour and distance along the view axis of what a ray meets.
fn trace(things: &[Thing], from: Vec3, direction: Vec3) -> (Vec3, f32) {
    let light = vec3(0.4, 0.8, -0.5).unit();
    let mut nearest = (f32::MAX, vec3(0.0, 0.0, 0.0));
    for thing in things {
        if let Some((t, normal)) = thing.shape.hit(from, direction)
            && t < nearest.0
        {
            let at = from + direction * t;
            let lit = 0.45 + 0.55 * normal.dot(light).max(0.0);
            nearest = (t, thing.texture.at(at - thing.anchor) * lit);
        }
    }
    // Directions have a view-axis part of 1, so distance in their units is distance along it.
    (nearest.1, nearest.0.max(NEAR))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILM: Film = Film {
        width: 160,
        height: 90,
        stereo: Stereo { disparity_percent: 5.0, convergence: 0.3 },
        scene: Scene::Square,
        camera: Camera::Truck,
        samples: 2,
    };

    #[test]
    fn depth_predicts_where_the_right_eye_sees_each_point() {
        let left = FILM.view(Eye::Left, 1.0, 0);
        let right = FILM.view(Eye::Right, 1.0, 0);
        let (l, r) = (left.frame.plane(0), right.frame.plane(0));
        let range = 0.05 * 160.0;
        let (mut close, mut compared) = (0, 0);
        for y in 0..90usize {
            for x in 12..148usize {
                let d = left.depth[y * 160 + x];
                let to = x as f32 + 0.5 - (d - 0.3) * range;
                let there = y * 160 + to as usize;
                // Where the right eye sees the same depth, it sees the same surface.
                if (right.depth[there] - d).abs() > 0.01 {
                    continue;
                }
                compared += 1;
                close += usize::from(l[y * 160 + x].abs_diff(r[there]) < 40);
            }
        }
        assert!(compared > 9000, "{compared}");
        assert!(close * 100 > compared * 95, "{close} of {compared}");
    }

    #[test]
    fn on_a_tripod_the_background_stands_still() {
        let film = Film { camera: Camera::Tripod, ..FILM };
        let (one, other) = (film.view(Eye::Left, 0.2, 0), film.view(Eye::Left, 0.9, 0));
        let rows = one.frame.plane(0).iter().zip(other.frame.plane(0));
        let same = rows.clone().filter(|(a, b)| a == b).count();
        assert!(same > 160 * 90 * 3 / 4 && same < 160 * 90, "{same} samples stand still");
    }

    #[test]
    fn depth_spans_the_scene_and_frames_differ_over_time() {
        let view = FILM.view(Eye::Left, 0.5, 7);
        let (least, most) =
            view.depth.iter().fold((f32::MAX, f32::MIN), |(a, b), &d| (a.min(d), b.max(d)));
        assert!((0.0..0.1).contains(&least) && (0.3..=1.0).contains(&most), "{least} to {most}");
        assert_eq!(view.frame.pts, 7);
        assert_ne!(view.frame.data(), FILM.view(Eye::Left, 0.6, 7).frame.data());
        assert_eq!(view.frame.data(), FILM.view(Eye::Left, 0.5, 7).frame.data());
    }
}
