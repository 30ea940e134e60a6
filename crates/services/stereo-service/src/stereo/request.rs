//! What is asked of `stereo`: addresses, and how the pairs are made.

use std::fmt;

use parallax_job::Mode;
use parallax_serving::{Credentials, Failure};
use parallax_stereo::{Capabilities, Fill, Geometry, Rendering, Run, Staging};
use schemars::JsonSchema;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// A segment and where its result goes. Both spellings of an address may be given when they agree.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct StereoRequest {
    /// Address of the segment: `s3://`, `gs://`, `file://` or, where allowed, `https://`; or the
    /// segment itself as a `data:` URL in base64.
    #[serde(default)]
    input_uri: Option<String>,
    /// The same under its older name.
    #[serde(default)]
    s3_input_uri: Option<String>,
    /// Address of the result: `s3://`, `gs://` or `file://`.
    #[serde(default)]
    output_uri: Option<String>,
    /// The same under its older name.
    #[serde(default)]
    s3_output_uri: Option<String>,
    /// `anaglyph` (red and cyan) or `sbs` (side by side).
    #[serde(default)]
    #[schemars(with = "Option<ModeName>")]
    pub(super) mode: Mode,
    /// Seed of every random choice: the same seed and segment give the same result.
    #[serde(default)]
    seed: u64,
    /// Parallax from the farthest to the nearest depth, in percent of the width, 0 to 10.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    disparity_percent: Option<f32>,
    /// The depth that appears at the screen's distance: 0 (farthest) to 1 (nearest), or `auto`, which
    /// settles it for each shot.
    #[serde(default)]
    #[schemars(with = "Option<ConvergenceSchema>")]
    convergence: Option<Convergence>,
    /// Black bars over the sides where something in front of the screen is cut by the picture's edge.
    #[serde(default)]
    floating_window: bool,
    /// What fills the holes that moved foreground uncovers: nothing (`black`), the background's edge
    /// drawn across (`stretch`), its mirror image (`mirror`), the background running on along its own
    /// edges (`continue`), its surroundings blurred (`smooth`), or what other frames of the segment and
    /// those before it saw there while the camera stands still (`temporal`). An engine that invents what
    /// was hidden takes `continue` alone.
    #[serde(default)]
    fill: FillName,
    /// An S3-compatible store of the caller's own for `s3://` addresses.
    #[serde(default)]
    pub(super) storage: Option<Credentials>,
}

/// The names of modes, for the schema.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[allow(dead_code, reason = "the schema is all that is wanted of it")]
enum ModeName {
    Anaglyph,
    Sbs,
}

/// Where the screen is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Convergence {
    Depth(f32),
    Auto,
}

/// The same, for the schema.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "the schema is all that is wanted of it")]
enum ConvergenceSchema {
    Depth(#[schemars(range(min = 0, max = 1))] f32),
    Named(AutoName),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[allow(dead_code, reason = "the schema is all that is wanted of it")]
enum AutoName {
    Auto,
}

impl<'de> Deserialize<'de> for Convergence {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        const ALLOWED: &str = "a depth of 0 to 1 or `auto`";

        struct Either;

        impl Visitor<'_> for Either {
            type Value = Convergence;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(ALLOWED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Convergence, E> {
                if text == "auto" {
                    return Ok(Convergence::Auto);
                }
                let found: String = text.chars().take(32).collect();
                Err(E::custom(format_args!("unknown value `{found}`, expected {ALLOWED}")))
            }

            fn visit_f64<E: Error>(self, depth: f64) -> Result<Convergence, E> {
                Ok(Convergence::Depth(depth as f32))
            }

            fn visit_i64<E: Error>(self, depth: i64) -> Result<Convergence, E> {
                self.visit_f64(depth as f64)
            }

            fn visit_u64<E: Error>(self, depth: u64) -> Result<Convergence, E> {
                self.visit_f64(depth as f64)
            }
        }

        from.deserialize_any(Either)
    }
}

/// The names of [`Fill`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FillName {
    Black,
    Stretch,
    Mirror,
    #[default]
    Continue,
    Smooth,
    Temporal,
}

