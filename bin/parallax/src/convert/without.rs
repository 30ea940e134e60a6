//! Streams of the source that the user does not want in the result.

use std::collections::BTreeSet;
use std::str::FromStr;

use anyhow::{Result, ensure};
use parallax_media::{Media, StreamKind, show_path};

/// What `--without` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unwanted {
    Stream(u32),
    Kind(StreamKind),
}

impl FromStr for Unwanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "audio" => Self::Kind(StreamKind::Audio),
            "subtitles" => Self::Kind(StreamKind::Subtitle),
            "attachments" => Self::Kind(StreamKind::Attachment),
            number => Self::Stream(number.parse().map_err(|_| {
                "allowed are a stream's number, audio, subtitles and attachments".to_owned()
            })?),
        })
    }
}

/// The streams of `media` that `unwanted` names.
///
/// # Errors
/// Names a number that is no stream's, or the pictures'.
pub(crate) fn streams(media: &Media, unwanted: &[Unwanted]) -> Result<BTreeSet<u32>> {
    let mut streams = BTreeSet::new();
    for unwanted in unwanted {
        match *unwanted {
            Unwanted::Kind(kind) => {
                streams.extend(media.streams_of(kind).map(|stream| stream.index));
            }
            Unwanted::Stream(index) => {
                let film = show_path(&media.path);
                ensure!(
                    index != media.video.index,
                    "--without {index}: these are the pictures of {film}, which are converted"
                );
                let mut all = media.streams.iter().map(|stream| stream.index.to_string());
                ensure!(
                    media.streams.iter().any(|stream| stream.index == index),
                    "--without {index}: {film} has the streams {}; parallax inspect shows them",
                    all.by_ref().collect::<Vec<_>>().join(", ")
                );
                streams.insert(index);
            }
        }
    }
    Ok(streams)
}
