//! What `animate` is asked, and whether that can be meant.

use parallax_serving::{Credentials, Failure};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Number;

use crate::placed::Fit;
use crate::request::Bucket;

/// Frames of a clip at most.
pub(crate) const MOST_FRAMES: i64 = 25;
/// Denoising steps at most.
const MOST_STEPS: i64 = 100;
/// What the sides that the networks work at are multiples of.
const STEP: i64 = 64;
/// The longest side, and most pixels.
const MOST_SIDE: i64 = 2048;
const MOST_AREA: i64 = 1 << 21;
/// The forerunner's sizes: of pictures that are wider than high, and of all others.
const WIDE: (usize, usize) = (1024, 576);
const HIGH: (usize, usize) = (576, 1024);

/// A picture, and how it is to move.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AnimateRequest {
    /// Address of the picture, which must be given: `https://` where allowed, `s3://`, `gs://`, `file://`; or the
    /// picture itself as a `data:` URL in base64. JPEG, PNG or WebP.
    #[serde(default)]
    #[schemars(regex(pattern = r"^((s3|gs|file|https?)://|data:).+$"))]
    pub image_url: Option<String>,
    /// A picture likewise that is white where there is to be motion and black where the picture stays; it is resized
    /// to the picture's size.
    #[serde(default)]
    #[schemars(regex(pattern = r"^((s3|gs|file|https?)://|data:).+$"))]
    pub mask_url: Option<String>,
    /// How much moves, 1 to 255.
    #[serde(default = "bucket")]
    #[schemars(range(min = 1, max = 255))]
    pub motion_bucket_id: i64,
    /// How far the clip may leave the picture, 0 to 1.
    #[serde(default = "augmentation")]
    #[schemars(range(min = 0, max = 1))]
    pub noise_aug_strength: f64,
    /// Frames, 1 to 25. Defaults to what the network was trained for, 25 or 14.
    #[serde(default)]
    #[schemars(range(min = 1, max = 25))]
    pub num_frames: Option<i64>,
    /// Frames per second of the film, 1 to 120; the motion does not depend on it.
    #[serde(default = "six")]
    #[schemars(range(min = 1, max = 120))]
    pub fps: Number,
    /// Frames per second that the motion is made for, 1 to 30.
    #[serde(default = "seven")]
    #[schemars(range(min = 1, max = 30))]
    pub motion_fps: i64,
    /// Decides the motion, 0 to 4294967295; the answer has it. Defaults to another one each time.
    #[serde(default)]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub seed: Option<i64>,
    /// Denoising steps, 1 to 100.
    #[serde(default = "twenty_five")]
    #[schemars(range(min = 1, max = 100))]
    pub steps: i64,
    /// Width that the networks work at, a multiple of 64, with `height`. Defaults to 1024 for pictures that are wider
    /// than high and to 576 for others.
    #[serde(default)]
    #[schemars(range(min = 64, max = 2048))]
    pub width: Option<i64>,
    /// Height likewise; width times height is 2097152 at most. Defaults to 576 and 1024.
    #[serde(default)]
    #[schemars(range(min = 64, max = 2048))]
    pub height: Option<i64>,
    /// What happens to pictures of another shape: `squash`, `crop` or `pad`.
    #[serde(default)]
    pub fit: Fit,
    /// Whether frames are scaled back to the size of the picture, or of what was taken of it.
    #[serde(default)]
    pub restore_size: bool,
    /// Frames decoded together, 1 to 25: pixels depend on it. Defaults to 8, or less where memory has no room for
    /// them; the answer has it.
    #[serde(default)]
    #[schemars(range(min = 1, max = 25))]
    pub decode_chunk_size: Option<i64>,
    /// A bucket for the film. The answer has an address of it that anybody may read for two hours.
    #[serde(default)]
    pub r2: Option<Bucket>,
    /// Address of the film, `s3://`, `gs://` or `file://`. Without it and without `r2` the film comes in the answer, as
    /// a `data:` URL.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(s3|gs|file)://.+$"))]
    pub output_uri: Option<String>,
    /// An S3-compatible store of the caller's own for `s3://` addresses.
    #[serde(default)]
    pub storage: Option<Credentials>,
}

