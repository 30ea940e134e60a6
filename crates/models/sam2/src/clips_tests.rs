//! Masks through clips against the published class, call by call, on tiny random weights.
//!
//! What is remembered has eight bits, so that the last place of a number in single precision decides now and then how it
//! is rounded, and random networks make much of that. So after each call what was remembered is compared, and then
//! replaced by what the library remembered: every call is held to the library's numbers, and not to the dice of earlier ones.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use parallax_test_networks::{assert_close, assert_parity};

use crate::manifest::Folder;
use crate::{
    Drawn, Features, Hint, Mask, Picture, Point, Prompt, Sam2, Scene, Tracked, Tracker, What,
    at_size,
};

const NETWORKS: [&str; 2] = ["clip", "short_memory"];
const CASES: [&str; 3] = ["corrected", "both_ways", "joined"];
const FRAMES: usize = 12;

/// A golden: its network, what is seen in each frame, and what the library made of it.
struct Clip {
    network: Sam2,
    size: (usize, usize),
    features: Vec<Features>,
    want: HashMap<String, Tensor>,
}

/// A call of the library's model.
struct Call {
    frame: usize,
    backward: bool,
    hints: Vec<Hint>,
}

impl Clip {
    fn open(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        let network = Folder::open(&folder).unwrap().build(DType::F32, &Device::Cpu).unwrap();
        let path = folder.join("clips.safetensors");
        let want = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let (frames, height, width, _) = want["frames"].dims4().unwrap();
        let size = (width, height);
        let picture = |i: usize| {
            let rgb = want["frames"].get(i).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            Picture::new(size, rgb).unwrap()
        };
        let features = (0..frames).map(|i| network.look(&picture(i)).unwrap()).collect();
        Self { network, size, features, want }
    }

    fn get(&self, case: &str, call: usize, what: &str) -> Option<&Tensor> {
        self.want.get(&format!("{case}.call{call}.{what}"))
    }

    fn numbers(&self, case: &str, call: usize, what: &str) -> Option<Vec<f32>> {
        let tensor = self.get(case, call, what)?.to_dtype(DType::F32).unwrap();
        Some(tensor.flatten_all().unwrap().to_vec1().unwrap())
    }

    fn objects(&self, case: &str, call: usize) -> Vec<usize> {
        let objects = self.numbers(case, call, "objects").unwrap();
        objects.into_iter().map(|object| object as usize).collect()
    }

    fn hint(&self, case: &str, call: usize, object: usize) -> Option<Hint> {
        let part = |what: &str| self.numbers(case, call, &format!("hint{object}.{what}"));
        let corrects = part("corrects")?[0] == 1.0;
        if let Some(mask) = part("mask") {
            let drawn = Drawn::new(self.size, mask.into_iter().map(|v| v > 0.0)).unwrap();
            return Some(Hint { object, what: What::Drawn(drawn), corrects });
        }
        let (points, labels) = (part("points").unwrap_or_default(), part("labels"));
        let point = |(at, label): (&[f32], f32)| Point { x: at[0], y: at[1], inside: label == 1.0 };
        let points = points.chunks(2).zip(labels.unwrap_or_default()).map(point).collect();
        let bounds = part("box").map(|corners| corners.try_into().unwrap());
        let prompt =
            Prompt { points, bounds }.in_square(self.size, self.network.config().image_size);
        Some(Hint { object, what: What::Pointed(prompt), corrects })
    }

    fn calls(&self, case: &str) -> Vec<Call> {
        let calls = self.want[&format!("{case}.calls")].to_vec2::<i64>().unwrap();
        let call = |(i, call): (usize, &Vec<i64>)| Call {
            frame: call[0] as usize,
            backward: call[1] == 1,
            hints: self
                .objects(case, i)
                .into_iter()
                .filter_map(|o| self.hint(case, i, o))
                .collect(),
        };
        calls.iter().enumerate().map(call).collect()
    }

    /// Goes through a case as the library did; `each` is told of every call.
    fn follow(&self, case: &str, mut each: impl FnMut(usize, &[Tracked], Seen)) {
        let mut tracker = Tracker::new(&self.network, Some(FRAMES)).unwrap();
        let mut known = Vec::new();
        for (i, call) in self.calls(case).iter().enumerate() {
            let mut seen = Seen::default();
            let scene = Scene {
                frame: call.frame,
                features: &self.features[call.frame],
                backward: call.backward,
            };
            let mut tap = |name: &str, output: &Tensor| {
                seen.entry(name.to_owned()).or_default().push(output.clone());
                Ok(())
            };
            let tracked = tracker.step(scene, &call.hints, &known, &mut tap).unwrap();
            known = self.objects(case, i);
            each(i, &tracked, seen);
            for (at, object) in known.iter().enumerate() {
                let row = |what: &str| self.get(case, i, what).unwrap().get(at).unwrap();
                let (cells, pointer) = (row("kept"), row("pointers"));
                let of = (cells.unsqueeze(0).unwrap(), pointer.unsqueeze(0).unwrap());
                tracker.replace(*object, call.frame, &of);
            }
        }
    }
}

