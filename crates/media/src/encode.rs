//! Encoding: frames with exact times to an MP4 with the same times.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{ChildStdin, Command};
use std::sync::Arc;

use parallax_frame::{Chroma, Frame, FrameRate, PixelFormat, Range, TimeBase, VideoFormat};
use tokio_util::sync::CancellationToken;

use crate::child::Child;
use crate::error::{Error, Kind, Result, show_path};
use crate::matroska::{self, UNITS_PER_SECOND};
use crate::output::Partial;
use crate::probe::probe;
use crate::programs::{Tools, file_url};
use crate::scan::scan;

/// Video encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// H.264 by x264: plays everywhere. At most 10 bits; 12 are reduced to 10.
    #[default]
    X264,
    /// H.265 by x265: for pictures wider than 4096 and for 12 bits.
    X265,
}

/// How to encode. The same settings and frames give the same file.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodeSettings {
    /// Encoder. Defaults to x264.
    pub codec: Codec,
    /// Constant quality, 0 (best) to 51. Defaults to 16.
    pub crf: u8,
    /// Every sample is kept; `crf` is ignored. Defaults to off.
    pub lossless: bool,
    /// Speed preset of x264 and x265. Defaults to `medium`.
    pub preset: String,
    /// Encoder threads. A fixed number, because x264's output depends on it. Defaults to 4.
    pub threads: u8,
    /// Sample aspect ratio. Defaults to 1:1.
    pub sample_aspect: (u32, u32),
    /// The picture holds two views side by side: say so in the stream (x264 only).
    pub side_by_side: bool,
}

impl Default for EncodeSettings {
    fn default() -> Self {
        Self {
            codec: Codec::X264,
            crf: 16,
            lossless: false,
            preset: "medium".to_owned(),
            threads: 4,
            sample_aspect: (1, 1),
            side_by_side: false,
        }
    }
}

/// The timing of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Unit of the frames' times, kept as the file's timescale.
    pub time_base: TimeBase,
    /// Nominal rate, for rate control and the last frame's length.
    pub rate: FrameRate,
}

/// Writes one clip. The file takes its name in [`Encoder::finish`]; dropped before, it is removed
/// and the child killed.
#[derive(Debug)]
pub struct Encoder {
    tools: Tools,
    child: Option<Child>,
    stdin: Option<ChildStdin>,
    partial: Partial,
    doing: String,
    format: Arc<VideoFormat>,
    /// Colourless chroma planes, which follow the luma of a gray frame.
    neutral: Vec<u8>,
    time_base: TimeBase,
    times: Vec<i64>,
    cancel: CancellationToken,
}

impl Encoder {
    /// Starts an encoder whose result will be at `path` (MP4).
    ///
    /// # Errors
    /// `Input` when the format cannot be encoded: 4:2:0 and gray need even sizes, 4:2:2 an even
    /// width;
    /// `Io` or `Space` when nothing can be created beside `path`; `Tool`.
    pub fn create(
        tools: &Tools,
        path: &Path,
        format: &Arc<VideoFormat>,
        timing: Timing,
        settings: &EncodeSettings,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let carried = carried(format);
        check(path, &carried, timing, settings)?;
        let partial = Partial::create(path)?;
        let mut command = tools.ffmpeg();
        command.args(["-f", "matroska", "-i", "pipe:0", "-map", "0:v:0", "-map_metadata", "-1"]);
        command.args(["-vf", &filter(format, settings)]);
        codec(&mut command, &carried, settings);
        let TimeBase { num, den } = timing.time_base;
        command.args(tools.passthrough()).arg("-enc_time_base").arg(format!("{num}:{den}"));
        command.arg("-video_track_timescale").arg(den.to_string());
        command.args(["-f", "mp4"]).arg(file_url(partial.path()));
        let mut child = Child::spawn(&mut command, cancel, None, |_| false)?;
        child.stdout = None;
        let stdin = child.stdin.take();
        let mut encoder = Self {
            tools: tools.clone(),
            child: Some(child),
            stdin,
            partial,
            doing: format!("encode {}", show_path(path)),
            format: Arc::clone(format),
            neutral: neutral_chroma(format, &carried),
            time_base: timing.time_base,
            times: Vec::new(),
            cancel: cancel.clone(),
        };
        encoder.send(&matroska::header(&carried, timing.rate), &[], &[])?;
        Ok(encoder)
    }