fn bucket() -> i64 {
    127
}

fn augmentation() -> f64 {
    0.02
}

fn six() -> Number {
    Number::from(6)
}

fn seven() -> i64 {
    7
}

fn twenty_five() -> i64 {
    25
}

/// How a picture is to move, within what is allowed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Motion {
    pub(crate) bucket: i64,
    pub(crate) augmentation: f64,
    pub(crate) frames: Option<usize>,
    pub(crate) fps: i64,
    pub(crate) seed: Option<u32>,
    pub(crate) steps: usize,
    pub(crate) size: Option<(usize, usize)>,
    pub(crate) fit: Fit,
    pub(crate) decode_chunk: Option<usize>,
}

/// How a film is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Writing {
    /// As it was asked.
    pub(crate) fps: Number,
    /// Thousandths of a frame a second.
    pub(crate) rate: u32,
    pub(crate) restore_size: bool,
}

fn within(field: &str, found: i64, (least, most): (i64, i64)) -> Result<usize, Failure> {
    if (least..=most).contains(&found) {
        return Ok(found as usize);
    }
    Err(Failure::field(field, format!("{found}: allowed are {least} to {most}")))
}

impl Motion {
    /// Reads how a picture is to move.
    ///
    /// # Errors
    /// Names the field, what was found and what is allowed.
    pub(crate) fn of(request: &AnimateRequest) -> Result<Self, Failure> {
        within("motion_bucket_id", request.motion_bucket_id, (1, 255))?;
        within("motion_fps", request.motion_fps, (1, 30))?;
        let augmentation = request.noise_aug_strength;
        if !(0.0..=1.0).contains(&augmentation) {
            let message = format!("{augmentation}: allowed are 0 to 1");
            return Err(Failure::field("noise_aug_strength", message));
        }
        let frames = request.num_frames.map(|found| within("num_frames", found, (1, MOST_FRAMES)));
        let chunk = request.decode_chunk_size;
        let chunk = chunk.map(|found| within("decode_chunk_size", found, (1, MOST_FRAMES)));
        let seed = request.seed.map(|found| within("seed", found, (0, i64::from(u32::MAX))));
        Ok(Self {
            bucket: request.motion_bucket_id,
            augmentation,
            frames: frames.transpose()?,
            fps: request.motion_fps,
            seed: seed.transpose()?.map(|seed| seed as u32),
            steps: within("steps", request.steps, (1, MOST_STEPS))?,
            size: size(request.width, request.height)?,
            fit: request.fit,
            decode_chunk: chunk.transpose()?,
        })
    }

    /// Width and height that a picture is worked on at.
    pub(crate) fn size_for(&self, (width, height): (usize, usize)) -> (usize, usize) {
        self.size.unwrap_or(if width > height { WIDE } else { HIGH })
    }
}

fn size(width: Option<i64>, height: Option<i64>) -> Result<Option<(usize, usize)>, Failure> {
    let side = |field: &str, found: i64| {
        let side = within(field, found, (STEP, MOST_SIDE))?;
        if found % STEP != 0 {
            let message = format!("{found}: allowed are multiples of {STEP}");
            return Err(Failure::field(field, message));
        }
        Ok(side)
    };
    match (width, height) {
        (None, None) => Ok(None),
        (Some(width), Some(height)) => {
            let size = (side("width", width)?, side("height", height)?);
            if width * height > MOST_AREA {
                let message = format!("{width}x{height} pixels: allowed are {MOST_AREA} in all");
                return Err(Failure::field("width", message));
            }
            Ok(Some(size))
        }
        (Some(_), None) => Err(Failure::field("height", "it is missing beside width")),
        (None, Some(_)) => Err(Failure::field("width", "it is missing beside height")),
    }
}

