//! Masks that were found, in a file: they come in another order than they are wanted in, and all together may be
//! larger than memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use parallax_serving::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rle::Rle;
use crate::segment::no_room;

/// A mask of a thing in a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Found {
    /// The number of the frame, from 0.
    pub(crate) frame: usize,
    /// The number of the thing.
    pub(crate) object: u32,
    /// How good the network takes the mask to be, 0 to 1.
    pub(crate) score: f64,
    /// Whether the thing is there at all: positive if it is. Else the mask is empty.
    pub(crate) object_score: f64,
    /// The mask.
    pub(crate) mask: Rle,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Store {
    file: File,
    /// Where each begins, and its bytes, by frame and by the thing's place.
    places: BTreeMap<(usize, usize), (u64, usize)>,
    end: u64,
}

impl Store {
    /// An empty one in a new file.
    ///
    /// # Errors
    /// `Unavailable` without room.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::options().read(true).write(true).create_new(true).open(path);
        let file = file.map_err(|error| no_room(&error))?;
        Ok(Self { file, places: BTreeMap::new(), end: 0 })
    }

    /// Adds one of the thing at `place` of the request.
    ///
    /// # Errors
    /// `Unavailable` without room.
    pub(crate) fn push(&mut self, place: usize, found: &Found) -> Result<(), Failure> {
        let text =
            serde_json::to_vec(found).map_err(|error| Failure::internal(error.to_string()))?;
        let at = SeekFrom::Start(self.end);
        self.file
            .seek(at)
            .and_then(|_| self.file.write_all(&text))
            .map_err(|error| no_room(&error))?;
        self.places.insert((found.frame, place), (self.end, text.len()));
        self.end += text.len() as u64;
        Ok(())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.end
    }

    /// Those of a frame, in the order of the request.
    ///
    /// # Errors
    /// `Internal` when the file is damaged.
    pub(crate) fn of(&mut self, frame: usize) -> Result<Vec<Found>, Failure> {
        let places: Vec<_> =
            self.places.range((frame, 0)..(frame + 1, 0)).map(|(_, at)| *at).collect();
        let read = |(start, length): (u64, usize)| {
            let mut text = vec![0; length];
            let read = self
                .file
                .seek(SeekFrom::Start(start))
                .and_then(|_| self.file.read_exact(&mut text));
            read.map_err(|error| Failure::internal(error.to_string()))?;
            serde_json::from_slice(&text).map_err(|error| Failure::internal(error.to_string()))
        };
        places.into_iter().map(read).collect()
    }
}
