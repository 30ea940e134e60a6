//! Encoding: frames with exact times to an MP4 with the same times.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{ChildStdin, Command};
use std::sync::Arc;

use parallax_frame::{Chroma, Frame, FrameRate, PixelFormat, Range, TimeBase, VideoFormat};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::child::{Child, Pipe};
use crate::declare;
use crate::error::{Error, Kind, Result, show_path};
use crate::hdr::Hdr;
use crate::matroska::{self, UNITS_PER_SECOND};
use crate::output::Partial;
use crate::probe::probe;
use crate::programs::{Tools, file_url};
use crate::scaled::Scaled;
use crate::scan::scan;
use crate::stereo_mode::Packing;

/// Video encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// H.264 by x264: plays everywhere. At most 10 bits; 12 are reduced to 10.
    #[default]
    X264,
    /// H.265 by x265: for pictures wider than 4096, for more than 8 bits and for HDR.
    X265,
    /// AV1 by SVT-AV1: 4:2:0 of at most 10 bits.
    SvtAv1,
    /// H.264 by an NVIDIA GPU: 8 bits, at most 4096 wide.
    H264Nvenc,
    /// H.265 by an NVIDIA GPU: at most 10 bits and 8192 wide.
    HevcNvenc,
    /// FFV1, always lossless, for files between two steps and for depth: it takes odd sizes and grey
    /// of 16 bits. The container is Matroska for a name in `.mkv`, which rounds times to milliseconds,
    /// else QuickTime's, which readers of MP4 read.
    Ffv1,
}

