//! What files are, and what a frame of them looks like, for the pages.
//!
//! What costs time is kept for a while: the depth of the last frames that were looked at. Strength, convergence
//! and layout are then drawn anew from it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use parallax_conversion::{Moment, PreviewDepth, one_view};
use parallax_engine_spec::{Choices, Device};
use parallax_media::{Media, Picture, StreamKind, Tools, probe, read_still, scan};
use parallax_pages::{Description, Drawn, Kind, Look, Moment as Place, NotSeen, Viewer};
use parallax_stereo::{Geometry, Rendering};
use tokio_util::sync::CancellationToken;

use crate::convert::network::{Estimator, NetworkArgs, open_estimator, weights_folder};

/// How far depth looks back before the frame: a conversion sees more, and a person waits for this.
const BACK: Duration = Duration::from_millis(500);
/// Frames whose depth is kept.
const KEPT: usize = 4;
/// Samples across a preview.
const WIDTH: usize = 960;

/// What a frame's depth depends on.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    file: PathBuf,
    engine: String,
    /// In thousandths of the film.
    at: u32,
}

/// Looks at files with ffmpeg and this program's engines.
#[derive(Debug)]
pub(super) struct FilmViewer {
    tools: Tools,
    kept: Mutex<VecDeque<(Key, Arc<Moment>)>>,
}

impl FilmViewer {
    pub(super) fn new(tools: Tools) -> Self {
        Self { tools, kept: Mutex::default() }
    }

    fn moment(
        &self,
        file: &Path,
        place: Place,
        engine: &str,
        cancel: &CancellationToken,
    ) -> Result<Arc<Moment>> {
        let at = (place.0 * 1000.0).round() as u32;
        let key = Key { file: file.to_owned(), engine: engine.to_owned(), at };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, moment)) = kept.iter().find(|(known, _)| *known == key) {
            return Ok(moment.clone());
        }
        drop(kept);
        let moment = Arc::new(self.look(&key, cancel)?);
        kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT - 1);
        kept.push_front((key, moment.clone()));
        Ok(moment)
    }

    fn look(&self, key: &Key, cancel: &CancellationToken) -> Result<Moment> {
        let network = NetworkArgs::default();
        let estimator = Estimator::parse(&key.engine).map_err(anyhow::Error::msg)?;
        let (spec, _) = estimator.spec(None, Device::Cpu, &network);
        let choices =
            network.among(Choices { weights: weights_folder(None), ..Choices::default() });
        if let Some(kind) = Picture::of(&key.file) {
            let still = read_still(&self.tools, &key.file, kind, cancel)?;
            let format = still.frame.format();
            let model = open_estimator(spec, &choices, (format.width, format.height))?;
            return Ok(Moment::of_still(still.frame, &*model, cancel)?);
        }
        let media = probe(&self.tools, &key.file, cancel)?;
        media.without_dynamic_hdr()?;
        let pictures = one_view(&self.tools, &media, None, cancel)?.pictures;
        let packets = scan(&self.tools, &media, cancel)?;
        let times = packets.frame_times().context("the film stores no times to find frames by")?;
        ensure!(!times.is_empty(), "the film has no frames");
        let position = (f64::from(key.at) / 1000.0 * (times.len() - 1) as f64).round() as usize;
        let model = open_estimator(spec, &choices, pictures.size(&media))?;
        let depth = PreviewDepth::Estimated { model: &*model, back: BACK };
        let film = (&media, &packets);
        Ok(Moment::of_film(&self.tools, film, position, (depth, pictures), cancel)?)
    }

    fn describe_film(&self, file: &Path, cancel: &CancellationToken) -> Result<Description> {
        let media = probe(&self.tools, file, cancel)?;
        let format = &media.video.format;
        Ok(Description {
            kind: Kind::Film,
            width_px: format.width,
            height_px: format.height,
            frames_per_second: media.video.rate.fps(),
            seconds: media.duration_seconds,
            sounds: media.streams_of(StreamKind::Audio).count(),
            codec: media.video.codec.clone(),
            plays_in_browsers: plays(&media),
        })
    }

    fn describe_picture(
        &self,
        file: &Path,
        kind: Picture,
        cancel: &CancellationToken,
    ) -> Result<Description> {
        let still = read_still(&self.tools, file, kind, cancel)?;
        let format = still.frame.format();
        Ok(Description {
            kind: Kind::Picture,
            width_px: format.width,
            height_px: format.height,
            frames_per_second: 0.0,
            seconds: None,
            sounds: 0,
            codec: kind.extension().to_owned(),
            plays_in_browsers: true,
        })
    }
}

/// Whether every browser of today plays it.
fn plays(media: &Media) -> bool {
    let video = &media.video;
    let sound = |codec: &str| matches!(codec, "aac" | "mp3" | "opus" | "flac");
    media.container.split(',').any(|name| name == "mp4")
        && video.codec == "h264"
        && matches!(&*video.pixel_name, "yuv420p" | "yuvj420p")
        && media.streams_of(StreamKind::Audio).all(|stream| sound(&stream.codec))
}

impl Viewer for FilmViewer {
    fn describe(&self, file: &Path, cancel: &CancellationToken) -> Result<Description, NotSeen> {
        match Picture::of(file) {
            Some(kind) => self.describe_picture(file, kind, cancel),
            None => self.describe_film(file, cancel),
        }
        .map_err(|error| NotSeen(format!("{error:#}")))
    }

    fn draw(
        &self,
        file: &Path,
        place: Place,
        look: &Look,
        cancel: &CancellationToken,
    ) -> Result<Drawn, NotSeen> {
        let drawn = || -> Result<Drawn> {
            let moment = self.moment(file, place, &look.engine, cancel)?;
            let geometry = Geometry {
                disparity_percent: look.disparity_percent,
                convergence: look.convergence,
            };
            let sheet = moment.draw(geometry, Rendering::default(), (look.layout, WIDTH))?;
            Ok(Drawn { png: sheet.png()?, parallax_percent: moment.parallax_percent(geometry) })
        };
        drawn().map_err(|error| NotSeen(format!("{error:#}")))
    }
}
