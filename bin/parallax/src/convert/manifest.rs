//! What a conversion is: its first page, from which a later process knows whether it may go on.
//!
//! Only what decides frames must be the same. How they are joined, into which container, under
//! which name and with which other streams, may change until the film is delivered.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};
use parallax_catalogue::models;
use parallax_job::JobId;
use parallax_media::{Codec, Damaged, DecodeOptions, Excerpt, Scaled};
use parallax_stereo::{Rendering, Staging};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::name::lossless;
use super::request::Request;

/// Written before anything else and removed after everything else: a folder without it holds
/// nothing of value.
pub(super) const MANIFEST: &str = "conversion.json";
pub(super) const MANIFEST_PARTIAL: &str = "conversion.partial";

/// The layout of the manifest and of the folder.
const VERSION: u32 = 4;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    /// What the film will be called; may change.
    pub(super) output: String,
    pub(super) frames: Frames,
}

/// What decides frames: must be the same for a conversion to be continued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Frames {
    pub(super) input: String,
    input_bytes: u64,
    input_modified_ms: u64,
    layout: String,
    engine: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    disparity_percent: f32,
    convergence: f32,
    depth: Option<String>,
    rendering: Rendering,
    staging: Staging,
    pictures: DecodeOptions,
    damaged: Damaged,
    full_chroma: bool,
    seed: u64,
    codec: Codec,
    crf: u8,
    preset: String,
    segment_seconds: u32,
    #[serde(default, skip_serializing_if = "Excerpt::is_whole")]
    excerpt: Excerpt,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scaled: Option<Scaled>,
}

/// The options behind a field, as a user knows them.
const OPTIONS: &[(&str, &str)] = &[
    ("input", "the source"),
    ("input_bytes", "its size"),
    ("input_modified_ms", "its time of change"),
    ("layout", "--layout"),
    ("engine", "--engine (as named, or as `auto` took it)"),
    (
        "model",
        "--weights, --device, --dtype, --steps, --reference or the options --depth-model, --depth-size, --depth-curve, --depth-every and --depth-mode",
    ),
    ("disparity_percent", "--disparity"),
    ("convergence", "--convergence"),
    ("depth", "--depth"),
    ("rendering", "--eyes, --warp or --fill"),
    ("staging", "--convergence, --comfort or --floating-window"),
    ("pictures", "--interlaced, --crop-bars or --source-layout"),
    ("damaged", "--damaged"),
    ("full_chroma", "--full-chroma"),
    ("seed", "--seed"),
    ("codec", "--codec"),
    ("crf", "--crf"),
    ("preset", "--preset"),
    ("segment_seconds", "--segment-seconds"),
    ("excerpt", "--start, --end or --fps"),
    ("scaled", "--max-height or --max-width"),
];