impl From<FillName> for Fill {
    fn from(name: FillName) -> Self {
        match name {
            FillName::Black => Fill::Black,
            FillName::Stretch => Fill::Stretch,
            FillName::Mirror => Fill::Mirror,
            FillName::Continue => Fill::Continue,
            FillName::Smooth => Fill::Smooth,
            FillName::Temporal => Fill::Temporal,
        }
    }
}

impl StereoRequest {
    pub(super) fn input(&self) -> Result<(&str, &'static str), Failure> {
        one("input_uri", &self.input_uri, "s3_input_uri", &self.s3_input_uri)
    }

    pub(super) fn output(&self) -> Result<(&str, &'static str), Failure> {
        one("output_uri", &self.output_uri, "s3_output_uri", &self.s3_output_uri)
    }

    /// What an engine is asked for.
    pub(super) fn run(&self) -> Run {
        let default = Geometry::default();
        let geometry = Geometry {
            disparity_percent: self.disparity_percent.unwrap_or(default.disparity_percent),
            convergence: match self.convergence {
                Some(Convergence::Depth(depth)) => depth,
                Some(Convergence::Auto) | None => default.convergence,
            },
        };
        let staging = Staging {
            auto_convergence: self.convergence == Some(Convergence::Auto),
            comfort: None,
            floating_window: self.floating_window,
        };
        let rendering = Rendering { fill: self.fill.into(), ..Rendering::default() };
        Run { geometry, staging, rendering, seed: self.seed, ..Run::default() }
    }

    /// What besides addresses and credentials tells it from other requests.
    pub(super) fn identity(&self) -> Value {
        let Run { geometry, staging, .. } = self.run();
        json!({
            "mode": self.mode.as_str(),
            "seed": self.seed,
            "disparity_percent": geometry.disparity_percent,
            "convergence": match staging.auto_convergence {
                true => json!("auto"),
                false => json!(geometry.convergence),
            },
            "floating_window": self.floating_window,
            "fill": self.fill,
        })
    }

    /// Checks what is asked of any engine, then what this one may not do.
    ///
    /// # Errors
    /// `Invalid`, naming the field, what was found and what is allowed.
    pub(super) fn validate(&self, engine: &dyn Capabilities) -> Result<(), Failure> {
        let Run { geometry, staging, rendering, .. } = self.run();
        geometry.validate().map_err(|error| {
            // It names the field first.
            let text = error.to_string();
            let (field, message) = text.split_once(' ').unwrap_or((&text, ""));
            let more = if field == "convergence" { ", or `auto`" } else { "" };
            Failure::field(field, format!("{message}{more}"))
        })?;
        let auto = Staging { auto_convergence: staging.auto_convergence, ..Staging::default() };
        let bars = Staging { floating_window: staging.floating_window, ..Staging::default() };
        let fill = serde_json::to_string(&self.fill).unwrap_or_default();
        // One by one, so that the field is known.
        for (field, found, allowed, run) in [
            ("convergence", "\"auto\"", "0 to 1", Run { staging: auto, ..Run::default() }),
            ("floating_window", "true", "false", Run { staging: bars, ..Run::default() }),
            ("fill", &*fill, "\"continue\"", Run { rendering, ..Run::default() }),
        ] {
            engine.check(&run).map_err(|error| {
                Failure::field(field, format!("{found}: {error}; allowed here is {allowed}"))
            })?;
        }
        Ok(())
    }
}

/// A value that may be given under two names, and the name it was given under.
fn one<'a>(
    name: &'static str,
    value: &'a Option<String>,
    older: &'static str,
    of_older: &'a Option<String>,
) -> Result<(&'a str, &'static str), Failure> {
    match (value, of_older) {
        (Some(a), Some(b)) if a != b => {
            Err(Failure::field(name, format!("it differs from {older}; give one of them")))
        }
        (Some(value), _) => Ok((value, name)),
        (None, Some(value)) => Ok((value, older)),
        (None, None) => Err(Failure::field(name, "it is missing")),
    }
}

#[cfg(test)]
mod tests {
    use parallax_stereo::{Copy, Error as StereoError};

    use super::*;

