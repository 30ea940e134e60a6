//! What may become of each of the source's other streams, best first.
//!
//! The lists say what players expect to find in a container; what ffmpeg's muxer takes of them is
//! found out by trying ([`super::trial`]).

use crate::error::escape;
use crate::media::{Sound, Stream, StreamKind};

/// The containers that a final file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// MP4.
    Mp4,
    /// Matroska.
    Matroska,
}

/// A stream of the source that is in the final file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its index in the source.
    pub index: u32,
    /// Its codec in the source.
    pub codec: String,
    /// What it became; `None` when its packets were copied.
    pub converted_to: Option<&'static str>,
    /// Whether that is because its packets hold more than the source plays of them.
    pub cut: bool,
    /// What was said against copying its packets, where that was tried and refused.
    pub refused: Option<String>,
}

impl Kept {
    /// Whether the same becomes of the same stream, whatever was said on the way.
    pub fn is_as(&self, other: &Self) -> bool {
        let what = |kept: &Self| (kept.index, kept.converted_to, kept.cut);
        what(self) == what(other)
    }
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

/// One way to keep a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Treatment {
    /// The encoder; `None` copies packets.
    pub(super) encoder: Option<&'static str>,
    pub(super) cost: Cost,
}

/// What a treatment takes from a stream, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cost {
    /// Nothing that is seen or heard.
    Nothing,
    /// Its packets, but not a sample of it.
    Packets,
    /// Some of what is seen or heard.
    Quality,
    /// All of it.
    All,
}

/// Ways to keep a stream, best first, and why it is left out when none works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ways {
    pub(super) treatments: Vec<Treatment>,
    pub(super) otherwise: String,
}

/// Sound that players find in MP4.
const MP4_AUDIO: &[&str] =
    &["aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "flac", "dts", "truehd"];
/// Codecs of sound that lose no sample; besides, everything that begins with `pcm_`.
const LOSSLESS: &[&str] = &[
    "alac",
    "ape",
    "flac",
    "mlp",
    "mp4als",
    "s302m",
    "shorten",
    "tak",
    "truehd",
    "tta",
    "wavpack",
    "wmalossless",
];
/// Subtitles that can be told as plain text.
const TEXT: &[&str] = &["subrip", "srt", "ass", "ssa", "webvtt", "text", "mov_text", "eia_608"];
/// Subtitles that are nothing but plain text.
const PLAIN_TEXT: &[&str] = &["subrip", "srt", "text", "mov_text"];

const COPY: Treatment = Treatment { encoder: None, cost: Cost::Nothing };

fn convert(encoder: &'static str, cost: Cost) -> Treatment {
    Treatment { encoder: Some(encoder), cost }
}

impl Container {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Container::Mp4 => "MP4",
            Container::Matroska => "Matroska",
        }
    }

    /// How names of such files end.
    pub fn extension(self) -> &'static str {
        match self {
            Container::Mp4 => "mp4",
            Container::Matroska => "mkv",
        }
    }
}

/// What may become of `stream`, which is not the main video; `cut` when its packets hold what is not
/// to be heard.
pub(super) fn ways(stream: &Stream, container: Container, cut: bool) -> Ways {
    let codec = shown(stream);
    let name = container.name();
    let never = |why: String| Ways { treatments: Vec::new(), otherwise: why };
    let mp4 = container == Container::Mp4;
    match stream.kind {
        StreamKind::Video => never("a second video stream has no stereo counterpart".into()),
        StreamKind::AttachedPicture => never("a still of the flat picture".into()),
        StreamKind::Other => never(data(stream, name)),
        StreamKind::Attachment if mp4 => never("MP4 does not hold attachments".into()),
        StreamKind::Attachment => Ways {
            treatments: vec![COPY],
            otherwise: "Matroska needs a name and a type of it".into(),
        },
        StreamKind::Audio if stream.codec == "unknown" => {
            never(format!("nothing here knows its codec{}", tagged(stream)))
        }
        StreamKind::Audio => match stream.sound {
            Some(sound) => Ways {
                treatments: match cut {
                    false => audio(&stream.codec, sound, container),
                    true => encoded(&stream.codec, sound, container),
                },
                otherwise: format!("{name} does not hold {codec}, and it cannot be converted"),
            },
            None => never("it is announced, but the file holds nothing of it".into()),
        },
        StreamKind::Subtitle => Ways {
            treatments: subtitle(&stream.codec, container),
            otherwise: format!("{name} does not hold {codec}"),
        },
    }
}

/// A stream's codec for people.
pub(super) fn shown(stream: &Stream) -> String {
    format!("{}{}", stream.codec, tagged(stream))
}

fn tagged(stream: &Stream) -> String {
    if stream.tag.is_empty() { String::new() } else { format!(" ({})", stream.tag) }
}

fn data(stream: &Stream, container: &str) -> String {
    let handler = stream.tags.get("handler_name").map(|name| escape(name.trim(), 60));
    let called =
        handler.filter(|name| !name.is_empty()).map_or(String::new(), |n| format!(" ({n})"));
    format!("data{called}, for which {container} has no place here")
}

