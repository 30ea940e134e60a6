//! What is settled about a clip before its first frame.

use parallax_stereo::{Clip, Error, Rgb};

use super::desk::Desk;
use crate::plan::{Job, Plan};
use crate::size::{LONGEST_PX, Size, nearest_size};

/// A clip's colours, the size at which depth is estimated, and how work is cut.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) rgb: Rgb,
    pub(super) depth_size: Size,
    pub(super) plan: Plan,
}

impl Scene {
    /// That of `clip`.
    ///
    /// # Errors
    /// `Unsupported` for pictures without red, green and blue; `OutOfMemory` where they do not fit.
    pub(super) fn of(desk: &Desk, clip: &Clip) -> Result<Self, Error> {
        let rgb = Rgb::of(&clip.format)?;
        let picture = Size::new(clip.format.width as usize, clip.format.height as usize);
        let depth_size = nearest_size(picture, LONGEST_PX);
        let job = Job { depth: depth_size, picture, downsampling: desk.downsampling };
        Ok(Self { rgb, depth_size, plan: desk.plan(&job)? })
    }
}