impl Frames {
    pub(super) fn of(request: &Request) -> Result<Self> {
        let meta = fs::metadata(&request.input)
            .with_context(|| format!("{}: cannot be read", request.input.display()))?;
        let modified = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            input: lossless(&request.input),
            input_bytes: meta.len(),
            input_modified_ms: u64::try_from(modified.as_millis()).unwrap_or(u64::MAX),
            layout: request.layout.to_string(),
            engine: request.engine.name().to_owned(),
            model: request.model.clone(),
            disparity_percent: request.geometry.disparity_percent,
            convergence: request.geometry.convergence,
            depth: request.depth.clone(),
            rendering: request.rendering,
            staging: request.staging,
            pictures: request.pictures,
            damaged: request.tools.damaged,
            full_chroma: request.full_chroma,
            seed: request.seed,
            codec: request.encode.codec,
            crf: request.encode.crf,
            preset: request.encode.preset.clone(),
            segment_seconds: request.segment_seconds,
            excerpt: request.excerpt,
            scaled: request.encode.scaled,
        })
    }

    pub(super) fn job_id(&self) -> Result<JobId> {
        Ok(format!("convert-{}", short_hash(&serde_json::to_vec(self)?)).parse()?)
    }

    fn fields(&self) -> serde_json::Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        }
    }

    /// The options that take the engine and the model of this.
    fn engine_options(&self) -> String {
        // A model's words begin with the name that it is fetched by.
        let named = |words: &String| words.split(' ').next().unwrap_or_default().to_owned();
        let name = self.model.as_ref().map(named).unwrap_or_default();
        let known = models().iter().any(|model| model.name == name);
        let model = if known { format!(" --depth-model {name}") } else { String::new() };
        format!("--engine {}{model}", self.engine)
    }

    /// Why `now`, whose engine was chosen `automatically` or not, cannot go on from this, in a sentence; `None`
    /// when it can.
    fn differs(&self, now: &Self, automatically: bool) -> Option<String> {
        if self == now {
            return None;
        }
        let (before, after) = (self.fields(), now.fields());
        let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
        let differ: Vec<_> = names.filter(|name| before.get(*name) != after.get(*name)).collect();
        if differ.iter().all(|name| name.starts_with("input_")) {
            let (old, new) = (self.input_bytes, now.input_bytes);
            let size = match old == new {
                true => "its time of change is another one",
                false => &format!("it has {new} bytes instead of {old}"),
            };
            return Some(format!(
                "{} was changed since the conversion began: {size}; put the earlier file back",
                now.input
            ));
        }
        let value = |fields: &serde_json::Map<_, _>, name: &str| {
            fields.get(name).map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        let engine = ["engine", "model"].iter().any(|name| differ.iter().any(|d| d == name));
        let way = match automatically && engine {
            true => {
                format!("`auto` took another engine or model then: pass {}", self.engine_options())
            }
            false => "pass what was passed before".to_owned(),
        };
        let shown = differ.into_iter().map(|name| {
            let option = OPTIONS.iter().find(|(field, _)| field == name);
            let option = option.map_or(name.as_str(), |(_, option)| option);
            format!("{option} was {} and is {}", value(&before, name), value(&after, name))
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        Some(format!("it is of other frames: {shown}; {way}"))
    }
}

impl Manifest {
    pub(super) fn new(output: &Path, frames: Frames) -> Self {
        Self { version: VERSION, output: lossless(output), frames }
    }

    /// # Errors
    /// When there is none in the folder at `path`, or one that this program cannot read.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = path.join(MANIFEST);
        let text = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        let damaged = || format!("{} is damaged; pass --restart to start over", file.display());
        let value: Value = serde_json::from_slice(&text).with_context(damaged)?;
        let version = value["version"].as_u64().with_context(damaged)?;
        if version != u64::from(VERSION) {
            bail!(
                "{}: was begun by another version of this program (its format is {version}, this \
                 one continues {VERSION}); finish it with that version, or pass --restart to \
                 start over",
                path.display()
            );
        }
        serde_json::from_value(value).with_context(damaged)
    }

    /// Writes it to the folder at `path`, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let (partial, file) = (path.join(MANIFEST_PARTIAL), path.join(MANIFEST));
        fs::write(&partial, serde_json::to_vec_pretty(self)?)
            .and_then(|()| fs::rename(&partial, &file))
            .with_context(|| format!("write {}", file.display()))
    }

    /// # Errors
    /// Names what differs from the manifest of the folder at `path`, which is this. An engine may have been
    /// chosen `automatically`.
    pub(super) fn continues_as(
        &self,
        now: &Frames,
        automatically: bool,
        path: &Path,
    ) -> Result<()> {
        match self.frames.differs(now, automatically) {
            None => Ok(()),
            Some(why) => bail!(
                "{}: cannot be continued: {why}, or pass --restart to start over",
                path.display()
            ),
        }
    }
}

/// The name of a state folder that nobody named: short whatever the film is called.
pub(super) fn folder_name(output: &Path) -> String {
    format!(".parallax-{}", short_hash(output.as_os_str().as_encoded_bytes()))
}