impl Writing {
    /// Reads how the film is written.
    ///
    /// # Errors
    /// Names the field, what was found and what is allowed.
    pub(crate) fn of(request: &AnimateRequest) -> Result<Self, Failure> {
        let fps = request.fps.as_f64().unwrap_or(f64::NAN);
        if !(1.0..=120.0).contains(&fps) {
            let message = format!("{}: allowed are 1 to 120", request.fps);
            return Err(Failure::field("fps", message));
        }
        let rate = (fps * 1000.0).round() as u32;
        Ok(Self { fps: request.fps.clone(), rate, restore_size: request.restore_size })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(request: Value) -> Result<(Motion, Writing), Failure> {
        let request = serde_json::from_value(request).unwrap();
        Ok((Motion::of(&request)?, Writing::of(&request)?))
    }

    #[test]
    fn defaults_are_the_forerunners() {
        let (motion, writing) = read(json!({})).unwrap();
        let (bucket, augmentation, fps, steps) = (127, 0.02, 7, 25);
        let (frames, seed, size, decode_chunk) = (None, None, None, None);
        let wanted = Motion {
            bucket,
            augmentation,
            frames,
            fps,
            seed,
            steps,
            size,
            fit: Fit::Squash,
            decode_chunk,
        };
        assert_eq!(motion, wanted);
        let (fps, rate, restore_size) = (Number::from(6), 6000, false);
        assert_eq!(writing, Writing { fps, rate, restore_size });
        for (picture, size) in [
            ((1920, 1080), (1024, 576)),
            ((1081, 1080), (1024, 576)),
            ((1080, 1080), (576, 1024)),
            ((1080, 1920), (576, 1024)),
        ] {
            assert_eq!(motion.size_for(picture), size);
        }
    }

    #[test]
    fn what_is_out_of_range_is_named_with_what_is_allowed() {
        for (request, told) in [
            (json!({ "num_frames": 0 }), "num_frames: 0: allowed are 1 to 25"),
            (json!({ "num_frames": 1_000_000_000 }), "num_frames: 1000000000: allowed are 1 to 25"),
            (json!({ "num_frames": -3 }), "num_frames: -3: allowed"),
            (json!({ "motion_bucket_id": 0 }), "motion_bucket_id: 0: allowed are 1 to 255"),
            (json!({ "motion_bucket_id": 256 }), "motion_bucket_id: 256: allowed"),
            (json!({ "noise_aug_strength": 1.5 }), "noise_aug_strength: 1.5: allowed are 0 to 1"),
            (json!({ "noise_aug_strength": -0.1 }), "noise_aug_strength: -0.1: allowed"),
            (json!({ "fps": 0 }), "fps: 0: allowed are 1 to 120"),
            (json!({ "fps": 0.5 }), "fps: 0.5: allowed"),
            (json!({ "motion_fps": 31 }), "motion_fps: 31: allowed are 1 to 30"),
            (json!({ "seed": -1 }), "seed: -1: allowed are 0 to 4294967295"),
            (json!({ "seed": 1i64 << 32 }), "seed: 4294967296: allowed"),
            (json!({ "steps": 101 }), "steps: 101: allowed are 1 to 100"),
            (json!({ "decode_chunk_size": 0 }), "decode_chunk_size: 0: allowed are 1 to 25"),
            (json!({ "width": 640 }), "height: it is missing beside width"),
            (json!({ "height": 640 }), "width: it is missing beside height"),
            (json!({ "width": 640, "height": 360 }), "height: 360: allowed are multiples of 64"),
            (json!({ "width": 0, "height": 64 }), "width: 0: allowed are 64 to 2048"),
            (json!({ "width": 2048, "height": 1088 }), "width: 2048x1088 pixels: allowed are"),
        ] {
            let failure = read(request).unwrap_err();
            assert!(failure.message.starts_with(told), "{told}: {failure}");
        }
        let (motion, writing) = read(json!({
            "num_frames": 14, "seed": 4_294_967_295u32, "fps": 7.5, "width": 1920, "height": 1088, "fit": "pad",
        }))
        .unwrap();
        assert_eq!((motion.frames, motion.seed, writing.rate), (Some(14), Some(u32::MAX), 7500));
        assert_eq!(motion.size_for((9, 9)), (1920, 1088));
        assert!(serde_json::from_value::<AnimateRequest>(json!({ "fit": "stretch" })).is_err());
    }
}
