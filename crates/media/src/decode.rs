//! Decoding: frames with exact presentation times, or an error; never a silently short clip.
//!
//! One ffmpeg writes raw pictures to standard output and, as a second output of the same process,
//! a `framecrc` line with each picture's time to standard error. Pictures and times come from the
//! same decoder, so they cannot drift apart, and the two counts must agree at the end.

use std::io::Read;
use std::ops::Range;
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

use nix::fcntl::{FcntlArg, fcntl};
use parallax_frame::{Frame, PixelFormat, TimeBase, VideoFormat};
use tokio_util::sync::CancellationToken;

use crate::child::Child;
use crate::error::{Error, Kind, Result, show_path};
use crate::pixels;
use crate::plan::cut_points;
use crate::probe::Media;
use crate::programs::{Tools, file_url};
use crate::scan::Packets;
use crate::split::seconds;

/// Pipe buffer asked of the kernel: what an unprivileged process may have by default.
const PIPE_BYTES: i32 = 1 << 20;

/// What decoders say when they paint over damage. ffmpeg's own mark of such frames is lost in a
/// race when several threads decode, so that `-xerror` alone sees only some of them.
const CONCEALED: [&str; 2] = ["error while decoding", "concealing"];

/// A line that ffmpeg wrote beside the pictures.
#[derive(Debug, PartialEq, Eq)]
enum Note {
    /// Unit of the times that follow.
    Unit(u32, u32),
    /// Presentation time of the next picture.
    Time(i64),
}

/// A rectangle of luma samples inside the upright picture; even, so that no chroma sample is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Crop {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns, at least 1.
    pub width: u32,
    /// Rows, at least 1.
    pub height: u32,
}

/// What to do to pictures while decoding them. Defaults to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct DecodeOptions {
    /// Make a whole picture out of each pair of fields (`bwdif`): as many frames, the same times.
    pub deinterlace: bool,
    /// Keep only this part.
    pub crop: Option<Crop>,
    /// What the shape of samples is multiplied by, where the picture kept was squeezed.
    pub stretch: Option<(u32, u32)>,
}

impl DecodeOptions {
    /// Width and height of what comes out.
    pub fn size(&self, media: &Media) -> (u32, u32) {
        let format = &media.video.format;
        self.crop.map_or((format.width, format.height), |crop| (crop.width, crop.height))
    }

    /// What `media` would be if its pictures were what comes out.
    pub fn applied(&self, media: &Media) -> Media {
        let mut media = media.clone();
        let (width, height) = self.size(&media);
        media.video.sample_aspect = self.sample_aspect(&media);
        media.video.format =
            Arc::new(VideoFormat { width, height, ..VideoFormat::clone(&media.video.format) });
        media
    }

    /// Sample aspect ratio of what comes out.
    pub fn sample_aspect(&self, media: &Media) -> (u32, u32) {
        let ((num, den), (x, y)) = (media.video.sample_aspect, self.stretch.unwrap_or((1, 1)));
        (num.saturating_mul(x), den.saturating_mul(y))
    }
}

/// A part of a film.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Span {
    /// Presentation times, in ticks of the stream.
    pub times: Range<i64>,
    /// Pictures are shrunk, to even sizes, until neither side is longer; `None` for their own size.
    pub longest: Option<u32>,
}

/// What of a file is read, and whether damage is forgiven.
#[derive(Debug, Default)]
struct Part {
    /// Where to begin reading, in microseconds; `None` for the beginning.
    seek_us: Option<i64>,
    span: Option<Span>,
    /// Grey of more than 12 bits keeps them all.
    deep: bool,
    /// Frames have their numbers as times: those of the file do not ascend.
    numbered: bool,
}

/// The frames of a file's main video stream, in presentation order, upright (rotation applied).
///
/// Dropping it kills the child.
#[derive(Debug)]
pub struct Decoder {
    child: Option<Child>,
    stdout: ChildStdout,
    notes: Receiver<Note>,
    concealed: Arc<AtomicBool>,
    /// Reading from a keyframe on, decoders complain about what only the pictures before explain.
    forgiving: bool,
    media: Media,
    expected: Option<u64>,
    decoded: u64,
}

