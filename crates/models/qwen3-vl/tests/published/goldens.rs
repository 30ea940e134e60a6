//! What the published classes computed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use parallax_qwen3_vl::{
    Message, Model, Part, Patches, Prompt, Rgb8, Role, frame_indices, timestamps,
};
use serde_json::Value;

pub(crate) const NAMES: [&str; 2] = ["hub", "newer"];

pub(crate) struct Golden {
    pub(crate) model: Model,
    pub(crate) stages: HashMap<String, Tensor>,
    pub(crate) expected: Value,
}

pub(crate) struct Case;

impl Case {
    pub(crate) const ALL: [&str; 7] = ["text", "image", "tall", "two", "turns", "film", "both"];
}

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The picture of (rows, samples of a row) that the goldens' formula makes.
pub(crate) fn picture((h, w): (usize, usize), shift: usize) -> Rgb8 {
    let channels = [0, 1, 2].map(|c| {
        let byte = |i: usize| {
            let (y, x) = (i / w, i % w);
            (y * 7 + x * 13 + y * x * (c + 1) / 5 + shift * (11 + 3 * c)) % (191 + 32 * c)
        };
        (0..h * w).map(|i| byte(i) as u8).collect()
    });
    Rgb8::new(channels, (h, w)).unwrap()
}

impl Golden {
    pub(crate) fn open(name: &str) -> Self {
        let folder = folder(name);
        let stages =
            candle_core::safetensors::load(folder.join("stages.safetensors"), &Device::Cpu);
        let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
        Self {
            model: Model::open(&folder, name, &Device::Cpu).unwrap(),
            stages: stages.unwrap(),
            expected: serde_json::from_str(&expected).unwrap(),
        }
    }

    pub(crate) fn ids(value: &Value) -> Vec<u32> {
        serde_json::from_value(value.clone()).unwrap()
    }

    pub(crate) fn picture(&self, name: &str) -> Patches {
        let size = match name {
            "wide" => (61, 97),
            "tall" => (130, 37),
            _ => (25, 19),
        };
        self.model.picture(&picture(size, 0), 1 << 12).unwrap()
    }

    /// The goldens' film, and the times of its frame pairs.
    pub(crate) fn film(&self) -> (Patches, Vec<f64>) {
        let (rate, size) = (5.0, (37, 53));
        let indices = frame_indices(11, rate, self.model.films());
        let size = self.model.frame_size(indices.len(), size, 1 << 12).unwrap();
        let frames: Vec<Rgb8> =
            indices.iter().map(|&i| picture((37, 53), i).resized(size)).collect();
        let seconds: Vec<f64> = indices.iter().map(|&i| i as f64 / rate).collect();
        (self.model.film(&frames).unwrap(), timestamps(&seconds))
    }

    pub(crate) fn prompt(&self, case: &str) -> Prompt {
        let (wide, tall, small) =
            (self.picture("wide"), self.picture("tall"), self.picture("small"));
        let (film, times) = self.film();
        fn user(parts: Vec<Part<'_>>) -> (Role, Vec<Part<'_>>) {
            (Role::User, parts)
        }
        let said = |role, text| (role, vec![Part::Text(text)]);
        let (text, see) = (Part::Text, Part::Picture);
        let messages = match case {
            "text" => vec![said(Role::User, "Describe the image, it's 12 o'clock.")],
            "image" => vec![user(vec![see(&wide), text("Describe this image.")])],
            "tall" => vec![
                said(Role::System, "You are terse."),
                user(vec![text("Look: "), see(&tall), text(" and say\nwhat it is")]),
            ],
            "two" => vec![user(vec![see(&wide), see(&small), text("Compare the two.")])],
            "turns" => vec![
                user(vec![see(&tall), text("What?")]),
                said(Role::Assistant, "A disc."),
                user(vec![text("Sure?"), see(&wide)]),
            ],
            "film" => vec![user(vec![Part::Film(&film, &times), text("Describe the video.")])],
            _ => vec![user(vec![
                see(&small),
                text("then"),
                Part::Film(&film, &times),
                text("Same?"),
            ])],
        };
        let message = |(role, parts)| Message { role, parts };
        let messages: Vec<Message<'_>> = messages.into_iter().map(message).collect();
        self.model.prompt(&messages).unwrap()
    }
}