/// What passed the taps of a call, in order.
type Seen = BTreeMap<String, Vec<Tensor>>;

/// Within 1e-4 of the range of what is wanted.
fn near(what: &str, got: &Tensor, want: &Tensor) {
    let values = want.flatten_all().unwrap();
    let end = |v: Tensor| v.to_scalar::<f32>().unwrap();
    let range = end(values.max(0).unwrap()) - end(values.min(0).unwrap());
    assert_close(what, &got.reshape(want.dims()).unwrap(), want, 0.0, 1e-4 * range);
}

#[test]
fn every_stage_is_the_librarys() {
    let mut compared = BTreeMap::<String, usize>::new();
    for name in NETWORKS {
        let clip = Clip::open(name);
        for case in CASES {
            clip.follow(case, |i, _, seen| {
                for (stage, outputs) in &seen {
                    for (at, output) in outputs.iter().enumerate() {
                        let Some(want) = clip.get(case, i, &format!("{stage}.{at}")) else {
                            continue;
                        };
                        near(&format!("{name} {case} {i} {stage}.{at}"), output, want);
                        *compared.entry(stage.clone()).or_default() += 1;
                    }
                }
            });
        }
    }
    // Every stage of every call that was stored.
    for (stage, least) in [
        ("memory_layer0", 16),
        ("memory_layer1", 8),
        ("memory_attention", 16),
        ("memory_mixer0", 18),
        ("memory_mixer1", 9),
        ("memory_features", 18),
    ] {
        assert!(compared[stage] >= least, "{stage}: {compared:?}");
    }
}