impl Decoder {
    /// As [`Decoder::open_with`], doing nothing to the pictures.
    ///
    /// # Errors
    /// As [`Decoder::open_with`].
    pub fn open(
        tools: &Tools,
        media: &Media,
        expected: Option<u64>,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        Self::open_with(tools, media, expected, DecodeOptions::default(), cancel)
    }

    /// Starts decoding. `expected` is the number of frames that must come, when it is known
    /// ([`crate::Packets::shown`]); without it a file that lost its end may pass as a shorter one.
    ///
    /// # Errors
    /// `Tool` when ffmpeg does not start; `Input` when the crop is not inside the picture. What is
    /// wrong with the file shows on iteration.
    pub fn open_with(
        tools: &Tools,
        media: &Media,
        expected: Option<u64>,
        options: DecodeOptions,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        Self::start(tools, media, expected, options, Part::default(), cancel)
    }

    /// As [`Decoder::open_with`], for depth: grey of more than 12 bits comes with 16.
    ///
    /// # Errors
    /// As [`Decoder::open_with`].
    pub fn open_depth(
        tools: &Tools,
        media: &Media,
        expected: Option<u64>,
        options: DecodeOptions,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let part = Part { deep: true, ..Part::default() };
        Self::start(tools, media, expected, options, part, cancel)
    }

    /// As [`Decoder::open_with`]; times are the frames' numbers, from 0.
    pub(crate) fn open_numbered(
        tools: &Tools,
        media: &Media,
        expected: Option<u64>,
        options: DecodeOptions,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let part = Part { numbered: true, ..Part::default() };
        Self::start(tools, media, expected, options, part, cancel)
    }

    /// Starts decoding the frames of `span` only, from the last place before it that decoding may
    /// start at; `packets` are the file's. All of its frames come, or an error; damage that leaves
    /// their number right is not told.
    ///
    /// # Errors
    /// As [`Decoder::open_with`]; `Input` too when the container stores no presentation times or
    /// nothing lies in the span.
    pub fn open_span(
        tools: &Tools,
        media: &Media,
        packets: &Packets,
        span: Span,
        options: DecodeOptions,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let Some(times) = packets.frame_times() else {
            let what = "the container stores no presentation times to read a part by";
            return Err(Error::input(&media.path, what));
        };
        let frames = times.iter().filter(|time| span.times.contains(time)).count() as u64;
        if frames == 0 {
            let base = media.video.time_base;
            let what = format!(
                "no frame from {:.3} s to {:.3} s",
                base.seconds(span.times.start),
                base.seconds(span.times.end)
            );
            return Err(Error::input(&media.path, what));
        }
        let starts = cut_points(packets).into_iter().filter_map(|cut| packets.packets[cut].pts);
        let from = starts.skip(1).take_while(|pts| *pts <= span.times.start).last();
        let seek_us = from.map(|pts| media.video.time_base.rescale(pts, 1_000_000));
        let part = Part { seek_us, span: Some(span), ..Part::default() };
        Self::start(tools, media, Some(frames), options, part, cancel)
    }