    /// Writes the next frame. Times start at 0 or later and ascend strictly.
    ///
    /// # Errors
    /// `Input` when the frame has another format or does not come after the previous one; what
    /// the child said when it ended early (`Space` for a full disk); `Cancelled`.
    pub fn write(&mut self, frame: &Frame) -> Result<()> {
        if frame.format() != &self.format {
            let what = format!("frame {} has another format than the clip", self.times.len());
            return Err(Error::new(Kind::Input, format!("{}: {what}", self.doing)));
        }
        let after = self.times.last().is_none_or(|&last| frame.pts > last);
        if !after || frame.pts < 0 {
            let (count, pts) = (self.times.len(), frame.pts);
            let what = format!("frame {count} has time {pts}; allowed are ascending times from 0");
            return Err(Error::new(Kind::Input, format!("{}: {what}", self.doing)));
        }
        let time_ns = self.time_base.rescale(frame.pts, UNITS_PER_SECOND).unsigned_abs();
        let neutral = std::mem::take(&mut self.neutral);
        let header = matroska::frame_header(time_ns, frame.data().len() + neutral.len());
        self.send(&header, frame.data(), &neutral)?;
        self.neutral = neutral;
        self.times.push(frame.pts);
        Ok(())
    }

    /// Frames written so far.
    pub fn frames(&self) -> u64 {
        self.times.len() as u64
    }

    /// Ends the stream, checks that the file holds every frame at its time, and names it.
    ///
    /// # Errors
    /// As [`Encoder::write`]; `Input` when no frame was written.
    pub fn finish(mut self) -> Result<()> {
        if self.times.is_empty() {
            return Err(Error::new(Kind::Input, format!("{}: no frames", self.doing)));
        }
        self.stdin = None;
        if let Some(child) = self.child.take() {
            child.wait()?.check(&self.doing, Kind::Io)?;
        }
        self.verify()?;
        self.partial.finish()
    }

    fn verify(&self) -> Result<()> {
        let packets = probe(&self.tools, self.partial.path(), &self.cancel)
            .and_then(|media| scan(&self.tools, &media, &self.cancel))
            .map_err(Error::of_own_file)?;
        let found = packets.frame_times().unwrap_or_default();
        let ticks = i64::from(self.time_base.num);
        // A late start is stored in another unit; the distances are exact.
        let shape = |times: &[i64], ticks: i64| -> Vec<i64> {
            let first = times.first().copied().unwrap_or(0);
            times.iter().map(|time| (time - first) * ticks).collect()
        };
        if shape(&found, 1) != shape(&self.times, ticks) {
            let counts = format!("{} frames, not {}", found.len(), self.times.len());
            let what = format!("{}: the file holds {counts}, or other times", self.doing);
            return Err(Error::new(Kind::Io, what));
        }
        Ok(())
    }

    fn send(&mut self, head: &[u8], body: &[u8], tail: &[u8]) -> Result<()> {
        let Some(stdin) = &mut self.stdin else {
            return Err(Error::new(Kind::Io, format!("{}: already ended", self.doing)));
        };
        let sent = [head, body, tail].iter().try_for_each(|part| stdin.write_all(part));
        let Err(error) = sent else { return Ok(()) };
        self.stdin = None;
        match self.child.take() {
            Some(child) if error.kind() == ErrorKind::BrokenPipe => {
                Err(child.wait()?.failure(&self.doing, Kind::Io))
            }
            _ => Err(Error::new(Kind::Io, format!("{}: {error}", self.doing))),
        }
    }
}

