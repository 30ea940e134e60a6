//! A file as its headers describe it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use parallax_frame::{FrameRate, TimeBase, VideoFormat};

use crate::error::{Error, Result};
use crate::hdr::{DynamicHdr, Hdr};
use crate::stereo_mode::Declaration;

/// What kind of stream it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Moving pictures.
    Video,
    /// A still picture that rides along: cover art, a thumbnail.
    AttachedPicture,
    /// Sound.
    Audio,
    /// Subtitles, as text or as bitmaps.
    Subtitle,
    /// A file inside the file: a font for the subtitles.
    Attachment,
    /// Timecodes and everything else.
    Other,
}

/// One stream of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Index in the file, from 0.
    pub index: u32,
    /// What kind of stream it is.
    pub kind: StreamKind,
    /// ffmpeg's codec name; `unknown` when it has none.
    pub codec: String,
    /// Language tag, when there is one.
    pub language: Option<String>,
    /// The container's own name of the codec, for streams that ffmpeg has none for; else empty.
    pub tag: String,
    /// What it is marked as, in ffmpeg's words: `default`, `forced`, `hearing_impaired`.
    pub dispositions: Vec<String>,
    /// Its tags, as they are: foreign text of any content.
    pub tags: BTreeMap<String, String>,
    /// The kinds of side data that its headers hold, in ffmpeg's words.
    pub side_data: Vec<String>,
    /// How it sounds, for sound that the file holds something of.
    pub sound: Option<Sound>,
    /// When it begins and ends, in microseconds on the file's clock, where the file tells both.
    pub span_us: Option<(i64, i64)>,
}

/// What a sound's samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound {
    /// Channels, at least one.
    pub channels: u32,
    /// Samples per second, at least one.
    pub rate: u32,
    /// Whether its samples are floating-point numbers.
    pub float: bool,
    /// Bits of a decoded sample that count; 0 when unknown.
    pub bits: u32,
}

/// A chapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    /// Where it begins, in microseconds after the start of the file.
    pub start_us: i64,
    /// Its title, when it has one.
    pub title: Option<String>,
}

/// The main video stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Video {
    /// Index of the stream in the file.
    pub index: u32,
    /// ffmpeg's codec name.
    pub codec: String,
    /// What [`crate::Decoder`] produces: size after rotation, planar layout, colour tags.
    pub format: Arc<VideoFormat>,
    /// The stream's own pixel format, in ffmpeg's names.
    pub pixel_name: String,
    /// Rotation tag in degrees, counter-clockwise as ffmpeg reports it; -180 to 180.
    pub rotation: i32,
    /// Sample aspect ratio after rotation; 1:1 when unknown.
    pub sample_aspect: (u32, u32),
    /// Field order in ffmpeg's names; `None` when unknown or progressive.
    pub field_order: Option<String>,
    /// Unit of the stream's timestamps.
    pub time_base: TimeBase,
    /// Average frame rate; the base rate, then 25, stand in when it is unknown.
    pub rate: FrameRate,
    /// Lowest rate that represents all timestamps, as ffmpeg guesses it.
    pub base_rate: Option<FrameRate>,
    /// First presentation time in ticks, when the headers tell.
    pub start: Option<i64>,
    /// Length in ticks, when the headers tell.
    pub duration: Option<i64>,
    /// Frames that the headers promise. Includes those that an edit list hides.
    pub frames: Option<u64>,
    /// The extradata's hash: equal hashes decode with the same parameter sets.
    pub extradata: Option<String>,
    /// Static HDR metadata, of the headers or of the first frame.
    pub hdr: Hdr,
    /// Dynamic HDR metadata that the headers or the first frame show.
    pub dynamic_hdr: Vec<DynamicHdr>,
    /// What the container says of how two views share a picture.
    pub declared: Declaration,
    /// The same in words, for every arrangement there is, MV-HEVC included; `None` for one view.
    pub views: Option<String>,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq)]
pub struct Media {
    /// The file.
    pub path: PathBuf,
    /// ffmpeg's demuxer names, for example `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Length in seconds over all streams, when the headers tell.
    pub duration_seconds: Option<f64>,
    /// Earliest presentation time over audio and video, in microseconds.
    pub start_us: i64,
    /// Every stream, in file order.
    pub streams: Vec<Stream>,
    /// Tags of the whole file, as they are: foreign text of any content.
    pub tags: BTreeMap<String, String>,
    /// Chapters, in file order.
    pub chapters: Vec<Chapter>,
    /// Programs of a transport stream; 0 elsewhere.
    pub programs: usize,
    /// The main video stream: the first that is marked as default, else the first.
    pub video: Video,
}

impl Media {
    /// Streams of one kind, in file order.
    pub fn streams_of(&self, kind: StreamKind) -> impl Iterator<Item = &Stream> {
        self.streams.iter().filter(move |stream| stream.kind == kind)
    }

    /// The stream with an index.
    pub fn stream(&self, index: u32) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.index == index)
    }

    /// Takes the streams with these indices out of the list, and returns them. The main video stays
    /// what is converted, even where it is named.
    pub fn leave_out(&mut self, indices: &BTreeSet<u32>) -> Vec<Stream> {
        self.streams.extract_if(.., |stream| indices.contains(&stream.index)).collect()
    }

    /// Whether the container is a broadcaster's: it says neither a length nor the shape of samples, and
    /// its clock may jump.
    pub fn is_broadcast(&self) -> bool {
        is_broadcast(&self.container)
    }

    /// Whether the container is of the MP4 family.
    pub fn is_mp4(&self) -> bool {
        self.container.split(',').any(|name| name == "mp4")
    }

    /// Checks that new pictures can be made of these although their dynamic HDR metadata goes with none
    /// that are, and says what is lost: a sentence for each kind.
    ///
    /// # Errors
    /// `Input` when the pictures are not right without it.
    pub fn without_dynamic_hdr(&self) -> Result<Vec<String>> {
        let mut lost = Vec::new();
        for kind in &self.video.dynamic_hdr {
            if *kind == DynamicHdr::DolbyVisionOnly {
                let what = "Dolby Vision without a base layer that others can show (profile 5): its \
                            colours would be wrong; allowed are Dolby Vision on HDR10 or HLG (profiles 7 \
                            and 8), HDR10 and HLG";
                return Err(Error::input(&self.path, what));
            }
            lost.push(format!(
                "{} is left out: it says of each picture of the source how to show it, and the \
                 result has other pictures; what remains is plain HDR",
                kind.name()
            ));
        }
        Ok(lost)
    }
}

/// As [`Media::is_broadcast`]. Their length by ffprobe is the distance of a clock's first value and its
/// last one, between which it may have jumped: the scan tells how long they are.
pub(crate) fn is_broadcast(container: &str) -> bool {
    ["mpegts", "mpeg"].contains(&container)
}
