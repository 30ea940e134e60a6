//! One picture with its presentation time.

use std::sync::Arc;

use crate::VideoFormat;

/// One picture. Samples are `format.frame_bytes()` bytes: luma, then Cb, then Cr, rows tight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    format: Arc<VideoFormat>,
    /// Presentation time in ticks of the clip's time base.
    pub pts: i64,
    data: Vec<u8>,
}

/// A buffer whose length does not fit its format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {width}x{height} {pixels} frame has {expected} bytes, this buffer has {found}")]
pub struct FrameError {
    width: u32,
    height: u32,
    pixels: String,
    expected: usize,
    found: usize,
}

impl Frame {
    /// Wraps a buffer without copying it.
    ///
    /// # Errors
    /// When `data` is not exactly one frame of `format`.
    pub fn new(format: Arc<VideoFormat>, pts: i64, data: Vec<u8>) -> Result<Self, FrameError> {
        let expected = format.frame_bytes();
        if data.len() != expected {
            return Err(FrameError {
                width: format.width,
                height: format.height,
                pixels: format.pixels.ffmpeg_name(),
                expected,
                found: data.len(),
            });
        }
        Ok(Self { format, pts, data })
    }

    /// A frame of zero samples.
    pub fn zeroed(format: Arc<VideoFormat>, pts: i64) -> Self {
        let data = vec![0; format.frame_bytes()];
        Self { format, pts, data }
    }

    /// Size, layout and colour tags.
    pub fn format(&self) -> &Arc<VideoFormat> {
        &self.format
    }

    /// The whole buffer.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The whole buffer, writable.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Gives the buffer back, for reuse.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The bytes of plane `index` (0 luma, 1 Cb, 2 Cr).
    pub fn plane(&self, index: usize) -> &[u8] {
        let shape = self.format.plane(index);
        let bytes = shape.width * shape.height * self.format.pixels.sample_bytes();
        &self.data[shape.offset..shape.offset + bytes]
    }

    /// The bytes of plane `index`, writable.
    pub fn plane_mut(&mut self, index: usize) -> &mut [u8] {
        let shape = self.format.plane(index);
        let bytes = shape.width * shape.height * self.format.pixels.sample_bytes();
        &mut self.data[shape.offset..shape.offset + bytes]
    }

    /// Plane `index` as code values in f32 (0 to `max_value`), row-major.
    pub fn plane_f32(&self, index: usize) -> Vec<f32> {
        let plane = self.plane(index);
        if self.format.pixels.sample_bytes() == 1 {
            plane.iter().map(|&v| f32::from(v)).collect()
        } else {
            plane.chunks_exact(2).map(|b| f32::from(u16::from_le_bytes([b[0], b[1]]))).collect()
        }
    }

    /// Writes code values into plane `index`, rounded to nearest and clamped to the format.
    ///
    /// # Panics
    /// When `values` has another number of samples than the plane.
    pub fn set_plane_f32(&mut self, index: usize, values: &[f32]) {
        let max = f32::from(self.format.pixels.max_value());
        let wide = self.format.pixels.sample_bytes() == 2;
        let plane = self.plane_mut(index);
        assert_eq!(
            plane.len(),
            values.len() * if wide { 2 } else { 1 },
            "samples of plane {index}"
        );
        if wide {
            for (out, &v) in plane.chunks_exact_mut(2).zip(values) {
                out.copy_from_slice(&((v.clamp(0.0, max) + 0.5) as u16).to_le_bytes());
            }
        } else {
            for (out, &v) in plane.iter_mut().zip(values) {
                *out = (v.clamp(0.0, max) + 0.5) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chroma, Colour, PixelFormat};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn planes_survive_the_round_trip_through_f32(
            width in 1u32..9, height in 1u32..9,
            bits in prop::sample::select(vec![8u8, 10, 12]),
            chroma in prop::sample::select(vec![Chroma::Gray, Chroma::Yuv420, Chroma::Yuv422, Chroma::Yuv444]),
            seed in any::<u16>(),
        ) {
            let pixels = PixelFormat::new(chroma, bits).unwrap();
            let format = Arc::new(VideoFormat { width, height, pixels, colour: Colour::default() });
            let mut frame = Frame::zeroed(format, 0);
            for plane in 0..chroma.planes() {
                let count = frame.plane(plane).len() / pixels.sample_bytes();
                let values: Vec<f32> = (0..count)
                    .map(|i| f32::from((seed.wrapping_mul(i as u16 + 1)) % (pixels.max_value() + 1)))
                    .collect();
                frame.set_plane_f32(plane, &values);
                prop_assert_eq!(frame.plane_f32(plane), values);
            }
        }
    }

    #[test]
    fn a_buffer_of_the_wrong_length_is_refused_by_size() {
        let format = Arc::new(VideoFormat {
            width: 4,
            height: 2,
            pixels: PixelFormat::YUV420P,
            colour: Colour::default(),
        });
        let error = Frame::new(format, 0, vec![0; 11]).unwrap_err();
        assert_eq!(error.to_string(), "a 4x2 yuv420p frame has 12 bytes, this buffer has 11");
    }
}
