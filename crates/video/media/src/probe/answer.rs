//! ffprobe's JSON, read into types and checked. Every field is foreign and may be missing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parallax_frame::{Colour, FrameRate, Range, TimeBase, VideoFormat};
use serde::Deserialize;

use super::encryption::encrypted;
use crate::error::{Error, Result, escape};
use crate::hdr::{DynamicHdr, Hdr, SideData};
use crate::media::{Chapter, Media, Sound, Stream, StreamKind, Video, is_broadcast};
use crate::pixels;
use crate::programs::Tools;
use crate::stereo_mode::Declaration;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<RawStream>,
    #[serde(default)]
    format: RawFormat,
    #[serde(default)]
    chapters: Vec<RawChapter>,
    #[serde(default)]
    programs: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct RawChapter {
    start_time: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
struct RawFormat {
    format_name: Option<String>,
    start_time: Option<String>,
    duration: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RawStream {
    index: u32,
    codec_name: Option<String>,
    codec_tag_string: Option<String>,
    sample_fmt: Option<String>,
    sample_rate: Option<String>,
    channels: Option<u32>,
    bits_per_sample: Option<u32>,
    bits_per_raw_sample: Option<String>,
    codec_type: Option<String>,
    width: Option<i64>,
    height: Option<i64>,
    sample_aspect_ratio: Option<String>,
    pix_fmt: Option<String>,
    color_range: Option<String>,
    color_space: Option<String>,
    color_primaries: Option<String>,
    color_transfer: Option<String>,
    field_order: Option<String>,
    r_frame_rate: Option<String>,
    avg_frame_rate: Option<String>,
    time_base: Option<String>,
    start_pts: Option<i64>,
    duration_ts: Option<i64>,
    nb_frames: Option<String>,
    extradata_hash: Option<String>,
    #[serde(default)]
    disposition: BTreeMap<String, i64>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Deserialize, Default)]
struct Frames {
    #[serde(default)]
    frames: Vec<FirstFrame>,
}

#[derive(Deserialize, Default)]
struct FirstFrame {
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

/// Reads the side data of the first of the frames in `json`; none when unreadable.
pub(super) fn first_frame(json: &[u8]) -> Vec<SideData> {
    let answer: Frames = serde_json::from_slice(json).unwrap_or_default();
    answer.frames.into_iter().next().map(|frame| frame.side_data_list).unwrap_or_default()
}

/// Reads `json` into what the file is.
pub(super) fn read(tools: &Tools, path: &Path, bytes: u64, json: &[u8]) -> Result<Media> {
    let answer: Answer = serde_json::from_slice(json)
        .map_err(|e| Error::input(path, format!("ffprobe's description is unreadable: {e}")))?;
    let count = answer.streams.len();
    let allowed = tools.limits.streams;
    if count > allowed as usize {
        return Err(Error::input(path, format!("{count} streams; allowed are {allowed}")));
    }
    let videos = || answer.streams.iter().filter(|raw| raw.kind() == StreamKind::Video);
    let Some(main) = videos().find(|raw| raw.is("default")).or(videos().next()) else {
        return Err(Error::input(path, "no video stream"));
    };
    // MP4 may carry keys for tracks that are not encrypted; there the sample entry decides.
    let matroska = answer.format.format_name.as_deref().is_some_and(|n| n.contains("matroska"));
    if matroska && main.side_data_list.iter().any(SideData::is_key) {
        return Err(encrypted(path, "its keys are elsewhere"));
    }
    // The container's length is that of its longest stream.
    let told = answer.streams.iter().all(|raw| raw.duration_ts.is_none_or(is_length));
    let duration_seconds = answer.format.duration.as_deref().and_then(|text| text.parse().ok());
    let duration_seconds = duration_seconds.filter(|&seconds| told && ends(seconds));
    let video = video(tools, path, main)?;
    let container = escape(&answer.format.format_name.unwrap_or_default(), 100);
    check_frames(tools, path, &video)?;
    if !is_broadcast(&container) {
        let stream = video.duration.map(|ticks| video.time_base.seconds(ticks));
        let longest = stream.into_iter().chain(duration_seconds).fold(0.0, f64::max);
        check_seconds(tools, path, longest)?;
    }
    Ok(Media {
        path: path.to_owned(),
        container,
        bytes,
        duration_seconds,
        start_us: answer.format.start_time.as_deref().and_then(microseconds).unwrap_or(0),
        streams: answer.streams.iter().map(RawStream::describe).collect(),
        tags: answer.format.tags,
        chapters: answer.chapters.iter().map(RawChapter::describe).collect(),
        programs: answer.programs.len(),
        video,
    })
}

impl RawChapter {
    fn describe(&self) -> Chapter {
        let start_us = self.start_time.as_deref().and_then(microseconds).unwrap_or(0);
        Chapter { start_us, title: self.tags.get("title").map(|title| escape(title, 200)) }
    }
}

impl RawStream {
    fn kind(&self) -> StreamKind {
        let still = ["attached_pic", "timed_thumbnails", "still_image"];
        match self.codec_type.as_deref() {
            Some("video") if still.iter().any(|flag| self.is(flag)) => StreamKind::AttachedPicture,
            Some("video") => StreamKind::Video,
            Some("audio") => StreamKind::Audio,
            Some("subtitle") => StreamKind::Subtitle,
            Some("attachment") => StreamKind::Attachment,
            _ => StreamKind::Other,
        }
    }

    fn is(&self, disposition: &str) -> bool {
        self.disposition.get(disposition).is_some_and(|&set| set != 0)
    }

    fn describe(&self) -> Stream {
        let named = self.codec_name.as_deref().filter(|name| *name != "unknown");
        let tag = match (named, &self.codec_tag_string) {
            (None, Some(tag)) if !tag.starts_with("[0]") => escape(tag, 40),
            _ => String::new(),
        };
        let marks = self.disposition.iter().filter(|(name, set)| **set != 0 && plain(name));
        let side_data = self.side_data_list.iter().filter_map(|data| data.name.as_deref());
        Stream {
            index: self.index,
            kind: self.kind(),
            codec: escape(self.codec_name.as_deref().unwrap_or("unknown"), 40),
            language: self.tags.get("language").map(|tag| escape(tag, 40)),
            tag,
            dispositions: marks.map(|(name, _)| name.clone()).collect(),
            tags: self.tags.clone(),
            side_data: side_data.map(|kind| escape(kind, 80)).collect(),
            sound: self.sound(),
            span_us: self.span_us(),
        }
    }

    fn span_us(&self) -> Option<(i64, i64)> {
        let unit = self.time_base.as_deref().and_then(fraction)?;
        let unit = TimeBase { num: unit.0, den: unit.1 };
        let length = self.duration_ts.filter(|&ticks| is_length(ticks))?;
        let end = self.start_pts?.checked_add(length)?;
        Some((unit.rescale(self.start_pts?, 1_000_000), unit.rescale(end, 1_000_000)))
    }

    /// `None` for a stream that only the container announces: nothing tells how it sounds.
    fn sound(&self) -> Option<Sound> {
        let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
        let channels = self.channels.filter(|&channels| channels > 0)?;
        let rate = number(&self.sample_rate).filter(|&rate: &u32| rate > 0)?;
        let format = self.sample_fmt.as_deref().unwrap_or_default();
        let of_format = match format.trim_end_matches('p') {
            "u8" => 8,
            "s16" => 16,
            "s32" | "flt" => 32,
            "s64" | "dbl" => 64,
            _ => 0,
        };
        let told = number(&self.bits_per_raw_sample).filter(|&bits: &u32| bits > 0);
        let told = told.or(self.bits_per_sample.filter(|&bits| bits > 0));
        let bits = told.unwrap_or(of_format);
        let float = matches!(format, "flt" | "fltp" | "dbl" | "dblp");
        Some(Sound { channels, rate, float, bits })
    }
}

fn video(tools: &Tools, path: &Path, raw: &RawStream) -> Result<Video> {
    let codec = escape(raw.codec_name.as_deref().unwrap_or("unknown"), 40);
    let (width, height) = size(tools, path, raw)?;
    let Some(pixel_name) = known(&raw.pix_fmt) else {
        let what = format!("the {codec} video cannot be decoded: unknown pixel format");
        return Err(Error::input(path, what));
    };
    let time_base = match raw.time_base.as_deref().and_then(fraction) {
        Some((num, den)) => TimeBase { num, den },
        None => return Err(Error::input(path, "the video stream has no time base")),
    };
    let pixels = pixels::map(&pixel_name);
    let degrees = raw.side_data_list.iter().find_map(|data| data.rotation).unwrap_or(0.0);
    let rotation = if degrees.is_finite() { degrees.clamp(-360.0, 360.0) as i32 } else { 0 };
    let on_its_side = (rotation.rem_euclid(180) - 90).abs() <= 1;
    let (width, height) = if on_its_side { (height, width) } else { (width, height) };
    let aspect = raw.sample_aspect_ratio.as_deref().and_then(ratio).unwrap_or((1, 1));
    let sample_aspect = if on_its_side { (aspect.1, aspect.0) } else { aspect };
    let rate = |text: &Option<String>| {
        text.as_deref().and_then(fraction).map(|(num, den)| FrameRate { num, den })
    };
    let base_rate = rate(&raw.r_frame_rate);
    let format = VideoFormat { width, height, pixels: pixels.format, colour: colour(raw, &pixels) };
    Ok(Video {
        index: raw.index,
        codec,
        format: Arc::new(format),
        pixel_name,
        rotation,
        sample_aspect,
        field_order: known(&raw.field_order).filter(|order| order != "progressive"),
        time_base,
        rate: rate(&raw.avg_frame_rate).or(base_rate).unwrap_or(FrameRate { num: 25, den: 1 }),
        base_rate,
        start: raw.start_pts,
        duration: raw.duration_ts.filter(|&ticks| is_length(ticks)),
        frames: raw.nb_frames.as_deref().and_then(|text| text.parse().ok()),
        extradata: raw.extradata_hash.clone(),
        hdr: Hdr::of(&raw.side_data_list),
        dynamic_hdr: DynamicHdr::of(&raw.side_data_list),
        declared: Declaration {
            stereo: raw.side_data_list.iter().find_map(SideData::stereo),
            half_sphere: raw.side_data_list.iter().any(SideData::is_sphere),
        },
        views: raw.side_data_list.iter().find_map(SideData::views),
    })
}

/// Whether a duration in ticks is one: all bits set, in 32 or 64 bits, is how MP4 says "unknown".
fn is_length(ticks: i64) -> bool {
    ticks != i64::from(u32::MAX) && ticks != i64::MAX
}

/// Coded size, within the limits.
fn size(tools: &Tools, path: &Path, raw: &RawStream) -> Result<(u32, u32)> {
    let (width, height) = (raw.width.unwrap_or(0), raw.height.unwrap_or(0));
    let side =
        |value: i64| u32::try_from(value).ok().filter(|&value| (1..=65_536).contains(&value));
    let allowed = tools.limits.frame_pixels;
    match (side(width), side(height)) {
        (Some(w), Some(h)) if u64::from(w) * u64::from(h) <= allowed => Ok((w, h)),
        _ => {
            let what = format!("pictures of {width}x{height}; allowed are 1 to {allowed} pixels");
            Err(Error::input(path, what))
        }
    }
}

fn colour(raw: &RawStream, pixels: &pixels::Pixels) -> Colour {
    if pixels.rgb {
        // The decoder converts RGB to this.
        let name = || Some("bt709".to_owned());
        let transfer = known(&raw.color_transfer).or_else(name);
        let primaries = known(&raw.color_primaries).or_else(name);
        return Colour { range: Some(Range::Limited), matrix: name(), primaries, transfer };
    }
    let range = match raw.color_range.as_deref() {
        Some("pc") => Some(Range::Full),
        _ if pixels.full_range => Some(Range::Full),
        Some("tv") => Some(Range::Limited),
        _ => None,
    };
    Colour {
        range,
        matrix: known(&raw.color_space).filter(|name| name != "gbr"),
        primaries: known(&raw.color_primaries),
        transfer: known(&raw.color_transfer),
    }
}

/// A name from ffmpeg's vocabulary; `None` for the ways in which it says "unknown". Anything that
/// could not be such a name is unknown too, for these names return to command lines.
fn known(name: &Option<String>) -> Option<String> {
    let name = name.as_deref()?;
    let says_nothing = ["unknown", "unspecified", "reserved", "none", "N/A", ""].contains(&name);
    (plain(name) && !says_nothing).then(|| name.to_owned())
}

/// Whether it may be a word of ffmpeg's, and no option or path.
fn plain(name: &str) -> bool {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    letters && !name.starts_with('-')
}

/// `num/den`, both at least 1.
fn fraction(text: &str) -> Option<(u32, u32)> {
    let (num, den) = text.split_once('/')?;
    let (num, den) = (num.parse().ok()?, den.parse().ok()?);
    (num > 0 && den > 0).then_some((num, den))
}

/// `num:den`, both at least 1.
fn ratio(text: &str) -> Option<(u32, u32)> {
    fraction(&text.replacen(':', "/", 1))
}

/// Seconds with up to six decimals, read exactly.
pub(crate) fn microseconds(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let part: i64 = format!("{part:0<6}").get(..6)?.parse().ok()?;
    let value = whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(part)?;
    Some(if negative { -value } else { value })
}

/// Whether a container's length is one, and not that of a packet whose end nobody knew: a subtitle that
/// lasts for a duration of all ones in milliseconds, from wherever in the film it begins.
fn ends(seconds: f64) -> bool {
    const ONES: f64 = u32::MAX as f64 / 1000.0;
    const LONGEST_FILM: f64 = 7.0 * 24.0 * 3600.0;
    !(ONES..ONES + LONGEST_FILM).contains(&seconds)
}

/// Refuses what is longer than is allowed.
pub(crate) fn check_seconds(tools: &Tools, path: &Path, seconds: f64) -> Result<()> {
    let allowed = tools.limits.duration.as_secs_f64();
    if seconds > allowed {
        return Err(Error::input(path, format!("{seconds:.0} s long; allowed are {allowed:.0} s")));
    }
    Ok(())
}

fn check_frames(tools: &Tools, path: &Path, video: &Video) -> Result<()> {
    let frames = video.frames.unwrap_or(0);
    if frames > tools.limits.frames {
        let what = format!("{frames} frames; allowed are {}", tools.limits.frames);
        return Err(Error::input(path, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_without_floating_point() {
        assert_eq!(microseconds("1.483417"), Some(1_483_417));
        assert_eq!(microseconds("-0.021000"), Some(-21_000));
        assert_eq!(microseconds("7"), Some(7_000_000));
        assert_eq!(microseconds("N/A"), None);
    }

    #[test]
    fn a_subtitle_without_an_end_makes_no_film_of_days() {
        assert!(ends(90.0) && ends(43_201.0) && ends(8_000_000.0));
        assert!(!ends(4_294_967.295) && !ends(4_294_967.318) && !ends(4_302_167.3));
    }

    #[test]
    fn hostile_names_do_not_reach_command_lines() {
        let name = |text: &str| known(&Some(text.to_owned()));
        assert_eq!(name("bt709"), Some("bt709".to_owned()));
        for bad in ["-i", "a b", "a,b=c", "unknown", "/etc/passwd"] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }
}