    /// Of an engine without options.
    #[derive(Debug)]
    struct Plain;

    impl Capabilities for Plain {
        fn check(&self, run: &Run) -> Result<(), StereoError> {
            if (run.staging, run.rendering) == Default::default() {
                return Ok(());
            }
            Err(StereoError::Unsupported("it does as it always does".to_owned()))
        }
    }

    fn request(options: Value) -> Result<StereoRequest, serde_json::Error> {
        let mut request = json!({ "input_uri": "s3://a/b", "output_uri": "s3://c/d" });
        request.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        serde_json::from_value(request)
    }

    #[test]
    fn what_is_not_asked_is_as_it_always_was() {
        let run = request(json!({})).unwrap().run();
        assert_eq!(run.geometry, Geometry::default());
        assert_eq!(run.staging, Staging::default());
        assert_eq!((run.rendering, run.seed), (Rendering::default(), 0));
        let null = request(json!({ "convergence": null, "disparity_percent": null })).unwrap();
        assert_eq!(null.identity(), request(json!({})).unwrap().identity());
    }

    #[test]
    fn every_option_reaches_the_run_and_the_identity() {
        let plain = request(json!({})).unwrap().identity();
        let of = |options: Value| {
            let request = request(options).unwrap();
            assert_ne!(request.identity(), plain);
            request.run()
        };
        assert!(of(json!({ "convergence": "auto" })).staging.auto_convergence);
        assert_eq!(of(json!({ "convergence": 1 })).geometry.convergence, 1.0);
        assert_eq!(of(json!({ "convergence": 0.25 })).geometry.convergence, 0.25);
        assert!(of(json!({ "floating_window": true })).staging.floating_window);
        for (name, fill) in [
            ("black", Fill::Black),
            ("stretch", Fill::Stretch),
            ("mirror", Fill::Mirror),
            ("smooth", Fill::Smooth),
            ("temporal", Fill::Temporal),
        ] {
            assert_eq!(of(json!({ "fill": name })).rendering.fill, fill);
        }
    }

    #[test]
    fn what_is_not_allowed_is_named_with_what_is() {
        for (options, found, allowed) in [
            (json!({ "convergence": "near" }), "near", "a depth of 0 to 1 or `auto`"),
            (json!({ "convergence": "0.5" }), "0.5", "a depth of 0 to 1 or `auto`"),
            (json!({ "convergence": true }), "true", "a depth of 0 to 1 or `auto`"),
            (json!({ "floating_window": "yes" }), "yes", "a boolean"),
            (json!({ "fill": "magic" }), "magic", "`temporal`"),
        ] {
            let error = request(options.clone()).unwrap_err().to_string();
            assert!(error.contains(found) && error.contains(allowed), "{options}: {error}");
        }
        for (field, value, message) in [
            ("convergence", json!(1.5), "convergence: 1.5: allowed is 0 to 1, or `auto`"),
            ("convergence", json!(-1), "convergence: -1: allowed is 0 to 1, or `auto`"),
            ("disparity_percent", json!(11), "disparity_percent: 11: allowed is 0 to 10"),
        ] {
            let failure = request(json!({ field: value })).unwrap().validate(&Copy).unwrap_err();
            assert_eq!(failure.field.as_deref(), Some(field));
            assert_eq!(failure.message, message);
        }
    }

    #[test]
    fn what_this_engine_does_not_do_is_refused_before_it_is_begun() {
        for options in [
            json!({}),
            json!({ "convergence": 0.2, "floating_window": false, "fill": "continue", "seed": 3 }),
        ] {
            assert_eq!(request(options).unwrap().validate(&Plain), Ok(()));
        }
        for (field, value, allowed) in [
            ("convergence", json!("auto"), "0 to 1"),
            ("floating_window", json!(true), "false"),
            ("fill", json!("temporal"), "\"continue\""),
        ] {
            let failure = request(json!({ field: value })).unwrap().validate(&Plain).unwrap_err();
            assert_eq!(failure.field.as_deref(), Some(field));
            let wanted =
                format!("{field}: {value}: it does as it always does; allowed here is {allowed}");
            assert_eq!(failure.message, wanted);
        }
    }
}