/// How to encode. The same settings and frames give the same file.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// The picture holds two views: say so in the stream. Defaults to `None`.
    pub packing: Option<Packing>,
    /// Static HDR metadata to write (x265 and SVT-AV1). Defaults to none.
    pub hdr: Hdr,
    /// The pictures become smaller. Defaults to `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaled: Option<Scaled>,
    /// An MP4's index comes before its samples, so that it plays while it arrives. Defaults to off.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub index_first: bool,
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
            packing: None,
            hdr: Hdr::default(),
            scaled: None,
            index_first: false,
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
    stdin: Option<Pipe<ChildStdin>>,
    partial: Partial,
    doing: String,
    format: Arc<VideoFormat>,
    /// Colourless chroma planes, which follow the luma of a gray frame.
    neutral: Vec<u8>,
    time_base: TimeBase,
    /// The container rounds times to milliseconds.
    rounded: bool,
    times: Vec<i64>,
    /// What is still to be written into the headers: x265 cannot say that two views are packed.
    packing: Option<Packing>,
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
        if timing.rate.num / timing.rate.den >= UNTIMED_RATE {
            command.args(["-bsf:v", &lengths(timing.rate)]);
        }
        let matroska = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("mkv"));
        let container = match settings.codec {
            Codec::Ffv1 if matroska => "matroska",
            Codec::Ffv1 => "mov",
            _ => "mp4",
        };
        if settings.index_first && container == "mp4" {
            command.args(["-movflags", "+faststart"]);
        }
        command.args(["-f", container]).arg(file_url(partial.path()));
        let mut child = Child::spawn(&mut command, cancel, tools.patience(0), |_| false)?;
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
            rounded: container == "matroska",
            times: Vec::new(),
            packing: settings.packing.filter(|_| settings.codec.is_hevc()),
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
        if let Some(packing) = self.packing {
            declare::frame_packing(self.partial.path(), packing).map_err(Error::of_own_file)?;
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
        let same = if self.rounded {
            found.len() == self.times.len()
        } else {
            shape(&found, 1) == shape(&self.times, ticks)
        };
        if !same {
            let counts = format!("{} frames, not {}", found.len(), self.times.len());
            let what = format!("{}: the file holds {counts}, or other times", self.doing);
            return Err(Error::new(Kind::Output, what));
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

impl Codec {
    /// Whether the stream is H.265.
    pub fn is_hevc(self) -> bool {
        matches!(self, Codec::X265 | Codec::HevcNvenc)
    }

    /// ffmpeg's name of the encoder.
    pub fn encoder_name(self) -> &'static str {
        match self {
            Codec::X264 => "libx264",
            Codec::X265 => "libx265",
            Codec::SvtAv1 => "libsvtav1",
            Codec::H264Nvenc => "h264_nvenc",
            Codec::HevcNvenc => "hevc_nvenc",
            Codec::Ffv1 => "ffv1",
        }
    }
}

/// Frames per second from which on ffmpeg believes no rate, so that its last frame has no length and an
/// MP4's edit list hides it.
const UNTIMED_RATE: u32 = 1000;

/// The bitstream filter that gives packets without a length that of `rate`.
fn lengths(FrameRate { num, den }: FrameRate) -> String {
    let length = format!("max(1\\,round({den}/{num}/TB))");
    format!("setts=pts=PTS:dts=DTS:duration=if(gt(DURATION\\,0)\\,DURATION\\,{length})")
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
    let (even_width, even_height) = match settings.codec {
        Codec::Ffv1 => (true, true),
        _ => (even_width, even_height),
    };
    if !even_width || !even_height || width == 0 || height == 0 {
        let pixels = format.pixels.ffmpeg_name();
        let what = format!("{width}x{height} {pixels} cannot be encoded; allowed are even sizes");
        return Err(Error::input(path, what));
    }
    if timing.time_base.den > i32::MAX as u32 || timing.rate.num == 0 || timing.rate.den == 0 {
        return Err(Error::input(path, format!("unusable timing {timing:?}")));
    }
    if format.pixels == PixelFormat::GRAY16 && settings.codec != Codec::Ffv1 {
        return Err(Error::input(path, "grey of 16 bits; allowed is FFV1 only"));
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
    // Without a limit it looks for a fraction of terms up to 100; streams hold 16 bits.
    let aspect = format!("setsar=sar={num}/{den}:max=65535");
    let scaled = settings.scaled.map_or(String::new(), Scaled::filter);
    if tags.is_empty() {
        return format!("{scaled}{aspect}");
    }
    format!("{scaled}setparams={},{aspect}", tags.join(":"))
}

/// The encoder's own options, also for trying it out.
pub(crate) fn codec(command: &mut Command, format: &VideoFormat, settings: &EncodeSettings) {
    let bits = format.pixels.bits();
    let most = match settings.codec {
        Codec::H264Nvenc => 8,
        Codec::X264 | Codec::SvtAv1 | Codec::HevcNvenc => 10,
        Codec::X265 | Codec::Ffv1 => 12,
    };
    let chroma = match (settings.codec, format.pixels.chroma()) {
        (Codec::SvtAv1, _) => Chroma::Yuv420,
        // NVENC has no 4:2:2; 4:4:4 holds it.
        (Codec::H264Nvenc | Codec::HevcNvenc, Chroma::Yuv422) => Chroma::Yuv444,
        (_, chroma) => chroma,
    };
    let pixels = PixelFormat::new(chroma, bits.min(most)).unwrap_or(PixelFormat::YUV420P);
    let pixels = if format.pixels == PixelFormat::GRAY16 { format.pixels } else { pixels };
    let name = match (settings.codec, pixels.ffmpeg_name().as_str()) {
        (Codec::HevcNvenc, "yuv420p10le") => "p010le".to_owned(),
        (Codec::HevcNvenc, "yuv444p10le") => "yuv444p16le".to_owned(),
        (_, name) => name.to_owned(),
    };
    command.args(["-c:v", settings.codec.encoder_name(), "-pix_fmt", &name]);
    let crf = settings.crf.to_string();
    let threads = settings.threads.to_string();
    match settings.codec {
        Codec::X264 => {
            command.args(["-threads", &threads, "-preset", &settings.preset]);
            if let Some(packing) = settings.packing {
                let params = format!("frame-packing={}", packing.arrangement());
                command.args(["-x264-params", &params]);
            }
            command.args(if settings.lossless { ["-qp", "0"] } else { ["-crf", &crf] });
        }
        Codec::X265 => {
            // `log-level` keeps x265's banner out of errors.
            let mut params = vec![
                format!("pools={threads}"),
                "frame-threads=1".to_owned(),
                "log-level=error".to_owned(),
            ];
            params.extend(settings.hdr.x265_params());
            if settings.lossless {
                params.push("lossless=1".to_owned());
            } else {
                command.args(["-crf", &crf]);
            }
            command.args(["-preset", &settings.preset, "-x265-params", &params.join(":")]);
        }
        Codec::SvtAv1 => {
            let mut params = vec![format!("lp={threads}")];
            params.extend(settings.hdr.svt_av1_params());
            // Its quality steps go to 63 where x264's go to 51.
            let crf = (u32::from(settings.crf) * 63 / 51).to_string();
            command.args(["-crf", &crf, "-preset", av1_preset(&settings.preset)]);
            command.args(["-svtav1-params", &params.join(":")]);
        }
        Codec::Ffv1 => {
            command.args(["-level", "3", "-threads", &threads]);
        }
        Codec::H264Nvenc | Codec::HevcNvenc => {
            command.args(["-preset", nvenc_preset(&settings.preset)]);
            if settings.lossless {
                command.args(["-tune", "lossless"]);
            } else {
                command.args(["-rc", "vbr", "-cq", &crf, "-b:v", "0"]);
            }
        }
    }
    if settings.codec.is_hevc() {
        // Players of the Apple family want hvc1.
        command.args(["-tag:v", "hvc1"]);
    }
}

/// The speed of SVT-AV1, 0 to 13, that comes nearest to an x264 preset.
fn av1_preset(preset: &str) -> &'static str {
    match preset {
        "ultrafast" | "superfast" => "12",
        "veryfast" => "10",
        "faster" | "fast" => "9",
        "medium" => "7",
        "slow" => "5",
        _ => "4",
    }
}

/// The speed of NVENC, p1 to p7, that comes nearest to an x264 preset.
fn nvenc_preset(preset: &str) -> &'static str {
    match preset {
        "ultrafast" | "superfast" => "p1",
        "veryfast" => "p2",
        "faster" => "p3",
        "fast" => "p4",
        "medium" => "p5",
        "slow" => "p6",
        _ => "p7",
    }
}
