//! What stands in the scene, and where a ray meets it.

use crate::texture::Texture;
use crate::vec3::{Vec3, vec3};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// The plane at this height, seen from above.
    Floor {
        y: f32,
    },
    /// The plane at this distance.
    Wall {
        z: f32,
    },
    Sphere {
        centre: Vec3,
        radius: f32,
    },
    /// An upright box.
    Pillar {
        centre: Vec3,
        half: Vec3,
    },
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Thing {
    pub(crate) shape: Shape,
    pub(crate) texture: Texture,
    /// Where the texture's origin is: it moves with the thing.
    pub(crate) anchor: Vec3,
}

impl Shape {
    /// Distance along the ray to the first hit, in units of `direction`, and the surface's normal.
    pub(crate) fn hit(self, from: Vec3, direction: Vec3) -> Option<(f32, Vec3)> {
        match self {
            Shape::Floor { y } => {
                let t = (y - from.y) / direction.y;
                (t > 0.0 && t.is_finite()).then_some((t, vec3(0.0, 1.0, 0.0)))
            }
            Shape::Wall { z } => {
                let t = (z - from.z) / direction.z;
                (t > 0.0 && t.is_finite()).then_some((t, vec3(0.0, 0.0, -1.0)))
            }
            Shape::Sphere { centre, radius } => {
                let to = from - centre;
                let (a, b) = (direction.dot(direction), to.dot(direction));
                let inside = b * b - a * (to.dot(to) - radius * radius);
                if inside < 0.0 {
                    return None;
                }
                let t = (-b - inside.sqrt()) / a;
                (t > 0.0).then(|| (t, (to + direction * t) * radius.recip()))
            }
            Shape::Pillar { centre, half } => slabs(from - centre, direction, half),
        }
    }
}

/// The slab method for a box around the origin.
fn slabs(from: Vec3, direction: Vec3, half: Vec3) -> Option<(f32, Vec3)> {
    let axes = [
        (from.x, direction.x, half.x, vec3(1.0, 0.0, 0.0)),
        (from.y, direction.y, half.y, vec3(0.0, 1.0, 0.0)),
        (from.z, direction.z, half.z, vec3(0.0, 0.0, 1.0)),
    ];
    let (mut enter, mut leave, mut normal) = (f32::MIN, f32::MAX, vec3(0.0, 0.0, 0.0));
    for (at, along, half, axis) in axes {
        let (a, b) = ((-half - at) / along, (half - at) / along);
        let (near, far) = (a.min(b), a.max(b));
        if near > enter {
            enter = near;
            normal = axis * -along.signum();
        }
        leave = leave.min(far);
    }
    (enter > 0.0 && enter < leave).then_some((enter, normal))
}
