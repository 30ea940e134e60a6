//! The networks of `animate` as a model of the pool.

use std::ops::ControlFlow;
use std::path::PathBuf;

use parallax_nn::device::{self, Device, free_bytes};
use parallax_serving::{Failure, FailureKind, Model, ModelBytes, Progress};
use parallax_svd::image_to_video::{Clip, Folder, ImageToVideo, Options, Precision, Stopped, Work};
use parallax_svd::manifest::{IMAGE_TO_VIDEO, VIDEO_UNET};
use parallax_weights::{Manifest, part_dir};
use tokio_util::sync::CancellationToken;

use crate::animate_request::Motion;
use crate::segmenter::ModelChoice;

/// The name of the networks in the model pool.
pub const ANIMATE_MODEL: &str = "animate";

/// Networks that have been loaded.
#[derive(Debug)]
pub struct Animator {
    networks: ImageToVideo,
    device: Device,
}

/// Why there is no clip.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The device has no room, which may help where others leave it.
    Full(Failure),
    /// Anything else.
    Failed(Failure),
}

/// The names that networks are chosen by, the one to begin with first.
pub fn animate_model_names() -> impl Iterator<Item = &'static str> {
    IMAGE_TO_VIDEO.iter().map(|model| model.name)
}

/// The networks for the model pool: nothing is opened before they are asked for.
pub fn animate_model(choice: ModelChoice) -> Model {
    let sized = choice.clone();
    let bytes = move || {
        let opened = || -> Result<u64, Failure> {
            let precision = Precision::on(&open_device(&sized)?);
            Ok(open_folder(&sized)?.bytes(precision))
        };
        // Of weights that are not there, loading says more.
        let whole = opened().unwrap_or(0);
        ModelBytes { least: whole, whole }
    };
    Model::measured(ANIMATE_MODEL, bytes, move || Animator::open(&choice))
}

fn open_device(choice: &ModelChoice) -> Result<Device, Failure> {
    device::open(choice.device).map_err(|error| Failure::internal(error.to_string()))
}

fn open_folder(choice: &ModelChoice) -> Result<Folder, Failure> {
    let chosen = |model: &&Manifest| choice.name.as_deref().is_none_or(|name| name == model.name);
    let models = IMAGE_TO_VIDEO.iter().filter(chosen);
    let first = models.clone().next().map_or(IMAGE_TO_VIDEO[0].name, |model| model.name);
    let place = |model: &Manifest| -> PathBuf { choice.dir.join(model.folder()) };
    let mut folders = models.map(place);
    let folder = folders.find(|folder| part_dir(folder, VIDEO_UNET).is_ok());
    let folder = folder.ok_or_else(|| {
        let message = format!(
            "the weights of the network are not on this server; `parallax weights fetch {first}` brings them"
        );
        let detail = format!("looked in {}", choice.dir.display());
        Failure::new(FailureKind::Unavailable, message).with_detail(detail)
    })?;
    Folder::open(&folder).map_err(|error| Failure::internal(error.to_string()))
}

impl Animator {
    fn open(choice: &ModelChoice) -> Result<Self, Failure> {
        let device = open_device(choice)?;
        let networks = open_folder(choice)?.build(&device, Precision::on(&device));
        let networks = networks.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            Failure::internal(format!("{error}{}", cause.unwrap_or_default()))
        })?;
        Ok(Self { networks, device })
    }

    /// The clip of a picture of a size in red, green and blue.
    ///
    /// # Errors
    /// `Cancelled` between the steps; `Internal` when the networks fail.
    pub(crate) fn clip(
        &self,
        (rgb, size): (&[u8], (usize, usize)),
        (motion, seed): (&Motion, u32),
        report: &dyn Fn(Progress),
        cancel: &CancellationToken,
    ) -> Result<Clip, Ended> {
        let options = self.options(motion, size)?;
        let (steps, frames) = (options.steps as u64, options.frames as u64);
        let mut watch = |work: Work| {
            if cancel.is_cancelled() {
                return ControlFlow::Break(());
            }
            let told = |stage, done: usize, total| {
                report(Progress { done: done as u64, total, ..Progress::stage(stage) });
            };
            match work {
                Work::Encoding => told("animating", 0, steps),
                Work::Denoising(done) => told("animating", done, steps),
                Work::Decoding(done) => told("decoding", done, frames),
            }
            ControlFlow::Continue(())
        };
        let made = self.networks.run_seeded((rgb, size), &options, u64::from(seed), &mut watch);
        made.map_err(|stopped| match stopped {
            Stopped::Asked => Ended::Failed(Failure::cancelled()),
            Stopped::OutOfMemory(why) => Ended::Full(no_room(size, &why)),
            Stopped::Failed(why) => Ended::Failed(Failure::internal(format!("animate: {why}"))),
        })
    }

    /// What the networks are asked, within the memory that is free.
    fn options(&self, motion: &Motion, size: (usize, usize)) -> Result<Options, Ended> {
        let frames = motion.frames.unwrap_or(self.networks.trained_frames());
        let (free, working) = (free_bytes(&self.device), self.networks.working());
        // A GPU's driver refuses what is too much; a system ends the process.
        let needed = working.step(size, frames);
        if self.device.is_cpu() && free.is_some_and(|free| needed > free) {
            let detail = format!("a step takes {needed} bytes, of which {free:?} are free");
            return Err(Ended::Full(no_room(size, &detail)));
        }
        let decode_chunk = match (motion.decode_chunk, free) {
            (Some(asked), _) if !self.device.is_cpu() => asked,
            (asked, None) => asked.unwrap_or(Options::default().decode_chunk),
            (asked, Some(free)) => match working.decode_chunk(size, asked, free) {
                Some(chunk) => chunk,
                None if self.device.is_cpu() => {
                    let detail = format!("one frame cannot be decoded in the {free} bytes free");
                    return Err(Ended::Full(no_room(size, &detail)));
                }
                None => 1,
            },
        };
        Ok(Options {
            frames,
            steps: motion.steps,
            motion_bucket: motion.bucket as f32,
            fps: motion.fps as f32,
            noise_augmentation: motion.augmentation,
            decode_chunk,
            ..Options::default()
        })
    }
}

fn no_room((width, height): (usize, usize), detail: &str) -> Failure {
    let message = format!(
        "out of memory: a clip of {width}x{height} has no room on this server's device; ask for fewer frames \
         (num_frames) or for a smaller one (width and height)"
    );
    Failure::new(FailureKind::Unavailable, message).with_detail(detail)
}
