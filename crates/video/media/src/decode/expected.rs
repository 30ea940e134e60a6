//! Which frames a decoder owes.

use std::sync::Arc;

use crate::packets::Packets;

/// The frames that must come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Expected {
    /// Nobody knows: a file that lost its end may pass as a shorter one.
    #[default]
    Unknown,
    /// So many.
    Frames(u64),
    /// One at each of these times, ascending, in ticks of the stream.
    Times(Arc<[i64]>),
}

impl From<Option<u64>> for Expected {
    fn from(frames: Option<u64>) -> Self {
        frames.map_or(Expected::Unknown, Expected::Frames)
    }
}

impl From<&Packets> for Expected {
    fn from(packets: &Packets) -> Self {
        match packets.frame_times() {
            Some(times) => Expected::Times(times.into()),
            None => Expected::Frames(packets.shown()),
        }
    }
}

impl Expected {
    pub(super) fn count(&self) -> Option<u64> {
        match self {
            Expected::Unknown => None,
            Expected::Frames(frames) => Some(*frames),
            Expected::Times(times) => Some(times.len() as u64),
        }
    }
}