    fn start(
        tools: &Tools,
        media: &Media,
        expected: Option<u64>,
        options: DecodeOptions,
        part: Part,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let video = &media.video;
        let format = &video.format;
        let mut pixels = pixels::map(&video.pixel_name);
        let mut media = media.clone();
        if part.deep && pixels::is_deep_grey(&video.pixel_name) {
            pixels.ask = PixelFormat::GRAY16.ffmpeg_name();
            let deep = VideoFormat { pixels: PixelFormat::GRAY16, ..VideoFormat::clone(format) };
            media.video.format = Arc::new(deep);
        }
        let format = media.video.format.clone();
        let mut command = tools.ffmpeg();
        let forgiving = part.span.is_some();
        if !forgiving {
            // Refuse to go on after an error: ffmpeg would conceal damage and end well.
            command.arg("-xerror");
        }
        tools.guard(&mut command);
        if let Some(us) = part.seek_us {
            // Only roughly there: the filter below is exact.
            command.args(["-seek_timestamp", "1", "-noaccurate_seek", "-ss", &seconds(us)]);
        }
        // Without -copyts ffmpeg shifts times by a start that it rounded to microseconds.
        command.args(["-copyts", "-i"]).arg(file_url(&media.path));
        let stream = format!("0:{}", video.index);
        // A stream may change its size on the way; all frames take that of the headers.
        let times = part
            .span
            .as_ref()
            .map(|span| format!("trim=start_pts={}:end_pts={},", span.times.start, span.times.end));
        let numbers = if part.numbered { "setpts=N," } else { "" };
        let times = times.unwrap_or_else(|| numbers.to_owned());
        let mut filter = times.clone();
        if options.deinterlace {
            filter.push_str("bwdif=mode=send_frame:deint=all,");
        }
        filter.push_str(&format!("scale={}:{}:flags=bicubic", format.width, format.height));
        if pixels.rgb {
            filter.push_str(":out_color_matrix=bt709:out_range=tv");
        }
        if let Some(Crop { x, y, width, height }) = options.crop {
            let inside = width > 0
                && height > 0
                && x.saturating_add(width) <= format.width
                && y.saturating_add(height) <= format.height;
            if !inside {
                let what = format!(
                    "a crop to {width}x{height} at {x},{y} of {}x{}: allowed is what lies inside",
                    format.width, format.height
                );
                return Err(Error::input(&media.path, what));
            }
            filter.push_str(&format!(",crop={width}:{height}:{x}:{y}:exact=1"));
            media.video.format =
                Arc::new(VideoFormat { width, height, ..VideoFormat::clone(&format) });
        }
        if let Some(longest) = part.span.as_ref().and_then(|span| span.longest) {
            let format = &media.video.format;
            let (width, height) = shrunk(format.width, format.height, longest);
            filter.push_str(&format!(",scale={width}:{height}:flags=area"));
            media.video.format =
                Arc::new(VideoFormat { width, height, ..VideoFormat::clone(format) });
        }
        command.args(["-map", &stream, "-an", "-sn", "-dn", "-vf", &filter]);
        command.args(["-pix_fmt", &pixels.ask, "-c:v", "rawvideo", "-f", "rawvideo"]);
        command.args(tools.passthrough()).arg("pipe:1");
        let TimeBase { num, den } = video.time_base;
        command.args(["-map", &stream, "-vf", &format!("{times}null")]);
        command.args(["-c:v", "wrapped_avframe", "-enc_time_base"]);
        command.arg(format!("{num}:{den}")).args(tools.passthrough());
        command.args(["-f", "framecrc", "-flush_packets", "1", "pipe:2"]);

        let (send, notes) = channel();
        let concealed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&concealed);
        let mut child = Child::spawn(&mut command, cancel, None, move |line| {
            if let Some(note) = parse(line) {
                let _ = send.send(note);
                return true;
            }
            if CONCEALED.iter().any(|sign| line.contains(sign)) {
                seen.store(true, Ordering::SeqCst);
            }
            line.starts_with('#')
        })?;
        child.stdin = None;
        let Some(stdout) = child.stdout.take() else {
            return Err(Error::new(Kind::Io, "ffmpeg has no standard output"));
        };
        // Only for speed: a smaller pipe works too.
        let _ = fcntl(&stdout, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
        let child = Some(child);
        Ok(Self { child, stdout, notes, concealed, forgiving, media, expected, decoded: 0 })
    }

    /// Format of every frame.
    pub fn format(&self) -> &Arc<VideoFormat> {
        &self.media.video.format
    }

    /// Unit of the frames' times: the stream's own.
    pub fn time_base(&self) -> TimeBase {
        self.media.video.time_base
    }

