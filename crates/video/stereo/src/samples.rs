//! Samples of a plane of a frame, one by one.

use parallax_frame::Frame;

/// The samples of one plane.
pub(crate) struct Samples<'a> {
    plane: &'a [u8],
    width: usize,
    wide: bool,
    /// Code values for one of 8 bits.
    pub(crate) scale: f32,
}

impl<'a> Samples<'a> {
    pub(crate) fn of(frame: &'a Frame, index: usize) -> Self {
        let format = frame.format();
        let wide = format.pixels.sample_bytes() == 2;
        let scale = (1u32 << (format.pixels.bits() - 8)) as f32;
        Self { plane: frame.plane(index), width: format.plane(index).width, wide, scale }
    }

    #[inline]
    pub(crate) fn at(&self, x: usize, y: usize) -> f32 {
        get(self.plane, y * self.width + x, self.wide)
    }
}

/// The code value of sample `i` of `plane`, which has two bytes for each if it is `wide`.
#[inline]
pub(crate) fn get(plane: &[u8], i: usize, wide: bool) -> f32 {
    if wide {
        f32::from(u16::from_le_bytes([plane[2 * i], plane[2 * i + 1]]))
    } else {
        f32::from(plane[i])
    }
}

/// Makes sample `i` of `plane` the code value nearest to `value`, which the format must have.
#[inline]
pub(crate) fn set(plane: &mut [u8], i: usize, wide: bool, value: f32) {
    if wide {
        plane[2 * i..2 * i + 2].copy_from_slice(&((value + 0.5) as u16).to_le_bytes());
    } else {
        plane[i] = (value + 0.5) as u8;
    }
}
