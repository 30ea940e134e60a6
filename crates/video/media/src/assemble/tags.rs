//! Tags that go along with the pictures and the film, and what becomes of those that a container has
//! no word for.

use std::collections::BTreeMap;

use crate::media::{Media, Stream};

/// The longest value of a tag that is passed on.
const LONGEST: usize = 32 << 10;

/// Names, in lower case, that describe the file itself and not the film: made anew by each muxer.
const OF_THE_FILE: &[&str] = &[
    "bps",
    "compatible_brands",
    "creation_time",
    "duration",
    "encoder",
    "encoding settings",
    "language",
    "major_brand",
    "minor_version",
    "number_of_bytes",
    "number_of_frames",
    "rotate",
    "timecode",
    "vendor_id",
    "variant_bitrate",
];

/// The tag called `name`, which Matroska writes in capitals.
pub(super) fn tag<'a>(tags: &'a BTreeMap<String, String>, name: &str) -> Option<&'a String> {
    tags.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Names that muxers give to handlers by themselves.
const NO_NAMES: &[&str] =
    &["", "VideoHandler", "SoundHandler", "SubtitleHandler", "DataHandler", "TimeCodeHandler"];

/// The name of a track of MP4, for those who read only its handler: its title, where the handler has
/// no name of its own.
pub(super) fn handler(stream: &Stream) -> Option<&String> {
    let given = tag(&stream.tags, "handler_name");
    let own = given.is_some_and(|name| !NO_NAMES.contains(&name.trim()));
    let title = tag(&stream.tags, "title").filter(|title| title.len() <= LONGEST);
    title.filter(|title| !own && !title.is_empty())
}

/// Whether a tag says something of the film.
fn speaks_of_the_film(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    // `BPS-eng` is a count of the file's bits as `BPS` is.
    let stem = lower.split('-').next().unwrap_or_default();
    !OF_THE_FILE.contains(&stem) && !lower.starts_with("_statistics") && !lower.starts_with("id3v2")
}

/// The tags of a stream of the source that hold for the one that is made of it.
pub(super) fn of_stream(main: &Stream) -> impl Iterator<Item = (&String, &String)> {
    let language = |name: &str| name.eq_ignore_ascii_case("language");
    let created = |name: &str| name.eq_ignore_ascii_case("creation_time");
    main.tags.iter().filter(move |(name, value)| {
        let fits = !name.is_empty() && !name.contains('=') && value.len() <= LONGEST;
        fits && (speaks_of_the_film(name) || language(name) || created(name))
    })
}

/// The tags of the film that `found` does not have under any name.
pub(super) fn missing(source: &Media, found: &BTreeMap<String, String>) -> Vec<(String, String)> {
    lost(&source.tags, found)
}

/// Tags of `before` that speak of the film and whose value is nowhere in `after`.
pub(super) fn lost(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let kept = |value: &str| after.values().any(|found| found.trim() == value.trim());
    let wanted = before.iter().filter(|(name, value)| {
        let handler = name.eq_ignore_ascii_case("handler_name");
        let says_nothing = value.trim().is_empty() || handler && NO_NAMES.contains(&value.trim());
        speaks_of_the_film(name) && !says_nothing && !kept(value)
    });
    wanted.map(|(name, value)| (name.clone(), value.clone())).collect()
}
