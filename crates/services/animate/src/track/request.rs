//! What `track` is asked, and whether that can be meant.

use parallax_sam2::Prompt;
use parallax_serving::{Credentials, Failure};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Number;

use crate::request::{bounds, object};

/// Most objects of a request.
const MOST_OBJECTS: usize = 16;
/// Most frames in which the objects of a request are pointed at, all together.
const MOST_HINTS: usize = 128;

/// A clip, and what is pointed at in some of its frames.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct TrackRequest {
    /// Address of the clip: `https://` where allowed, `s3://`, `gs://`, `file://`; or the clip itself as a `data:` URL
    /// in base64.
    #[schemars(regex(pattern = r"^((s3|gs|file|https?)://|data:).+$"))]
    pub video_url: String,
    /// What is followed, 1 to 16 things.
    pub objects: Vec<ObjectRequest>,
    /// Which way the clip is gone through from where a thing is pointed at.
    #[serde(default)]
    pub direction: Direction,
    /// Things are followed across cuts. Else a thing is followed through the shots in which it is pointed at, each by
    /// itself.
    #[serde(default)]
    pub across_cuts: bool,
    /// What is made.
    #[serde(default)]
    pub output: Output,
    /// Address of the result, `s3://`, `gs://` or `file://`: of a JSON file, of a folder of PNG files, or of a film (MP4).
    /// Without it the masks come in the answer, as runs.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(s3|gs|file)://.+$"))]
    pub output_uri: Option<String>,
    /// An S3-compatible store of the caller's own for `s3://` addresses.
    #[serde(default)]
    pub storage: Option<Credentials>,
}

/// A thing that is followed.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ObjectRequest {
    /// Its number in the results, unlike those of the others. Defaults to its place, from 1.
    #[serde(default)]
    pub id: Option<u32>,
    /// Where it is pointed at, each in another frame.
    pub prompts: Vec<HintRequest>,
}

/// A frame in which a thing is pointed at: by a box, by points, by both, or by a mask.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct HintRequest {
    /// The number of the frame, from 0, in the order in which frames are shown.
    pub frame: usize,
    /// A box `[left, top, right, bottom]` in pixels of the upright frame.
    #[serde(default)]
    pub bbox: Option<[Number; 4]>,
    /// Points `[x, y]` in pixels, 1024 at most.
    #[serde(default)]
    pub points: Option<Vec<[f64; 2]>>,
    /// For each point 1 where it is on the thing, 0 where it is on what is none of it. Defaults to 1 for all.
    #[serde(default)]
    pub point_labels: Option<Vec<i64>>,
    /// Runs of a mask of the frame's size, in the form of COCO, in place of a box and points.
    #[serde(default)]
    pub mask: Option<super::rle::Rle>,
    /// It corrects what was found of the thing on the way, in place of standing for itself.
    #[serde(default)]
    pub corrects: bool,
}

/// Which way a clip is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the first frame in which a thing is pointed at, to the end.
    #[default]
    Forward,
    /// From the last frame in which a thing is pointed at, to the beginning.
    Backward,
    /// From the first frame in which a thing is pointed at, to both ends.
    Both,
}

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// The masks as runs, in JSON.
    #[default]
    Rle,
    /// A PNG for each frame and thing.
    Masks,
    /// The clip, with plain green wherever nothing is that is followed.
    GreenScreen,
}

/// What is pointed at in a frame.
#[derive(Debug, Clone)]
pub(crate) enum Pointed {
    /// By places in pixels.
    Prompt(Prompt),
    /// By runs.
    Mask(super::rle::Rle),
}

/// A thing in a frame.
#[derive(Debug, Clone)]
pub(crate) struct Hint {
    /// The thing's place in the request.
    pub(crate) object: usize,
    pub(crate) frame: usize,
    pub(crate) pointed: Pointed,
    pub(crate) corrects: bool,
    /// The field that it came in.
    pub(crate) field: String,
}

/// The numbers of the things, and all that is pointed at, in the order of the request.
pub(crate) type Asked = (Vec<u32>, Vec<Hint>);

