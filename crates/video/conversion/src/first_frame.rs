//! The first frame of a film.

use std::path::Path;

use parallax_frame::Frame;
use parallax_media::{
    DecodeOptions, Decoder, Packets, Result as MediaResult, Span, Tools, probe, scan,
};
use tokio_util::sync::CancellationToken;

/// The first frame of a file, small.
pub(crate) fn first_frame(
    tools: &Tools,
    path: &Path,
    longest: u32,
    cancel: &CancellationToken,
) -> MediaResult<Option<Frame>> {
    let media = probe(tools, path, cancel)?;
    let packets = scan(tools, &media, cancel)?;
    let first = first_time(&packets);
    let span = Span { times: first..first + 1, longest: Some(longest) };
    let options = DecodeOptions::default();
    Decoder::open_span(tools, &media, &packets, span, options, cancel)?.next().transpose()
}

/// Its time, in ticks.
pub(crate) fn first_time(packets: &Packets) -> i64 {
    packets.packets.iter().filter(|p| !p.hidden).filter_map(|p| p.pts).min().unwrap_or(0)
}
