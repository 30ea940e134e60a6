//! One segment on disk.

use std::path::{Path, PathBuf};

/// One segment on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    /// The MP4 file. Its first frame has time 0; its unit is `1 / den` of the source's.
    pub path: PathBuf,
    /// Frames that it shows.
    pub frames: u64,
    /// Presentation time of its first frame in the source, in ticks of the source.
    pub start: i64,
}

/// The file of segment `index` in `out_dir`.
pub(super) fn segment_path(out_dir: &Path, index: usize) -> PathBuf {
    out_dir.join(format!("segment-{index:05}.mp4"))
}
