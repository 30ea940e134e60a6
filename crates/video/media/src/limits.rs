//! What a foreign file may be and may cost.

use std::time::Duration;

/// Demuxers that may open a foreign file, in ffmpeg's names.
///
/// Containers only: nothing here opens another file or address by a name it read (playlists,
/// `concat`, `sdp`, `dash`, image patterns) and nothing accepts arbitrary text as a picture.
pub const DEMUXERS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,avi,flv,asf,ogg,\
                            nut,mxf,ivf,yuv4mpegpipe,gif";

/// The usual [`Limits::stall_time`].
pub(crate) const STALL: Duration = Duration::from_secs(600);

/// The usual [`Limits::child_file_bytes`].
const LARGEST: u64 = 1 << 40;

/// Limits on one input. `Default` suits a feature film in 8K.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Size of the file in bytes. Defaults to 256 GiB.
    pub file_bytes: u64,
    /// Length of the main video stream. Defaults to 12 hours.
    pub duration: Duration,
    /// Streams of all kinds, attachments among them. Defaults to 1000.
    pub streams: u32,
    /// Width times height. Defaults to 8192 x 8192.
    pub frame_pixels: u64,
    /// Frames of the main video stream. Defaults to 12 hours at 120 frames per second.
    pub frames: u64,
    /// Wall time of one probe of the headers. Defaults to 60 s.
    pub probe_time: Duration,
    /// Wall time of one scan through all packets. Defaults to 30 min.
    pub scan_time: Duration,
    /// Wall time that a child process may let us wait at a stretch: for its next picture, for taking
    /// ours, or for its end. Defaults to 10 min; a large file that is copied gets more.
    pub stall_time: Duration,
    /// Address space of one child process in bytes; 0 means unlimited. Only effective where the
    /// `prlimit` program is found: setting it from here would take unsafe code. Defaults to 32 GiB.
    pub child_memory_bytes: u64,
    /// Processor time of one child process, of all its threads; zero means unlimited, and so does a lack of
    /// `prlimit`. Time that it lets us wait is bounded by `stall_time` and by what it makes of it: this is for
    /// one that nobody waits for any more. Defaults to 14 days.
    pub child_cpu_time: Duration,
    /// Size of a file that one child process writes; 0 means unlimited, and so does a lack of `prlimit`.
    /// Copies of what is known may write twice that and 1 GiB at most. Defaults to 1 TiB.
    pub child_file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 256 << 30,
            duration: Duration::from_secs(12 * 3600),
            streams: 1000,
            frame_pixels: 8192 * 8192,
            frames: 12 * 3600 * 120,
            probe_time: Duration::from_secs(60),
            scan_time: Duration::from_secs(1800),
            stall_time: STALL,
            child_memory_bytes: 32 << 30,
            child_cpu_time: Duration::from_secs(14 * 24 * 3600),
            child_file_bytes: LARGEST,
        }
    }
}
