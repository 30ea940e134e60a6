//! What stands before the camera.

use std::str::FromStr;

use crate::shapes::{Shape, Thing};
use crate::texture::Texture;
use crate::vec3::{Vec3, vec3};

/// A scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scene {
    /// Pillars on a tiled square under clouds, and two balls before them.
    #[default]
    Square,
    /// Thin trunks at many depths before a striped wall: many narrow holes, seldom far from the next edge.
    Grove,
    /// Boxes and balls close before each other, strongly patterned: most holes end at another thing.
    Gallery,
}

impl Scene {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Square, Self::Grove, Self::Gallery];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Square => "square",
            Self::Grove => "grove",
            Self::Gallery => "gallery",
        }
    }

    pub(crate) fn things(self, seconds: f32) -> Vec<Thing> {
        match self {
            Self::Square => square(seconds),
            Self::Grove => grove(seconds),
            Self::Gallery => gallery(seconds),
        }
    }
}

impl FromStr for Scene {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scene| scene.name() == name);
        found.ok_or_else(|| format!("{name:?}: allowed are square, grove and gallery"))
    }
}

fn still(shape: Shape, texture: Texture) -> Thing {
    Thing { shape, texture, anchor: vec3(0.0, 0.0, 0.0) }
}

fn ball(centre: Vec3, radius: f32, texture: Texture) -> Thing {
    Thing { shape: Shape::Sphere { centre, radius }, texture, anchor: centre }
}

/// A pillar at `x` and distance `z` that stands on the floor.
fn pillar(x: f32, z: f32, half: Vec3, texture: Texture) -> Thing {
    still(Shape::Pillar { centre: vec3(x, half.y - FLOOR, z), half }, texture)
}

/// How far the floor lies under the camera.
const FLOOR: f32 = 1.2;

fn square(seconds: f32) -> Vec<Thing> {
    let bands = |one, other| Texture::Bands { one, other, height: 0.35 };
    let bounce = |phase: f32| (seconds * 2.2 + phase).sin().abs();
    vec![
        still(
            Shape::Wall { z: 15.0 },
            Texture::Clouds {
                low: vec3(0.20, 0.34, 0.62),
                high: vec3(0.95, 0.86, 0.74),
                scale: 2.5,
            },
        ),
        still(
            Shape::Floor { y: -FLOOR },
            Texture::Tiles {
                light: vec3(0.78, 0.70, 0.55),
                dark: vec3(0.42, 0.33, 0.28),
                size: 0.9,
            },
        ),
        pillar(
            -2.6,
            7.5,
            vec3(0.45, 1.7, 0.45),
            bands(vec3(0.75, 0.28, 0.22), vec3(0.90, 0.80, 0.66)),
        ),
        pillar(
            2.9,
            9.5,
            vec3(0.55, 2.1, 0.55),
            bands(vec3(0.24, 0.50, 0.42), vec3(0.86, 0.86, 0.70)),
        ),
        pillar(
            0.6,
            11.5,
            vec3(0.6, 1.3, 0.6),
            bands(vec3(0.48, 0.36, 0.66), vec3(0.88, 0.78, 0.84)),
        ),
        ball(
            vec3(-0.7 + 0.9 * (seconds * 0.9).sin(), -0.55 + 0.7 * bounce(0.0), 4.2),
            0.55,
            Texture::Bands {
                one: vec3(0.92, 0.62, 0.18),
                other: vec3(0.96, 0.90, 0.80),
                height: 0.2,
            },
        ),
        ball(
            vec3(1.3 - 0.5 * (seconds * 1.1).sin(), -0.8 + 0.5 * bounce(1.3), 5.6),
            0.4,
            Texture::Clouds {
                low: vec3(0.10, 0.42, 0.50),
                high: vec3(0.80, 0.95, 0.92),
                scale: 0.2,
            },
        ),
    ]
}

/// A trunk: where it stands across and in depth, its half width and half height, and two colours.
type Trunk = (f32, f32, f32, f32, Vec3, Vec3);

