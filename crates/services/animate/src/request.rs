//! What `segment` is asked, and whether that can be meant.

use parallax_sam2::{Point, Prompt};
use parallax_secret::Secret;
use parallax_serving::{Credentials, Failure, FailureKind};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Number;

/// Most boxes of a request.
pub(crate) const MOST_BOXES: usize = 256;
/// Most points of a request.
pub(crate) const MOST_POINTS: usize = 1024;

/// A picture, and what is pointed at in it: boxes, each an object, or points, which are one object together.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct SegmentRequest {
    /// Address of the picture, which must be given: `https://` where allowed, `s3://`, `gs://`, `file://`; or the
    /// picture itself as a `data:` URL in base64. JPEG, PNG or WebP.
    #[serde(default)]
    #[schemars(regex(pattern = r"^((s3|gs|file|https?)://|data:).+$"))]
    pub image_url: Option<String>,
    /// Boxes `[left, top, right, bottom]` in pixels of the picture, 256 at most: one mask each. Where there are some,
    /// points are ignored.
    #[serde(default)]
    pub bboxes: Option<Vec<[Number; 4]>>,
    /// Points `[x, y]` in pixels of the picture, 1024 at most: one mask for all of them.
    #[serde(default)]
    pub points: Option<Vec<[f64; 2]>>,
    /// For each point 1 where it is on the object, 0 where it is on what is none of it. Defaults to 1 for all.
    #[serde(default)]
    pub point_labels: Option<Vec<i64>>,
    /// A bucket for the masks. The answer has an address of each that anybody may read for two hours.
    #[serde(default)]
    pub r2: Option<Bucket>,
    /// Address of a folder for the masks, `s3://`, `gs://` or `file://`: they are called `mask_0.png` and so on.
    /// Without it and without `r2` the masks come in the answer, as `data:` URLs.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(s3|gs|file)://.+$"))]
    pub output_uri: Option<String>,
    /// An S3-compatible store of the caller's own for `s3://` addresses.
    #[serde(default)]
    pub storage: Option<Credentials>,
}

/// A bucket of an S3-compatible store, with what opens it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Bucket {
    /// Address of the store, https and one of the allowed origins.
    pub endpoint_url: String,
    /// Access key.
    #[schemars(with = "String")]
    pub access_key_id: Secret,
    /// Secret key.
    #[schemars(with = "String")]
    pub secret_access_key: Secret,
    /// Name of the bucket.
    pub bucket_name: String,
}

impl Bucket {
    /// What opens it.
    pub(crate) fn credentials(&self) -> Credentials {
        Credentials {
            endpoint_url: self.endpoint_url.clone(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
            session_token: None,
            region: "auto".to_owned(),
        }
    }
}

/// What is pointed at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pointed {
    /// In pixels of the picture.
    pub(crate) prompts: Vec<Prompt>,
    /// The boxes as they were asked; empty where there are points.
    pub(crate) boxes: Vec<[Number; 4]>,
}

/// A failure in the words that callers of the forerunner may look for.
pub(crate) fn legacy(field: &str, message: &str) -> Failure {
    Failure { field: Some(field.to_owned()), ..Failure::new(FailureKind::Invalid, message) }
}

impl Pointed {
    /// Reads what a request points at.
    ///
    /// # Errors
    /// Names the field, what was found and what is allowed.
    pub(crate) fn of(request: &SegmentRequest) -> Result<Self, Failure> {
        let boxes = request.bboxes.as_deref().unwrap_or_default();
        let points = request.points.as_deref().unwrap_or_default();
        if boxes.is_empty() && points.is_empty() {
            return Err(legacy("bboxes", "Either 'bboxes' or 'points' is required"));
        }
        if boxes.is_empty() {
            let prompt = object(points, request.point_labels.as_deref(), "")?;
            return Ok(Self { prompts: vec![prompt], boxes: Vec::new() });
        }
        if boxes.len() > MOST_BOXES {
            let message = format!("{} boxes: allowed are {MOST_BOXES}", boxes.len());
            return Err(Failure::field("bboxes", message));
        }
        let prompts =
            boxes.iter().enumerate().map(|(i, corners)| bounds(&format!("bboxes[{i}]"), corners));
        Ok(Self { prompts: prompts.collect::<Result<_, _>>()?, boxes: boxes.to_vec() })
    }

    /// Whether it lies in a picture of that size.
    ///
    /// # Errors
    /// Names the field that does not.
    pub(crate) fn inside(&self, (width, height): (usize, usize)) -> Result<(), Failure> {
        let outside = |x: f32, y: f32| {
            !(0.0..=width as f32).contains(&x) || !(0.0..=height as f32).contains(&y)
        };
        let what = || format!("outside the picture, which is {width}x{height}");
        for (i, prompt) in self.prompts.iter().enumerate() {
            if let Some([left, top, right, bottom]) = prompt.bounds
                && (outside(left, top) || outside(right, bottom))
            {
                return Err(Failure::field(format!("bboxes[{i}]"), what()));
            }
            let strays = |point: &Point| outside(point.x, point.y);
            if let Some(at) = prompt.points.iter().position(strays) {
                return Err(Failure::field(format!("points[{at}]"), what()));
            }
        }
        Ok(())
    }
}

