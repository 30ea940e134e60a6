//! The frames of a clip, any part of them at a time, and its shots.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use parallax_frame::{Frame, VideoFormat};
use parallax_media::{
    DecodeOptions, Decoder, Error, Kind, Media, Packets, Shown, Span, Tools, probe, scan,
};
use parallax_sam2::Picture;
use parallax_serving::{Failure, FailureKind};
use parallax_stereo::{Rgb, Shots};
use tokio_util::sync::CancellationToken;

/// Most frames of a clip.
const MOST_FRAMES: usize = 100_000;

/// A clip that was looked through.
pub(crate) struct Clip<'a> {
    tools: &'a Tools,
    cancel: &'a CancellationToken,
    pub(crate) media: Media,
    packets: Packets,
    /// When frames are shown, in ticks, ascending.
    times: Vec<i64>,
    rgb: Rgb,
}

impl<'a> Clip<'a> {
    /// Looks through the file at `path`.
    ///
    /// # Errors
    /// `Invalid`, naming `video_url`, for what is no clip or too long; `Cancelled`.
    pub(crate) fn open(
        tools: &'a Tools,
        path: &Path,
        cancel: &'a CancellationToken,
    ) -> Result<Self, Failure> {
        let refused = |what: String| Failure::field("video_url", what);
        let media = probe(tools, path, cancel).map_err(|error| told(&error, path))?;
        let packets = scan(tools, &media, cancel).map_err(|error| told(&error, path))?;
        let times = packets.frame_times();
        let times = times.ok_or_else(|| {
            refused(
                "the container stores no times of frames; allowed are MP4, MOV, MKV, WebM"
                    .to_owned(),
            )
        })?;
        if times.is_empty() || times.len() > MOST_FRAMES {
            return Err(refused(format!("{} frames; allowed are 1 to {MOST_FRAMES}", times.len())));
        }
        let rgb = Rgb::of(&media.video.format).map_err(|error| refused(error.to_string()))?;
        Ok(Self { tools, cancel, media, packets, times, rgb })
    }

    /// How many frames it has.
    pub(crate) fn frames(&self) -> usize {
        self.times.len()
    }

    /// Width and height of the upright frames.
    pub(crate) fn size(&self) -> (usize, usize) {
        let VideoFormat { width, height, .. } = *self.media.video.format;
        (width as usize, height as usize)
    }

    pub(crate) fn format(&self) -> &Arc<VideoFormat> {
        &self.media.video.format
    }

    pub(crate) fn rgb(&self) -> &Rgb {
        &self.rgb
    }

    /// The frames of a part of it, one after another.
    ///
    /// # Errors
    /// As [`Clip::open`].
    pub(crate) fn part(
        &self,
        frames: Range<usize>,
    ) -> Result<impl Iterator<Item = Result<Frame, Failure>> + use<'_>, Failure> {
        // Times are those of the scan, behind the last frame too.
        let until = self.times.get(frames.end).copied().unwrap_or(i64::MAX);
        let span = Span { times: self.times[frames.start]..until, longest: None };
        let (tools, options) = (self.tools, DecodeOptions::default());
        let opened =
            Decoder::open_span(tools, &self.media, &self.packets, span, options, self.cancel);
        Ok(self.watched(opened.map_err(|error| told(&error, &self.media.path))?))
    }

    /// All frames.
    ///
    /// # Errors
    /// As [`Clip::open`].
    pub(crate) fn all(
        &self,
    ) -> Result<impl Iterator<Item = Result<Frame, Failure>> + use<'_>, Failure> {
        let (packets, options) = (&self.packets, DecodeOptions::default());
        let opened = Shown::open(self.tools, &self.media, packets, packets, options, self.cancel);
        Ok(self.watched(opened.map_err(|error| told(&error, &self.media.path))?))
    }

    fn watched<'b>(
        &'b self,
        frames: impl Iterator<Item = Result<Frame, Error>> + 'b,
    ) -> impl Iterator<Item = Result<Frame, Failure>> + 'b {
        frames.map(|frame| {
            if self.cancel.is_cancelled() {
                return Err(Failure::cancelled());
            }
            frame.map_err(|error| told(&error, &self.media.path))
        })
    }

    /// The parts of it that were taken in one piece.
    ///
    /// # Errors
    /// As [`Clip::open`].
    pub(crate) fn shots(&self) -> Result<Vec<Range<usize>>, Failure> {
        let (mut shots, mut starts) = (Shots::default(), vec![0]);
        for (number, frame) in self.all()?.enumerate() {
            if shots.begins(&frame?) && number > 0 {
                starts.push(number);
            }
        }
        let ends = starts.iter().skip(1).copied().chain([self.frames()]);
        Ok(starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect())
    }

    /// A frame as the network is shown it.
    ///
    /// # Errors
    /// `Internal` when that cannot be.
    pub(crate) fn picture(&self, frame: &Frame) -> Result<Picture, Failure> {
        let planes = self.rgb.planes(frame);
        let [red, green, blue] = &planes;
        let level = |v: f32| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
        let pixels = red.data().iter().zip(green.data()).zip(blue.data());
        let rgb =
            pixels.flat_map(|((&red, &green), &blue)| [red, green, blue].map(level)).collect();
        Picture::new(self.size(), rgb).map_err(|error| Failure::internal(error.to_string()))
    }
}

/// What was said of a file, without where it lies.
pub(crate) fn told(error: &Error, path: &Path) -> Failure {
    let folder = path.parent().unwrap_or(path).display().to_string();
    let text = error.to_string().replace(&path.display().to_string(), "the clip");
    let text = text.replace(&format!("{folder}/"), "");
    match error.kind() {
        Kind::Input => Failure::field("video_url", text),
        Kind::Cancelled => Failure::cancelled(),
        Kind::Tool | Kind::Space => {
            let message = "there is no room for temporary files, or ffmpeg is missing";
            Failure::new(FailureKind::Unavailable, message).with_detail(text)
        }
        Kind::Io | Kind::Output => Failure::internal(text),
    }
}