fn grove(seconds: f32) -> Vec<Thing> {
    const TRUNKS: [Trunk; 9] = [
        (-3.4, 9.0, 0.10, 2.6, vec3(0.30, 0.22, 0.16), vec3(0.52, 0.42, 0.30)),
        (-2.1, 5.2, 0.07, 2.2, vec3(0.62, 0.60, 0.56), vec3(0.20, 0.19, 0.18)),
        (-1.5, 10.5, 0.14, 2.8, vec3(0.26, 0.30, 0.18), vec3(0.44, 0.46, 0.26)),
        (-0.7, 6.6, 0.06, 1.9, vec3(0.70, 0.36, 0.24), vec3(0.50, 0.24, 0.16)),
        (0.1, 4.0, 0.05, 1.7, vec3(0.85, 0.82, 0.74), vec3(0.30, 0.28, 0.26)),
        (0.8, 8.2, 0.12, 2.5, vec3(0.34, 0.24, 0.20), vec3(0.58, 0.46, 0.36)),
        (1.5, 5.8, 0.08, 2.1, vec3(0.18, 0.26, 0.20), vec3(0.36, 0.48, 0.34)),
        (2.6, 7.4, 0.10, 2.3, vec3(0.66, 0.58, 0.40), vec3(0.40, 0.33, 0.22)),
        (3.6, 11.5, 0.18, 3.0, vec3(0.24, 0.20, 0.22), vec3(0.46, 0.40, 0.42)),
    ];
    let stripes =
        Texture::Stripes { one: vec3(0.86, 0.80, 0.62), other: vec3(0.34, 0.46, 0.36), width: 0.8 };
    let grass =
        Texture::Clouds { low: vec3(0.16, 0.30, 0.10), high: vec3(0.66, 0.76, 0.34), scale: 0.25 };
    let mut things =
        vec![still(Shape::Wall { z: 14.0 }, stripes), still(Shape::Floor { y: -FLOOR }, grass)];
    things.extend(TRUNKS.map(|(x, z, half_width, half_height, one, other)| {
        let half = vec3(half_width, half_height, half_width);
        pillar(x, z, half, Texture::Bands { one, other, height: 0.25 })
    }));
    let centre = vec3(-1.6 + 1.1 * seconds, -0.5 + 0.2 * (3.0 * seconds).sin(), 4.8);
    let red =
        Texture::Checks { one: vec3(0.86, 0.16, 0.14), other: vec3(0.95, 0.85, 0.25), size: 0.14 };
    things.push(ball(centre, 0.3, red));
    things
}

fn gallery(seconds: f32) -> Vec<Thing> {
    let checks = |one, other, size| Texture::Checks { one, other, size };
    let stripes = |one, other, width| Texture::Stripes { one, other, width };
    vec![
        still(Shape::Wall { z: 12.0 }, checks(vec3(0.20, 0.22, 0.50), vec3(0.72, 0.70, 0.82), 0.7)),
        still(
            Shape::Floor { y: -FLOOR },
            Texture::Tiles {
                light: vec3(0.70, 0.72, 0.74),
                dark: vec3(0.18, 0.20, 0.24),
                size: 0.6,
            },
        ),
        pillar(
            -1.6,
            6.4,
            vec3(0.9, 0.8, 0.3),
            stripes(vec3(0.90, 0.30, 0.20), vec3(0.96, 0.90, 0.84), 0.18),
        ),
        pillar(
            -1.9,
            8.0,
            vec3(1.2, 1.5, 0.3),
            checks(vec3(0.12, 0.52, 0.34), vec3(0.78, 0.90, 0.40), 0.3),
        ),
        pillar(
            1.2,
            7.2,
            vec3(0.7, 1.2, 0.3),
            checks(vec3(0.95, 0.75, 0.15), vec3(0.35, 0.15, 0.45), 0.22),
        ),
        pillar(
            2.4,
            9.2,
            vec3(0.8, 2.0, 0.3),
            Texture::Clouds {
                low: vec3(0.55, 0.12, 0.20),
                high: vec3(0.98, 0.82, 0.70),
                scale: 0.3,
            },
        ),
        ball(
            vec3(0.3 + 0.5 * (1.3 * seconds).sin(), -0.3, 4.6),
            0.45,
            stripes(vec3(0.10, 0.30, 0.75), vec3(0.90, 0.94, 0.98), 0.15),
        ),
        ball(
            vec3(-0.9, -0.6 + 0.3 * (2.0 * seconds).cos(), 3.6),
            0.3,
            Texture::Clouds {
                low: vec3(0.30, 0.08, 0.05),
                high: vec3(0.98, 0.60, 0.30),
                scale: 0.12,
            },
        ),
        ball(
            vec3(1.1, 0.6, 5.4),
            0.35,
            checks(vec3(0.05, 0.05, 0.06), vec3(0.92, 0.92, 0.90), 0.1),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scene_has_its_name_and_nothing_else_is_one() {
        for scene in Scene::ALL {
            assert_eq!(scene.name().parse(), Ok(scene));
        }
        let error = "forest".parse::<Scene>().unwrap_err();
        assert_eq!(error, "\"forest\": allowed are square, grove and gallery");
    }
}