/// Where the conversion to `output` is kept, beside it: the folder of that name, or one that an
/// earlier version named, or with `resume` that of the same film under another name.
pub(super) fn folder_beside(output: &Path, frames: &Frames, resume: bool) -> PathBuf {
    let begun = |path: &Path| path.join(MANIFEST).exists();
    let own = output.with_file_name(folder_name(output));
    if begun(&own) {
        return own;
    }
    let mut older = std::ffi::OsString::from(".");
    older.push(output.file_name().unwrap_or_default());
    older.push(".parallax");
    let older = output.with_file_name(older);
    if begun(&older) {
        return older;
    }
    if !resume {
        return own;
    }
    let others = output.parent().and_then(|folder| folder.read_dir().ok());
    let mut others: Vec<_> = others
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b".parallax-"))
        .filter_map(|entry| Some((entry.path(), Manifest::read(&entry.path()).ok()?)))
        .filter(|(_, manifest)| manifest.frames.input == frames.input)
        .collect();
    // The same frames if there are any; else what differs can at least be told.
    others.sort_by_key(|(path, manifest)| (manifest.frames != *frames, path.clone()));
    others.into_iter().next().map_or(own, |(path, _)| path)
}

fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use parallax_stereo::Comfort;

    use super::*;

    fn frames() -> Frames {
        Frames {
            input: "film.mp4".to_owned(),
            input_bytes: 1,
            input_modified_ms: 2,
            layout: "full-sbs".to_owned(),
            engine: "draft".to_owned(),
            model: None,
            disparity_percent: 2.1,
            convergence: 0.3,
            depth: None,
            rendering: Rendering::default(),
            staging: Staging::default(),
            pictures: DecodeOptions::default(),
            damaged: Damaged::default(),
            full_chroma: false,
            seed: 0,
            codec: Codec::default(),
            crf: 16,
            preset: "medium".to_owned(),
            segment_seconds: 10,
            excerpt: Excerpt::default(),
            scaled: None,
        }
    }

    #[test]
    fn options_are_written_by_names_that_do_not_follow_the_code() {
        let mut frames = frames();
        frames.staging.comfort = Some(Comfort { front_percent: 1.0, behind_percent: 2.5 });
        let written = serde_json::to_value(&frames).unwrap();
        let json = serde_json::json!({
            "rendering": {"eyes": "right", "warping": "surface", "fill": "continue", "depth_picture": false},
            "staging": {
                "auto_convergence": false,
                "comfort": {"front_percent": 1.0, "behind_percent": 2.5},
                "floating_window": false,
            },
            "pictures": {"deinterlace": false, "crop": null, "stretch": null},
            "damaged": "repair",
            "codec": "x264",
        });
        for (name, value) in json.as_object().unwrap() {
            assert_eq!(&written[name], value, "{name}");
        }
    }

    #[test]
    fn any_number_is_read_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        for n in 1..2000_u16 {
            let mut frames = frames();
            let percent = f32::from(n) * 0.003_7;
            frames.staging.comfort =
                Some(Comfort { front_percent: percent, behind_percent: percent });
            (frames.disparity_percent, frames.convergence) = (percent, percent / 10.0);
            Manifest::new(Path::new("out.mp4"), frames.clone()).write(folder.path()).unwrap();
            let read = Manifest::read(folder.path()).unwrap();
            read.continues_as(&frames, false, folder.path()).unwrap();
        }
    }

    #[test]
    fn what_was_chosen_for_the_user_is_named_as_options() {
        let now = frames();
        let of = |engine: &str, model: Option<&str>| Frames {
            engine: engine.to_owned(),
            model: model.map(str::to_owned),
            ..frames()
        };
        let video = of("video-depth-anything", Some("video-depth-anything-small (0123), size 280"));
        let said = video.differs(&now, true).unwrap();
        let way = "pass --engine video-depth-anything --depth-model video-depth-anything-small";
        assert!(said.ends_with(way), "{said}");
        let said = now.differs(&video, true).unwrap();
        assert!(said.ends_with("pass --engine draft"), "{said}");
        // What the user named himself, or what has nothing to do with it.
        assert!(now.differs(&video, false).unwrap().ends_with("pass what was passed before"));
        let other = Frames { crf: 17, ..frames() };
        assert!(now.differs(&other, true).unwrap().ends_with("pass what was passed before"));
    }

    #[test]
    fn a_folder_of_another_version_is_refused_with_a_way_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(MANIFEST);
        fs::write(
            &file,
            r#"{"version": 3, "output": "a", "frames": {"rendering": "Rendering { .. }"}}"#,
        )
        .unwrap();
        let error = Manifest::read(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("its format is 3") && error.contains("finish it with that version"),
            "{error}"
        );
        assert!(error.contains("--restart"), "{error}");
    }
}