/// The object in a box, which `field` names.
///
/// # Errors
/// When its corners are swapped.
pub(crate) fn bounds(field: &str, corners: &[Number; 4]) -> Result<Prompt, Failure> {
    let corner = |at: usize| corners[at].as_f64().unwrap_or(f64::NAN) as f32;
    let [left, top, right, bottom] = [0, 1, 2, 3].map(corner);
    let ordered = left < right && top < bottom;
    if !ordered || ![left, top, right, bottom].iter().all(|corner| corner.is_finite()) {
        let [left, top, right, bottom] = corners;
        let message = format!(
            "[{left}, {top}, {right}, {bottom}]: expected are left, top, right and bottom, left less than right \
             and top less than bottom"
        );
        return Err(Failure::field(field, message));
    }
    Ok(Prompt { points: Vec::new(), bounds: Some([left, top, right, bottom]) })
}

/// The object at points, whose fields' names begin with `within`.
///
/// # Errors
/// When there are too many, or labels do not go with them.
pub(crate) fn object(
    points: &[[f64; 2]],
    labels: Option<&[i64]>,
    within: &str,
) -> Result<Prompt, Failure> {
    if points.len() > MOST_POINTS {
        let message = format!("{} points: allowed are {MOST_POINTS}", points.len());
        return Err(Failure::field(format!("{within}points"), message));
    }
    if let Some(labels) = labels.filter(|labels| labels.len() != points.len()) {
        let message = format!("{} labels for {} points", labels.len(), points.len());
        return Err(Failure::field(format!("{within}point_labels"), message));
    }
    let point = |(i, &[x, y]): (usize, &[f64; 2])| {
        let label = labels.map_or(1, |labels| labels[i]);
        if !(0..=1).contains(&label) {
            let message = format!("{label}: allowed are 1 and 0");
            return Err(Failure::field(format!("{within}point_labels[{i}]"), message));
        }
        Ok(Point { x: x as f32, y: y as f32, inside: label == 1 })
    };
    let points = points.iter().enumerate().map(point).collect::<Result<_, _>>()?;
    Ok(Prompt { points, bounds: None })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pointed(request: Value) -> Result<Pointed, Failure> {
        Pointed::of(&serde_json::from_value(request).unwrap())
    }

    #[test]
    fn boxes_are_objects_and_win_over_points_which_are_one() {
        let both = json!({ "bboxes": [[1, 2, 3, 4], [0, 0, 2.5, 1]], "points": [[9, 9]] });
        let found = pointed(both).unwrap();
        assert_eq!(found.prompts.len(), 2);
        assert_eq!(found.prompts[1].bounds, Some([0.0, 0.0, 2.5, 1.0]));
        assert_eq!(json!(found.boxes), json!([[1, 2, 3, 4], [0, 0, 2.5, 1]]));
        let points = json!({ "bboxes": [], "points": [[1, 2], [3, 4]], "point_labels": [0, 1] });
        let found = pointed(points).unwrap();
        assert_eq!((found.prompts.len(), found.boxes.len()), (1, 0));
        let inside: Vec<bool> = found.prompts[0].points.iter().map(|point| point.inside).collect();
        assert_eq!(inside, [false, true]);
        let found = pointed(json!({ "points": [[1, 2], [3, 4]] })).unwrap();
        assert!(found.prompts[0].points.iter().all(|point| point.inside));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_field() {
        let many = |n: usize| json!((0..n).map(|_| json!([1, 2])).collect::<Vec<_>>());
        let boxes = json!((0..257).map(|_| json!([0, 0, 1, 1])).collect::<Vec<_>>());
        for (request, field, words) in [
            (json!({}), "bboxes", "Either 'bboxes' or 'points' is required"),
            (json!({ "points": [] }), "bboxes", "Either 'bboxes' or 'points' is required"),
            (json!({ "bboxes": [[5, 0, 1, 4]] }), "bboxes[0]", "[5, 0, 1, 4]: expected are left"),
            (
                json!({ "bboxes": [[0, 0, 1, 4], [0, 4, 1, 4]] }),
                "bboxes[1]",
                "top less than bottom",
            ),
            (json!({ "bboxes": [[0, 0, 1e60, 1]] }), "bboxes[0]", "expected are left"),
            (json!({ "bboxes": boxes }), "bboxes", "257 boxes: allowed are 256"),
            (json!({ "points": many(100_000) }), "points", "100000 points: allowed are 1024"),
            (json!({ "points": many(2), "point_labels": [1] }), "point_labels", "1 labels for 2"),
            (
                json!({ "points": many(1), "point_labels": [2] }),
                "point_labels[0]",
                "2: allowed are",
            ),
        ] {
            let failure = pointed(request).unwrap_err();
            assert_eq!(failure.field.as_deref(), Some(field), "{failure}");
            assert!(failure.message.contains(words), "{failure}");
        }
    }

    #[test]
    fn what_lies_outside_a_picture_is_named() {
        let found = pointed(json!({ "bboxes": [[0, 0, 10, 8], [1, 1, 10, 8.5]] })).unwrap();
        assert_eq!(found.inside((10, 9)), Ok(()));
        let failure = found.inside((10, 8)).unwrap_err();
        assert_eq!(failure.message, "bboxes[1]: outside the picture, which is 10x8");
        let found = pointed(json!({ "points": [[0, 8], [-1, 2]] })).unwrap();
        assert_eq!(found.inside((10, 8)).unwrap_err().field.as_deref(), Some("points[1]"));
    }
}
