//! Which of the source's other streams the final file takes, and how.

use std::process::Command;

use super::{AudioFallback, Container};
use crate::error::{Error, Result};
use crate::probe::{Media, Stream, StreamKind};
use crate::survey::Clock;

/// A stream of the source that is in the final file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its index in the source.
    pub index: u32,
    /// Its codec in the source.
    pub codec: String,
    /// What it became; `None` when its packets were copied.
    pub converted_to: Option<&'static str>,
}

/// A stream of the source that is not in the final file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its index in the source.
    pub index: u32,
    /// Its codec in the source.
    pub codec: String,
    /// Why not.
    pub reason: String,
}

/// Everything but the main video.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) kept: Vec<Kept>,
    pub(super) dropped: Vec<Dropped>,
}

/// Sound that MP4 holds and players find there.
const MP4_AUDIO: &[&str] =
    &["aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "flac", "dts", "truehd"];
/// Subtitles that can be told as plain text.
const TEXT_SUBTITLES: &[&str] = &["subrip", "srt", "ass", "ssa", "webvtt", "text", "mov_text"];
/// Subtitles that Matroska holds as they are.
const MATROSKA_SUBTITLES: &[&str] =
    &["subrip", "srt", "ass", "ssa", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"];

/// What an MP4 could not keep of the source's streams as they are, one reason for each: empty when
/// MP4 serves as well as Matroska.
pub fn lost_in_mp4(media: &Media) -> Vec<String> {
    let reason = |stream: &Stream| {
        let codec = stream.codec.as_str();
        let lost = match stream.kind {
            StreamKind::Audio => !MP4_AUDIO.contains(&codec),
            StreamKind::Attachment => true,
            // Plain text stays what it is; styles and bitmaps do not.
            StreamKind::Subtitle => !["mov_text", "subrip", "srt", "text"].contains(&codec),
            StreamKind::Video | StreamKind::AttachedPicture | StreamKind::Other => false,
        };
        lost.then(|| format!("MP4 does not hold stream {} ({codec})", stream.index))
    };
    media.streams.iter().filter(|s| s.index != media.video.index).filter_map(reason).collect()
}

enum Fate {
    Copy,
    Convert(&'static str),
    Drop(String),
}

pub(super) fn select(
    media: &Media,
    container: Container,
    fallback: AudioFallback,
) -> Result<Selection> {
    let mut selection = Selection::default();
    for stream in &media.streams {
        if stream.index == media.video.index {
            continue;
        }
        let (index, codec) = (stream.index, stream.codec.clone());
        match fate(media, stream, container, fallback)? {
            Fate::Copy => selection.kept.push(Kept { index, codec, converted_to: None }),
            Fate::Convert(to) => {
                selection.kept.push(Kept { index, codec, converted_to: Some(to) });
            }
            Fate::Drop(reason) => selection.dropped.push(Dropped { index, codec, reason }),
        }
    }
    Ok(selection)
}

fn fate(
    media: &Media,
    stream: &Stream,
    container: Container,
    fallback: AudioFallback,
) -> Result<Fate> {
    let codec = stream.codec.as_str();
    let mp4 = container == Container::Mp4;
    Ok(match stream.kind {
        StreamKind::Video => Fate::Drop("a second video stream has no stereo counterpart".into()),
        StreamKind::AttachedPicture => Fate::Drop("a still of the flat picture".into()),
        StreamKind::Other => Fate::Drop("neither sound nor subtitles".into()),
        StreamKind::Attachment if mp4 => Fate::Drop("MP4 does not hold attachments".into()),
        StreamKind::Attachment => Fate::Copy,
        StreamKind::Audio if codec == "unknown" => Fate::Drop("unknown codec".into()),
        StreamKind::Audio if !mp4 || MP4_AUDIO.contains(&codec) => Fate::Copy,
        StreamKind::Audio if fallback == AudioFallback::Aac => Fate::Convert("aac"),
        StreamKind::Audio => {
            let what = format!(
                "audio stream {} is {codec}, which MP4 does not hold; allowed are {}, or an \
                 output that ends in .mkv",
                stream.index,
                MP4_AUDIO.join(", ")
            );
            return Err(Error::input(&media.path, what));
        }
        StreamKind::Subtitle if mp4 && codec == "mov_text" => Fate::Copy,
        StreamKind::Subtitle if !mp4 && MATROSKA_SUBTITLES.contains(&codec) => Fate::Copy,
        StreamKind::Subtitle if TEXT_SUBTITLES.contains(&codec) => {
            Fate::Convert(if mp4 { "mov_text" } else { "srt" })
        }
        StreamKind::Subtitle => Fate::Drop(format!("this container does not hold {codec}")),
    })
}

impl Selection {
    /// Output options; the source is input 1 and the video is output stream 0.
    /// Where the source's clock jumps, `clocks` continue it.
    pub(super) fn arguments(&self, command: &mut Command, clocks: &[Clock]) {
        for (place, kept) in self.kept.iter().enumerate() {
            command.arg("-map").arg(format!("1:{}", kept.index));
            if let Some(clock) = clocks.iter().find(|clock| clock.stream == kept.index) {
                // By number of packet, so that none may be missing.
                command.arg(format!("-copyinkf:{}", place + 1));
                command.arg(format!("-bsf:{}", place + 1));
                command.arg(clock.filter());
            }
            if let Some(codec) = kept.converted_to {
                command.arg(format!("-c:{}", place + 1)).arg(codec);
                if codec == "aac" {
                    command.arg(format!("-b:{}", place + 1)).arg("320k");
                }
            }
        }
    }
}