/// Sound that ffmpeg's Matroska muxer takes and that nobody can decode from there again.
const LOST_IN_MATROSKA: &[&str] = &["adpcm_swf", "tta"];

fn audio(codec: &str, sound: Sound, container: Container) -> Vec<Treatment> {
    let pcm = codec.starts_with("pcm_");
    let lossless = pcm || LOSSLESS.contains(&codec);
    let whole = if sound.float || sound.bits > 24 { Cost::Quality } else { Cost::Packets };
    let mut ways = Vec::new();
    match container {
        Container::Mp4 => {
            if MP4_AUDIO.contains(&codec) {
                ways.push(COPY);
            }
            if lossless {
                ways.extend([convert("alac", whole), convert("flac", whole)]);
            }
        }
        Container::Matroska => {
            if !LOST_IN_MATROSKA.contains(&codec) {
                ways.push(COPY);
            }
            if pcm {
                // Other bytes of the same numbers.
                ways.push(convert(plain_samples(sound), Cost::Nothing));
            }
            if lossless {
                ways.push(convert("flac", whole));
            }
        }
    }
    ways.push(convert("aac", Cost::Quality));
    ways
}

/// Ways of sound whose packets cannot stay.
fn encoded(codec: &str, sound: Sound, container: Container) -> Vec<Treatment> {
    let mut ways = audio(codec, sound, container);
    ways.retain(|way| way.encoder.is_some());
    if container == Container::Matroska && ways.len() == 1 {
        // ffmpeg's Matroska plays what AAC's decoder only begins with.
        ways.insert(0, convert("flac", Cost::Quality));
    }
    ways
}

/// The little-endian samples that hold those of `sound`.
fn plain_samples(sound: Sound) -> &'static str {
    match (sound.float, sound.bits) {
        (true, ..=32) => "pcm_f32le",
        (true, _) => "pcm_f64le",
        (false, 1..=16) => "pcm_s16le",
        (false, 17..=24) => "pcm_s24le",
        (false, _) => "pcm_s32le",
    }
}

fn subtitle(codec: &str, container: Container) -> Vec<Treatment> {
    let text = TEXT.contains(&codec);
    let plain = if PLAIN_TEXT.contains(&codec) { Cost::Nothing } else { Cost::Quality };
    match (container, codec) {
        (_, "unknown") => Vec::new(),
        (Container::Mp4, "mov_text") => vec![COPY],
        (Container::Mp4, _) if text => vec![convert("mov_text", plain)],
        (Container::Mp4, _) => Vec::new(),
        (Container::Matroska, "mov_text" | "text") => vec![convert("srt", Cost::Nothing)],
        // Its places on the screen are words of ASS.
        (Container::Matroska, "eia_608") => vec![convert("ass", Cost::Quality)],
        (Container::Matroska, _) if text => vec![COPY, convert("srt", plain)],
        (Container::Matroska, _) => vec![COPY],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoders(ways: Vec<Treatment>) -> Vec<&'static str> {
        ways.into_iter().map(|way| way.encoder.unwrap_or("copy")).collect()
    }

    #[test]
    fn sound_without_loss_stays_without_loss() {
        let of = |codec, float, bits, container| {
            encoders(audio(codec, Sound { channels: 2, rate: 48_000, float, bits }, container))
        };
        let matroska = Container::Matroska;
        assert_eq!(of("pcm_bluray", false, 16, matroska), ["copy", "pcm_s16le", "flac", "aac"]);
        assert_eq!(of("pcm_dvd", false, 24, matroska)[1], "pcm_s24le");
        assert_eq!(of("pcm_f64be", true, 64, matroska)[1], "pcm_f64le");
        assert_eq!(of("ape", false, 16, matroska), ["copy", "flac", "aac"]);
        assert_eq!(of("tta", false, 16, matroska), ["flac", "aac"]);
        assert_eq!(of("pcm_s16le", false, 16, Container::Mp4), ["alac", "flac", "aac"]);
        assert_eq!(of("nellymoser", true, 32, Container::Mp4), ["aac"]);
        assert_eq!(of("aac", true, 32, Container::Mp4), ["copy", "aac"]);
    }

    #[test]
    fn sound_that_is_cut_is_never_copied() {
        let of = |codec, container| {
            let sound = Sound { channels: 2, rate: 48_000, float: false, bits: 16 };
            encoders(encoded(codec, sound, container))
        };
        assert_eq!(of("aac", Container::Mp4), ["aac"]);
        assert_eq!(of("alac", Container::Mp4), ["alac", "flac", "aac"]);
        assert_eq!(of("aac", Container::Matroska), ["flac", "aac"]);
        assert_eq!(of("pcm_s16be", Container::Matroska), ["pcm_s16le", "flac", "aac"]);
    }

    #[test]
    fn sound_of_more_than_24_bits_is_not_called_lossless_in_mp4() {
        let costs = |float, bits| {
            audio("pcm_s32le", Sound { channels: 2, rate: 48_000, float, bits }, Container::Mp4)[0]
                .cost
        };
        assert_eq!(costs(false, 24), Cost::Packets);
        assert_eq!(costs(false, 32), Cost::Quality);
        assert_eq!(costs(true, 32), Cost::Quality);
    }
}
