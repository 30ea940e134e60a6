//! The frames that a scan found to be shown, at the times that it gave them.

use std::path::PathBuf;

use parallax_frame::Frame;
use tokio_util::sync::CancellationToken;

use crate::decode::{DecodeOptions, Decoder, Expected};
use crate::error::{Error, Result, show_path};
use crate::media::Media;
use crate::packets::Packets;
use crate::programs::Tools;

/// A decoder whose frames are those that [`crate::scan`] found to be shown: what it makes of lead-ins and
/// of what an edit list cuts away is left out, and times that were mended are those of the scan.
#[derive(Debug)]
pub struct Shown {
    decoder: Decoder,
    path: PathBuf,
    wanted: Wanted,
    given: u64,
}

/// Which frames are taken.
#[derive(Debug)]
enum Wanted {
    /// All: the container does not store times, or what is stored is what is shown.
    All,
    /// Those at these times, ascending.
    At(Vec<i64>),
    /// All, at these times instead of the file's.
    Moved(Vec<i64>),
}

impl Shown {
    /// Starts decoding what `packets`, the scan of the file that `media` describes, show. `expected`
    /// is as for [`Decoder::open_with`]; where frames are left out they are always counted.
    ///
    /// # Errors
    /// As [`Decoder::open_with`].
    pub fn open(
        tools: &Tools,
        media: &Media,
        packets: &Packets,
        expected: impl Into<Expected>,
        options: DecodeOptions,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let wanted = wanted(packets);
        let decoder = match &wanted {
            Wanted::All => Decoder::open_with(tools, media, expected, options, cancel)?,
            Wanted::At(times) => {
                let of = (times.clone(), packets.excerpted.as_ref());
                Decoder::open_among(tools, media, of, options, cancel)?
            }
            Wanted::Moved(times) => {
                let whole = !packets.gaps && !packets.cut;
                let frames = whole.then_some(times.len() as u64).into();
                Decoder::open_numbered(tools, media, frames, options, cancel)?
            }
        };
        Ok(Self { decoder, path: media.path.clone(), wanted, given: 0 })
    }

    /// The decoder itself: format and unit of the frames' times.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The frame as it is shown; `None` when it is not.
    fn take(&mut self, mut frame: Frame) -> Option<Frame> {
        match &self.wanted {
            Wanted::All => {}
            Wanted::At(times) => {
                times.binary_search(&frame.pts).ok()?;
            }
            Wanted::Moved(times) => {
                frame.pts = *times.get(self.given as usize)?;
            }
        }
        self.given += 1;
        Some(frame)
    }

    /// Whether everything came that is shown.
    fn check(&self) -> Result<()> {
        let expected = match &self.wanted {
            Wanted::All => return Ok(()),
            Wanted::At(times) => times.len(),
            Wanted::Moved(times) => times.len(),
        };
        if self.given == expected as u64 {
            return Ok(());
        }
        let (path, given) = (show_path(&self.path), self.given);
        let what = format!("{path}: damaged or truncated, {given} of {expected} frames decoded");
        Err(Error::new(crate::error::Kind::Input, what))
    }
}

fn wanted(packets: &Packets) -> Wanted {
    let Some(times) = packets.frame_times() else { return Wanted::All };
    if packets.are_moved() {
        return Wanted::Moved(times);
    }
    if packets.gaps || packets.skipped > 0 || packets.cut {
        return Wanted::At(times);
    }
    Wanted::All
}

impl Iterator for Shown {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.decoder.next() {
                Some(Ok(frame)) => {
                    if let Some(frame) = self.take(frame) {
                        return Some(Ok(frame));
                    }
                }
                Some(Err(error)) => {
                    self.wanted = Wanted::All;
                    return Some(Err(error));
                }
                None => {
                    let checked = self.check();
                    self.wanted = Wanted::All;
                    return checked.err().map(Err);
                }
            }
        }
    }
}
