//! Depth of a shot's frames by those around them or before them.

use std::sync::Arc;

use candle_core::Result;
use parallax_dpt::{DepthMap, DepthNetwork, Stream, WindowOptions, Windows};
use parallax_frame::Frame;
use parallax_nn::ignore;
use parallax_stereo::{Error, InverseDepth, Plane};

use crate::failure::failed;
use crate::input::Input;

/// Frames that may wait for their depth: a window's, and one that is on its way.
pub(crate) const LAG: usize = 31;

/// A network that sees windows of frames, aligned to each other.
#[derive(Debug)]
pub(crate) struct Video {
    network: Arc<DepthNetwork>,
    input: Input,
    options: WindowOptions,
    windows: Windows,
}

impl Video {
    pub(crate) fn new(network: Arc<DepthNetwork>, input: Input, options: WindowOptions) -> Self {
        let windows = Windows::new(Arc::clone(&network), options);
        Self { network, input, options, windows }
    }

    fn see(&mut self, frame: &Frame) -> Result<Vec<Plane>> {
        let mut planes = Vec::new();
        for features in self.network.features(&self.input.of(frame)?, &mut ignore)? {
            planes.extend(self.windows.push(features)?.into_iter().map(plane));
        }
        Ok(planes)
    }
}

/// A network that sees frame after frame, and what it kept of those before.
#[derive(Debug)]
pub(crate) struct Streamed {
    network: Arc<DepthNetwork>,
    input: Input,
    enlarged: Option<(usize, usize)>,
    /// The shot in progress.
    stream: Option<Stream>,
}

impl Streamed {
    pub(crate) fn new(
        network: Arc<DepthNetwork>,
        input: Input,
        enlarged: Option<(usize, usize)>,
    ) -> Self {
        Self { network, input, enlarged, stream: None }
    }

    fn see(&mut self, frame: &Frame) -> Result<Vec<Plane>> {
        let features = self.network.features(&self.input.of(frame)?, &mut ignore)?;
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => Stream::new(Arc::clone(&self.network), self.enlarged)?,
        };
        let stream = self.stream.insert(stream);
        features.iter().map(|frame| Ok(plane(stream.push(frame)?))).collect()
    }
}

impl InverseDepth for Streamed {
    fn begin_shot(&mut self) {
        self.stream = None;
    }

    fn push(&mut self, frame: &Frame) -> std::result::Result<Vec<Plane>, Error> {
        self.see(frame).map_err(failed)
    }

    fn finish_shot(&mut self) -> std::result::Result<Vec<Plane>, Error> {
        Ok(Vec::new())
    }

    fn consistent(&self) -> bool {
        true
    }
}

fn plane(map: DepthMap) -> Plane {
    Plane::new(map.width, map.height, map.data)
}

impl InverseDepth for Video {
    fn begin_shot(&mut self) {
        self.windows = Windows::new(Arc::clone(&self.network), self.options);
    }

    fn push(&mut self, frame: &Frame) -> std::result::Result<Vec<Plane>, Error> {
        self.see(frame).map_err(failed)
    }

    fn finish_shot(&mut self) -> std::result::Result<Vec<Plane>, Error> {
        let maps = self.windows.finish().map_err(failed)?;
        Ok(maps.into_iter().map(plane).collect())
    }

    fn consistent(&self) -> bool {
        true
    }
}