/// Reads what a request points at.
///
/// # Errors
/// Names the field, what was found and what is allowed.
pub(crate) fn asked(objects: Vec<ObjectRequest>) -> Result<Asked, Failure> {
    if objects.is_empty() || objects.len() > MOST_OBJECTS {
        let message = format!("{} objects: allowed are 1 to {MOST_OBJECTS}", objects.len());
        return Err(Failure::field("objects", message));
    }
    let prompts: usize = objects.iter().map(|object| object.prompts.len()).sum();
    if prompts > MOST_HINTS {
        let message = format!("{prompts} prompts in all: allowed are {MOST_HINTS}");
        return Err(Failure::field("objects", message));
    }
    let (mut ids, mut hints) = (Vec::new(), Vec::<Hint>::new());
    for (i, one) in objects.into_iter().enumerate() {
        let id = one.id.unwrap_or(i as u32 + 1);
        if ids.contains(&id) {
            return Err(Failure::field(
                format!("objects[{i}].id"),
                format!("{id}: there are two of it"),
            ));
        }
        ids.push(id);
        if one.prompts.iter().all(|hint| hint.corrects) {
            let message = "expected is at least one that does not correct another";
            return Err(Failure::field(format!("objects[{i}].prompts"), message));
        }
        for (j, given) in one.prompts.into_iter().enumerate() {
            let hint = hint(given, i, format!("objects[{i}].prompts[{j}]"))?;
            if hints.iter().any(|other| (other.object, other.frame) == (i, hint.frame)) {
                let message =
                    format!("{}: the object is pointed at twice in this frame", hint.frame);
                return Err(Failure::field(format!("{}.frame", hint.field), message));
            }
            hints.push(hint);
        }
    }
    Ok((ids, hints))
}

fn hint(given: HintRequest, object: usize, field: String) -> Result<Hint, Failure> {
    let HintRequest { frame, bbox, points, point_labels, mask, corrects } = given;
    let points = points.unwrap_or_default();
    let pointed = match mask {
        Some(_) if bbox.is_some() || !points.is_empty() => {
            let message = "a mask and a box or points: allowed are one or the other";
            return Err(Failure::field(format!("{field}.mask"), message));
        }
        Some(_) if corrects => {
            let message = "a mask is taken as it is and corrects nothing";
            return Err(Failure::field(format!("{field}.corrects"), message));
        }
        Some(mask) if !mask.is_whole() => {
            let [rows, columns] = mask.size;
            let message = format!("the runs do not make up a mask of {columns}x{rows}");
            return Err(Failure::field(format!("{field}.mask.counts"), message));
        }
        Some(mask) => Pointed::Mask(mask),
        None if bbox.is_none() && points.is_empty() => {
            return Err(Failure::field(field, "expected is a bbox, points, both, or a mask"));
        }
        None => {
            let within = format!("{field}.");
            let prompt = self::object(&points, point_labels.as_deref(), &within)?;
            let bounds =
                bbox.map(|corners| bounds(&format!("{field}.bbox"), &corners)).transpose()?;
            let bounds = bounds.and_then(|prompt| prompt.bounds);
            Pointed::Prompt(Prompt { bounds, ..prompt })
        }
    };
    Ok(Hint { object, frame, pointed, corrects, field })
}

impl Hint {
    /// Whether it lies in a clip of so many frames of that size.
    ///
    /// # Errors
    /// Names the field that does not.
    pub(crate) fn inside(
        &self,
        frames: usize,
        (width, height): (usize, usize),
    ) -> Result<(), Failure> {
        let field = &self.field;
        if self.frame >= frames {
            let message = format!("{}: the clip has {frames} frames, from 0", self.frame);
            return Err(Failure::field(format!("{field}.frame"), message));
        }
        let outside = |x: f32, y: f32| {
            !(0.0..=width as f32).contains(&x) || !(0.0..=height as f32).contains(&y)
        };
        let what = || format!("outside the clip, which is {width}x{height}");
        match &self.pointed {
            Pointed::Mask(mask) if mask.size != [height, width] => {
                let [rows, columns] = mask.size;
                let message = format!("{columns}x{rows}: the clip is {width}x{height}");
                Err(Failure::field(format!("{field}.mask.size"), message))
            }
            Pointed::Mask(_) => Ok(()),
            Pointed::Prompt(prompt) => {
                if let Some([left, top, right, bottom]) = prompt.bounds
                    && (outside(left, top) || outside(right, bottom))
                {
                    return Err(Failure::field(format!("{field}.bbox"), what()));
                }
                match prompt.points.iter().position(|point| outside(point.x, point.y)) {
                    Some(at) => Err(Failure::field(format!("{field}.points[{at}]"), what())),
                    None => Ok(()),
                }
            }
        }
    }
}