/// Logits (h, w) at the clip's size, as candle's operation makes them.
fn at_size_of(mask: &Mask, (width, height): (usize, usize)) -> Vec<f32> {
    let (rows, columns) = mask.size;
    let logits = Tensor::from_slice(&mask.logits, (1, 1, rows, columns), &Device::Cpu).unwrap();
    let logits = logits.upsample_bilinear2d(height, width, false).unwrap();
    logits.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn masks_and_scores_are_the_librarys_in_every_frame() {
    let (mut absent, mut present) = (0, 0);
    for name in NETWORKS {
        let clip = Clip::open(name);
        for case in CASES {
            clip.follow(case, |i, tracked, seen| {
                let what = format!("{name} {case} {i}");
                let objects: Vec<usize> = tracked.iter().map(|one| one.object).collect();
                assert_eq!(objects, clip.objects(case, i), "{what}");
                let scores = clip.numbers(case, i, "presence").unwrap();
                let packed = clip.get(case, i, "masks").unwrap().to_vec2::<u8>().unwrap();
                for (at, one) in tracked.iter().enumerate() {
                    let mask = &one.mask;
                    let apart = (mask.presence - scores[at]).abs();
                    assert!(
                        apart < 1e-4 * scores[at].abs().max(1.0),
                        "{what}: {} {}",
                        mask.presence,
                        scores[at]
                    );
                    let want = clip.get(case, i, "low_res").unwrap().get(at).unwrap();
                    let got =
                        Tensor::from_slice(&mask.logits, mask.logits.len(), &Device::Cpu).unwrap();
                    // Of an object that is not there, all are the same.
                    if mask.presence > 0.0 {
                        near(&what, &got, &want);
                        present += 1;
                    } else {
                        assert_parity(&what, &got.reshape(want.dims()).unwrap(), &want);
                        absent += 1;
                    }
                    let (samples, logits) = (at_size(mask, clip.size), at_size_of(mask, clip.size));
                    let inside = |p: usize| packed[at][p / 8] >> (7 - p % 8) & 1 == 1;
                    let wrong: Vec<usize> =
                        (0..samples.len()).filter(|&p| (samples[p] == 255) != inside(p)).collect();
                    assert!(1000 * wrong.len() <= samples.len(), "{what} {at}: {}", wrong.len());
                    assert!(wrong.iter().all(|&p| logits[p].abs() < 1e-3), "{what} {at}");
                }
                // One pointer for each object that was looked at anew, in their order.
                let pointers = clip.get(case, i, "pointers").unwrap();
                for pointer in seen.get("pointer").into_iter().flatten() {
                    let pointer = pointer.squeeze(0).unwrap();
                    let apart = |row: usize| {
                        let apart = (pointers.get(row).unwrap() - &pointer).unwrap().abs().unwrap();
                        apart.max_all().unwrap().to_scalar::<f32>().unwrap()
                    };
                    let best = (0..pointers.dim(0).unwrap()).map(apart).fold(f32::MAX, f32::min);
                    assert!(best < 1e-3, "{what}: a pointer is {best} apart");
                }
            });
        }
    }
    assert!(absent >= 6 && present >= 60, "{absent} {present}: both must have been seen");
}

#[test]
fn memory_is_kept_in_the_published_precision() {
    let (mut same, mut all) = (0, 0);
    for name in NETWORKS {
        let clip = Clip::open(name);
        for case in CASES {
            clip.follow(case, |i, tracked, seen| {
                let want = clip.get(case, i, "kept").unwrap();
                let got = seen.get("memory_kept").map(Vec::as_slice).unwrap_or_default();
                // Frames that were pointed at before are not looked at again.
                if got.len() != tracked.len() {
                    return;
                }
                for (at, got) in got.iter().enumerate() {
                    let want = want.get(at).unwrap();
                    assert_eq!((got.dtype(), want.dtype()), (DType::BF16, DType::BF16));
                    let values = |t: &Tensor| {
                        let t = t.to_dtype(DType::F32).unwrap().flatten_all().unwrap();
                        t.to_vec1::<f32>().unwrap()
                    };
                    let (got, want) = (values(got), values(&want));
                    // A unit in the last of eight places at most, and what other stages may be apart.
                    let most = want.iter().fold(0f32, |most, want| most.max(want.abs()));
                    let near = |(got, want): (&f32, &f32)| {
                        (got - want).abs() <= want.abs() / 127.0 + 1e-4 * most
                    };
                    assert!(got.iter().zip(&want).all(near), "{name} {case} {i}");
                    same += got.iter().zip(&want).filter(|(got, want)| got == want).count();
                    all += got.len();
                }
            });
        }
    }
    assert!(all > 50_000 && 1000 * same > 995 * all, "{same} of {all}");
}

#[test]
fn what_is_remembered_does_not_grow_with_the_clip() {
    let clip = Clip::open("short_memory");
    let memory = &clip.network.config().memory;
    let mut tracker = Tracker::new(&clip.network, None).unwrap();
    let point = |x, y| Prompt { points: vec![Point { x, y, inside: true }], bounds: None };
    let hint = |object, x| Hint { object, what: What::Pointed(point(x, 30.0)), corrects: false };
    let ignore = &mut parallax_nn::ignore;
    let mut step = |tracker: &mut Tracker<'_>, frame: usize, backward, hints: &[Hint]| {
        // Back and forth through what there is.
        let features = &clip.features[frame % FRAMES];
        let others: &[usize] = if hints.is_empty() { &[1, 2] } else { &[] };
        tracker.step(Scene { frame, features, backward }, hints, others, ignore).unwrap()
    };
    step(&mut tracker, 40, false, &[hint(1, 20.0), hint(2, 70.0)]);
    let mut held = Vec::new();
    for frame in 41..120 {
        assert_eq!(step(&mut tracker, frame, false, &[]).len(), 2);
        held.push(tracker.held());
    }
    // The frame that was pointed at, those behind it for the way back, and those behind the one at hand.
    let most = |kept: usize| 2 * (1 + 2 * (kept - 1) + 1);
    let (cells, pointers) = (most(memory.frames), most(memory.pointers));
    assert!(held.iter().all(|held| held.0 <= cells && held.1 <= pointers), "{held:?}");
    assert_eq!(held[30], held[70], "it does not grow");
    held.clear();
    for frame in (0..40).rev() {
        step(&mut tracker, frame, true, &[]);
        held.push(tracker.held());
    }
    // Those on the other side of it, too.
    let (cells, pointers) = (cells + 2 * memory.frames, pointers + 2 * memory.pointers);
    assert!(held.iter().all(|held| held.0 <= cells && held.1 <= pointers), "{held:?}");
    assert_eq!(held[20], held[39], "it does not grow");
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let clip = Clip::open("clip");
    let ignore = &mut parallax_nn::ignore;
    let scene = Scene { frame: 0, features: &clip.features[0], backward: false };
    let mut tracker = Tracker::new(&clip.network, None).unwrap();
    let error = tracker.step(scene, &[], &[4], ignore).unwrap_err().to_string();
    assert!(error.contains("object 4 was never pointed at"), "{error}");
    let what = What::Pointed(Prompt::default());
    let error = tracker.step(scene, &[Hint { object: 4, what, corrects: true }], &[], ignore);
    assert!(error.unwrap_err().to_string().contains("before it was pointed at"));
    assert!(Drawn::new((3, 2), [true; 5]).is_err() && Drawn::new((0, 0), []).is_err());
    for (name, words) in [("plain", "halves masks 2 times"), ("uneven", "no networks that follow")]
    {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        let network = Folder::open(&folder).unwrap().build(DType::F32, &Device::Cpu).unwrap();
        let error = Tracker::new(&network, None).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
