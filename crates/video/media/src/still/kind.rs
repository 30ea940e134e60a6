//! What kind of picture a file holds, by its first bytes.

use std::io::Read;
use std::path::Path;

/// The kinds of pictures that are told from films.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP that does not move.
    Webp,
    /// HEIC or AVIF, which the programs here do not read as pictures.
    Heif,
}

impl Picture {
    /// The kind of the picture at `path`; `None` when it is something else, or cannot be read.
    pub fn of(path: &Path) -> Option<Self> {
        // Others, such as pipes, may never let themselves be opened.
        if !std::fs::metadata(path).ok()?.is_file() {
            return None;
        }
        let mut head = Vec::new();
        std::fs::File::open(path).ok()?.take(64).read_to_end(&mut head).ok()?;
        let webp = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP");
        // Bit 1 of the flags of an extended file: it moves.
        let moves = head.get(12..16) == Some(b"VP8X") && head.get(20).is_some_and(|f| f & 2 != 0);
        let brands = [&b"heic"[..], b"heix", b"heim", b"heis", b"mif1", b"avif"];
        match () {
            () if head.starts_with(b"\xFF\xD8\xFF") => Some(Self::Jpeg),
            () if head.starts_with(b"\x89PNG\r\n\x1A\n") => Some(Self::Png),
            () if webp && !moves => Some(Self::Webp),
            () if head.get(4..8) == Some(b"ftyp")
                && brands.iter().any(|brand| head.get(8..12) == Some(brand)) =>
            {
                Some(Self::Heif)
            }
            () => None,
        }
    }

    /// How names of pictures that are made of one end.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png | Self::Webp | Self::Heif => "png",
        }
    }

    /// ffmpeg's demuxer of one file of it.
    pub(super) fn demuxer(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg_pipe",
            Self::Png | Self::Heif => "png_pipe",
            Self::Webp => "webp_pipe",
        }
    }
}
