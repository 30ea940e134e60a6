//! The goldens, and the networks that they are of.
#![allow(dead_code, unreachable_pub)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use parallax_sam2::manifest::Folder;
use parallax_sam2::{Picture, Point, Prompt, Sam2};

pub type Tensors = HashMap<String, Tensor>;

/// The names of the networks: a file with the networks of clips, and one without.
pub const NETWORKS: [&str; 2] = ["plain", "uneven"];

pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

pub fn stages(name: &str) -> Tensors {
    let path = golden(name).join("stages.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

pub fn network(folder: &Path) -> Sam2 {
    Folder::open(folder).unwrap().build(DType::F32, &Device::Cpu).unwrap()
}

/// The picture of a golden, (H, W, 3) of bytes.
pub fn picture(stages: &Tensors) -> Picture {
    let (height, width, _) = stages["picture"].dims3().unwrap();
    let rgb = stages["picture"].flatten_all().unwrap().to_vec1::<u8>().unwrap();
    Picture::new((width, height), rgb).unwrap()
}

/// A mask prompt and the objects that a case asks for, in the network's square.
pub fn prompts(
    stages: &Tensors,
    case: &str,
    (size, side): ((usize, usize), usize),
) -> (Vec<Prompt>, Option<Tensor>) {
    let given = |what: &str| stages.get(&format!("{case}.in.{what}"));
    let rows = |what: &str| {
        let boxes = given(what)?.to_dtype(DType::F32).unwrap();
        Some(boxes.to_vec2::<f32>().unwrap())
    };
    let (boxes, labels) = (rows("boxes"), rows("labels"));
    let points = given("points").map(|points| points.to_vec3::<f32>().unwrap());
    let objects = boxes.as_ref().map(Vec::len).or(labels.as_ref().map(Vec::len)).unwrap_or(1);
    let prompt = |i: usize| {
        let mut prompt = Prompt::default();
        if let Some(boxes) = &boxes {
            prompt.bounds = Some(boxes[i].clone().try_into().unwrap());
        }
        if let (Some(points), Some(labels)) = (&points, &labels) {
            let there = points[i].iter().zip(&labels[i]).filter(|(_, label)| **label >= 0.0);
            let point =
                |(at, label): (&Vec<f32>, &f32)| Point { x: at[0], y: at[1], inside: *label > 0.5 };
            prompt.points = there.map(point).collect();
        }
        prompt.in_square(size, side)
    };
    ((0..objects).map(prompt).collect(), given("mask").cloned())
}

/// What is seen on the way.
#[derive(Default)]
pub struct Seen(pub BTreeMap<String, Tensor>);

impl Seen {
    pub fn tap(&mut self) -> impl FnMut(&str, &Tensor) -> candle_core::Result<()> + '_ {
        |name, output| {
            self.0.insert(name.to_owned(), output.clone());
            Ok(())
        }
    }
}
