//! Sizes and layouts of planar pixel formats.

use crate::Colour;

/// Chroma subsampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chroma {
    /// Luma only.
    Gray,
    /// Chroma halved in both directions.
    Yuv420,
    /// Chroma halved horizontally.
    Yuv422,
    /// Chroma at luma resolution.
    Yuv444,
}

impl Chroma {
    /// `(log2 horizontal, log2 vertical)` subsampling of the chroma planes.
    pub fn shifts(self) -> (u32, u32) {
        match self {
            Chroma::Gray | Chroma::Yuv444 => (0, 0),
            Chroma::Yuv422 => (1, 0),
            Chroma::Yuv420 => (1, 1),
        }
    }

    /// Number of planes: 1 or 3.
    pub fn planes(self) -> usize {
        if self == Chroma::Gray { 1 } else { 3 }
    }
}

/// A planar pixel format: subsampling and bits per sample (8, 10 or 12; above 8, two bytes each,
/// little endian).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PixelFormat {
    chroma: Chroma,
    bits: u8,
}

/// A pixel format that this project does not process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{bits} bits per sample: allowed are 8, 10 and 12")]
pub struct FormatError {
    bits: u8,
}

impl PixelFormat {
    /// 8-bit 4:2:0, what almost all video is.
    pub const YUV420P: PixelFormat = PixelFormat { chroma: Chroma::Yuv420, bits: 8 };
    /// 8-bit 4:4:4.
    pub const YUV444P: PixelFormat = PixelFormat { chroma: Chroma::Yuv444, bits: 8 };
    /// 16-bit luma: depth, which is data. No film is read or encoded with so many bits.
    pub const GRAY16: PixelFormat = PixelFormat { chroma: Chroma::Gray, bits: 16 };

    /// # Errors
    /// When `bits` is not 8, 10 or 12.
    pub fn new(chroma: Chroma, bits: u8) -> Result<Self, FormatError> {
        match bits {
            8 | 10 | 12 => Ok(Self { chroma, bits }),
            _ => Err(FormatError { bits }),
        }
    }

    /// Subsampling.
    pub fn chroma(self) -> Chroma {
        self.chroma
    }

    /// Bits per sample.
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// Bytes per sample: 1 or 2.
    pub fn sample_bytes(self) -> usize {
        if self.bits > 8 { 2 } else { 1 }
    }

    /// The largest sample value.
    pub fn max_value(self) -> u16 {
        ((1u32 << self.bits) - 1) as u16
    }

    /// ffmpeg's name, for `-pix_fmt`.
    pub fn ffmpeg_name(self) -> String {
        let base = match self.chroma {
            Chroma::Gray if self.bits == 8 => return "gray".to_owned(),
            Chroma::Gray => return format!("gray{}le", self.bits),
            Chroma::Yuv420 => "yuv420p",
            Chroma::Yuv422 => "yuv422p",
            Chroma::Yuv444 => "yuv444p",
        };
        if self.bits == 8 { base.to_owned() } else { format!("{base}{}le", self.bits) }
    }
}

/// Where one plane lies in a frame's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaneShape {
    /// Samples per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Byte offset of the first row; rows follow one another without padding.
    pub offset: usize,
}

/// Everything about a frame but its samples and its time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VideoFormat {
    /// Luma samples per row, at least 1.
    pub width: u32,
    /// Luma rows, at least 1.
    pub height: u32,
    /// Planar layout.
    pub pixels: PixelFormat,
    /// Colour tags.
    pub colour: Colour,
}

impl VideoFormat {
    /// Shape of plane `index` (0 luma, 1 Cb, 2 Cr). Subsampled sizes round up, as ffmpeg's do.
    ///
    /// # Panics
    /// When the format has no such plane.
    pub fn plane(&self, index: usize) -> PlaneShape {
        assert!(index < self.pixels.chroma().planes(), "no plane {index} in {:?}", self.pixels);
        let bytes = self.pixels.sample_bytes();
        let luma = self.width as usize * self.height as usize * bytes;
        let (sx, sy) = self.pixels.chroma().shifts();
        let width = self.width.div_ceil(1 << sx) as usize;
        let height = self.height.div_ceil(1 << sy) as usize;
        match index {
            0 => PlaneShape { width: self.width as usize, height: self.height as usize, offset: 0 },
            n => PlaneShape { width, height, offset: luma + (n - 1) * width * height * bytes },
        }
    }

    /// Bytes of one frame.
    pub fn frame_bytes(&self) -> usize {
        let last = self.plane(self.pixels.chroma().planes() - 1);
        last.offset + last.width * last.height * self.pixels.sample_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_uses_all_sixteen_bits() {
        let deep = PixelFormat::GRAY16;
        assert_eq!((deep.max_value(), deep.sample_bytes()), (65535, 2));
        assert_eq!(deep.ffmpeg_name(), "gray16le");
        assert!(PixelFormat::new(Chroma::Gray, 16).is_err());
    }

    #[test]
    fn odd_sizes_round_chroma_up_and_planes_do_not_overlap() {
        let format = VideoFormat {
            width: 5,
            height: 3,
            pixels: PixelFormat::new(Chroma::Yuv420, 10).unwrap(),
            colour: Colour::default(),
        };
        assert_eq!(format.plane(0), PlaneShape { width: 5, height: 3, offset: 0 });
        assert_eq!(format.plane(1), PlaneShape { width: 3, height: 2, offset: 30 });
        assert_eq!(format.plane(2), PlaneShape { width: 3, height: 2, offset: 42 });
        assert_eq!(format.frame_bytes(), 54);
        assert_eq!(format.pixels.ffmpeg_name(), "yuv420p10le");
    }
}