    fn read(&mut self) -> Result<Option<Frame>> {
        let size = self.format().frame_bytes();
        let mut data = Vec::with_capacity(size);
        let pipe = self.stdout.by_ref().take(size as u64);
        let read = { pipe }
            .read_to_end(&mut data)
            .map_err(|e| Error::io("read pictures of", &self.media.path, e))?;
        if read == 0 {
            return self.end(false).map(|()| None);
        }
        if read < size {
            return self.end(true).map(|()| None);
        }
        let pts = match self.next_time() {
            Some(pts) => pts,
            None => return self.end(true).map(|()| None),
        };
        self.decoded += 1;
        let frame = Frame::new(Arc::clone(self.format()), pts, data);
        frame.map(Some).map_err(|e| Error::input(&self.media.path, e))
    }

    fn next_time(&mut self) -> Option<i64> {
        loop {
            match self.notes.recv().ok()? {
                Note::Time(pts) => return Some(pts),
                Note::Unit(num, den) => {
                    let TimeBase { num: n, den: d } = self.media.video.time_base;
                    if u64::from(num) * u64::from(d) != u64::from(n) * u64::from(den) {
                        return None;
                    }
                }
            }
        }
    }

    /// Waits for the child and compares the counts. `torn` says that a picture was incomplete or
    /// had no time.
    fn end(&mut self, torn: bool) -> Result<()> {
        let Some(child) = self.child.take() else { return Ok(()) };
        let ended = child.wait()?;
        let of = self.expected.map_or(String::new(), |expected| format!(" of {expected}"));
        let path = show_path(&self.media.path);
        let doing = format!("{path}: damaged or truncated, {}{of} frames decoded", self.decoded);
        ended.check(&doing, Kind::Input)?;
        let more = self.notes.try_iter().filter(|note| matches!(note, Note::Time(_))).count();
        let short = self.expected.is_some_and(|expected| expected != self.decoded);
        let concealed = self.concealed.load(Ordering::SeqCst) && !self.forgiving;
        let damaged = torn || concealed;
        if damaged || more > 0 || short || self.decoded == 0 {
            return Err(ended.failure(&doing, Kind::Input));
        }
        Ok(())
    }
}

impl Iterator for Decoder {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        self.child.as_ref()?;
        let frame = self.read().transpose();
        if matches!(frame, Some(Err(_))) {
            self.child = None;
        }
        frame
    }
}

/// The size, with even sides, of a picture shrunk until neither side is longer than `longest`.
fn shrunk(width: u32, height: u32, longest: u32) -> (u32, u32) {
    let most = width.max(height);
    if most <= longest {
        return (width, height);
    }
    let side = |value: u32| {
        let scaled = u64::from(value) * u64::from(longest) / u64::from(most);
        (scaled as u32 & !1).max(2)
    };
    (side(width), side(height))
}

/// Reads a framecrc line; the child's log lines have another form (`[level] ...`).
fn parse(line: &str) -> Option<Note> {
    if let Some(unit) = line.strip_prefix("#tb 0: ") {
        let (num, den) = unit.split_once('/')?;
        return Some(Note::Unit(num.parse().ok()?, den.parse().ok()?));
    }
    let mut fields = line.strip_prefix("0,")?.split(',').map(str::trim);
    let _dts: i64 = fields.next()?.parse().ok()?;
    let pts = fields.next()?.parse().ok()?;
    let _duration: i64 = fields.next()?.parse().ok()?;
    let _size: u64 = fields.next()?.parse().ok()?;
    fields.next()?.strip_prefix("0x")?;
    Some(Note::Time(pts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pictures_keep_their_shape_and_even_sides() {
        assert_eq!(shrunk(1920, 1080, 320), (320, 180));
        assert_eq!(shrunk(1080, 1921, 320), (178, 320));
        assert_eq!(shrunk(319, 7, 320), (319, 7));
        assert_eq!(shrunk(8192, 1, 320), (320, 2));
    }

    #[test]
    fn only_framecrc_lines_are_times() {
        let line = "0,      -1001,       1001,     1001,      472, 0x9613165d";
        assert_eq!(parse(line), Some(Note::Time(1001)));
        assert_eq!(parse("#tb 0: 1/24000"), Some(Note::Unit(1, 24000)));
        assert_eq!(parse("[error] 0, 1, 2, 3, 4, 0x5"), None);
        assert_eq!(parse("0, 1, 2"), None);
    }
}