/// The format that is encoded. Gray becomes 4:2:0 without colour: hardly any player takes 4:0:0.
fn carried(format: &VideoFormat) -> VideoFormat {
    let mut carried = format.clone();
    if format.pixels.chroma() == Chroma::Gray
        && let Ok(pixels) = PixelFormat::new(Chroma::Yuv420, format.pixels.bits())
    {
        carried.pixels = pixels;
    }
    carried
}

fn neutral_chroma(format: &VideoFormat, carried: &VideoFormat) -> Vec<u8> {
    let bytes = carried.frame_bytes() - format.frame_bytes();
    let middle = 1u16 << (format.pixels.bits() - 1);
    match format.pixels.sample_bytes() {
        1 => vec![middle as u8; bytes],
        _ => middle.to_le_bytes().repeat(bytes / 2),
    }
}

fn check(
    path: &Path,
    format: &VideoFormat,
    timing: Timing,
    settings: &EncodeSettings,
) -> Result<()> {
    let VideoFormat { width, height, .. } = *format;
    let (even_width, even_height) = match format.pixels.chroma() {
        Chroma::Gray | Chroma::Yuv420 => (width % 2 == 0, height % 2 == 0),
        Chroma::Yuv422 => (width % 2 == 0, true),
        Chroma::Yuv444 => (true, true),
    };
    if !even_width || !even_height || width == 0 || height == 0 {
        let pixels = format.pixels.ffmpeg_name();
        let what = format!("{width}x{height} {pixels} cannot be encoded; allowed are even sizes");
        return Err(Error::input(path, what));
    }
    if timing.time_base.den > i32::MAX as u32 || timing.rate.num == 0 || timing.rate.den == 0 {
        return Err(Error::input(path, format!("unusable timing {timing:?}")));
    }
    let preset_is_plain = settings.preset.bytes().all(|b| b.is_ascii_lowercase());
    if settings.crf > 51 || settings.threads == 0 || !preset_is_plain {
        return Err(Error::input(path, format!("unusable settings {settings:?}")));
    }
    Ok(())
}

/// Tags go onto the frames: since 5.0 ffmpeg takes an encoder's tags from its first frame.
fn filter(format: &VideoFormat, settings: &EncodeSettings) -> String {
    let colour = &format.colour;
    let mut tags = Vec::new();
    if let Some(range) = colour.range {
        tags.push(format!("range={}", if range == Range::Full { "pc" } else { "tv" }));
    }
    let named = [
        ("colorspace", &colour.matrix),
        ("color_primaries", &colour.primaries),
        ("color_trc", &colour.transfer),
    ];
    for (option, name) in named {
        if let Some(name) = name {
            tags.push(format!("{option}={name}"));
        }
    }
    let (num, den) = settings.sample_aspect;
    let aspect = format!("setsar={num}/{den}");
    if tags.is_empty() { aspect } else { format!("setparams={},{aspect}", tags.join(":")) }
}

fn codec(command: &mut Command, format: &VideoFormat, settings: &EncodeSettings) {
    let mut pixels = format.pixels.ffmpeg_name();
    match settings.codec {
        Codec::X264 => {
            pixels = pixels.replace("12le", "10le");
            command.args(["-c:v", "libx264", "-threads", &settings.threads.to_string()]);
            if settings.side_by_side {
                command.args(["-x264-params", "frame-packing=3"]);
            }
        }
        Codec::X265 => {
            // Players of the Apple family want hvc1; `log-level` keeps x265's banner out of errors.
            let mut params = format!("pools={}:frame-threads=1:log-level=error", settings.threads);
            if settings.lossless {
                params.push_str(":lossless=1");
            }
            command.args(["-c:v", "libx265", "-tag:v", "hvc1", "-x265-params", &params]);
        }
    }
    command.args(["-pix_fmt", &pixels, "-preset", &settings.preset]);
    match (settings.lossless, settings.codec) {
        (true, Codec::X264) => command.args(["-qp", "0"]),
        (true, Codec::X265) => command,
        (false, _) => command.arg("-crf").arg(settings.crf.to_string()),
    };
}
