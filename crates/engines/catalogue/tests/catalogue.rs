//! Every engine is found, refused and opened by what it says of itself.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use parallax_catalogue::{
    ALL, ESTIMATORS, INPAINTERS, Selected, by_name, find, models, of_any_film, self_contained,
    takers,
};
use parallax_engine_spec::{Choice, Choices, DepthSpec, EngineSpec, Ready, Refused};
use parallax_frame::{Colour, Frame, FrameRate, PixelFormat, VideoFormat};
use parallax_stereo::{
    Capabilities, Clip, Combined, DepthEstimator, DepthModel, Draft, Engine, Error, Plane, Run,
    Session, StereoPair, WarpFills,
};

const CHOICES: [Choice; 13] = [
    Choice::Weights,
    Choice::Reference,
    Choice::Steps,
    Choice::Device,
    Choice::Dtype,
    Choice::MemoryPlan,
    Choice::MemoryLimit,
    Choice::Depth,
    Choice::Model,
    Choice::DepthSize,
    Choice::DepthCurve,
    Choice::DepthEvery,
    Choice::DepthMode,
];

fn names<'a>(specs: impl IntoIterator<Item = &'a EngineSpec>) -> Vec<&'a str> {
    specs.into_iter().map(|spec| spec.name).collect()
}

#[test]
fn every_engine_is_found_by_its_name_and_says_what_it_is() {
    for spec in ALL {
        assert_eq!(by_name(spec.name).unwrap().name, spec.name);
        assert_eq!(ALL.iter().filter(|other| other.name == spec.name).count(), 1, "{}", spec.name);
        let line = spec.summary;
        assert!(!line.is_empty() && !line.ends_with('.') && !line.contains('\n'), "{line:?}");
        // Weights lie in a folder, which somebody has to name.
        assert_eq!(spec.weights.is_some(), spec.takes(Choice::Weights), "{}", spec.name);
        assert!(
            CHOICES.into_iter().filter(|choice| spec.takes(*choice)).count() == spec.takes.len()
        );
    }
    assert!(by_name("diffusion").is_none() && by_name("").is_none());
}

#[test]
fn programs_list_what_they_can_serve() {
    let depth: &[&str] = match cfg!(feature = "depth-anything") {
        true => &["depth-anything", "video-depth-anything"],
        false => &[],
    };
    let diffusion: &[&str] = if cfg!(feature = "stereocrafter") { &["stereocrafter"] } else { &[] };
    let networks = [depth, diffusion].concat();
    assert_eq!(names(of_any_film()), [&["draft", "copy"], &networks[..]].concat());
    assert_eq!(names(self_contained()), ["draft", "copy"]);
    assert_eq!(takers(Choice::Reference), networks);
    assert_eq!(takers(Choice::Depth), ["depth-from"]);
    let models: Vec<&str> = models().into_iter().map(|model| model.name).collect();
    for (has, wanted) in [
        (!diffusion.is_empty(), &["svd", "depthcrafter", "stereocrafter"][..]),
        (!depth.is_empty(), &["depth-anything-v2-small", "video-depth-anything-small"]),
    ] {
        assert_eq!(wanted.iter().filter(|name| models.contains(name)).count() > 0, has);
        assert!(!has || wanted.iter().all(|name| models.contains(name)), "{models:?}");
    }
}

#[test]
fn engines_without_weights_open_as_they_are_called() {
    for spec in self_contained() {
        let opened = (spec.select)(&Choices::default()).unwrap().prepare(Some((64, 36))).unwrap();
        assert_eq!(opened.open().unwrap().name(), spec.name);
        assert_eq!(opened.identity().unwrap(), None);
    }
    let missing = (by_name("depth-from").unwrap().select)(&Choices::default()).unwrap_err();
    assert_eq!(missing.choice, Some(Choice::Depth));
}

/// An engine of a crate that nobody wrote: it turns the other eye upside down as often as it is told to.
#[derive(Debug)]
struct Toy(u32);

impl Capabilities for Toy {
    fn check(&self, run: &Run) -> Result<(), Error> {
        match run.seed {
            0 => Ok(()),
            seed => Err(Error::Unsupported(format!("seed {seed}: a toy knows no chance"))),
        }
    }
}

impl Engine for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn start(&self, _clip: &Clip, run: &Run) -> Result<Box<dyn Session>, Error> {
        self.check(run)?;
        Ok(Box::new(Turning(self.0)))
    }
}

struct Turning(u32);

impl Session for Turning {
    fn push(&mut self, frame: Frame) -> Result<Vec<StereoPair>, Error> {
        let mut right = frame.clone();
        (0..self.0).for_each(|_| right.data_mut().reverse());
        Ok(vec![StereoPair { left: frame, right }])
    }

    fn finish(&mut self) -> Result<Vec<StereoPair>, Error> {
        Ok(Vec::new())
    }
}

const TOY: EngineSpec = EngineSpec {
    name: "toy",
    summary: "Turns the other eye upside down",
    takes: &[Choice::Steps],
    weights: None,
    halves: None,
    select: |choices| match choices.steps {
        Some(7..) => Err(Refused::of(Choice::Steps, "it would get dizzy")),
        steps => Ok(Arc::new(Ready::<dyn Engine>(Arc::new(Toy(steps.unwrap_or(1)))))),
    },
};

#[test]
fn one_more_line_is_one_more_engine() {
    let specs = [ALL, &[TOY]].concat();
    let spec = find(&specs, "toy").unwrap();
    assert!(spec.takes(Choice::Steps) && !spec.takes(Choice::Weights));
    let refused = (spec.select)(&Choices { steps: Some(7), ..Choices::default() }).unwrap_err();
    assert_eq!(
        (refused.choice, &*refused.to_string()),
        (Some(Choice::Steps), "it would get dizzy")
    );
    let selected = (spec.select)(&Choices::default()).unwrap();
    assert!(selected.check(&Run::default()).is_ok());
    assert!(selected.check(&Run { seed: 1, ..Run::default() }).is_err());
    let engine = selected.prepare(None).unwrap().open().unwrap();
    let pixels = PixelFormat::YUV420P;
    let format = Arc::new(VideoFormat { width: 4, height: 2, pixels, colour: Colour::default() });
    let clip = Clip { format: Arc::clone(&format), rate: FrameRate { num: 25, den: 1 } };
    let mut session = engine.start(&clip, &Run::default()).unwrap();
    let mut frame = Frame::zeroed(format, 0);
    frame.data_mut()[0] = 9;
    let pairs = session.push(frame).unwrap();
    assert_eq!(pairs[0].right.data().last(), Some(&9));
}

#[test]
fn halves_are_found_by_their_names_and_make_the_engines_that_are_listed() {
    for half in ESTIMATORS {
        assert_eq!(find(ESTIMATORS, half.name).unwrap().name, half.name);
        assert_eq!(half.weights.is_some(), half.takes(Choice::Weights), "{}", half.name);
    }
    for half in INPAINTERS {
        assert_eq!(find(INPAINTERS, half.name).unwrap().name, half.name);
        assert_eq!(half.weights.is_some(), half.takes(Choice::Weights), "{}", half.name);
    }
    for spec in ALL {
        let Some(halves) = spec.halves else { continue };
        let depth = find(ESTIMATORS, halves.depth).unwrap();
        let inpaint = halves.inpaint.map(|name| find(INPAINTERS, name).unwrap());
        let made = Selected::pair(ALL, depth, inpaint);
        assert!(matches!(made, Selected::Engine(found) if found.name == spec.name), "{made:?}");
        // Without being listed it is a pair like others.
        let made = Selected::pair(&[], depth, inpaint);
        assert!(matches!(made, Selected::Pair(..)), "{made:?}");
        let both: Vec<&str> = std::iter::once(halves.depth).chain(halves.inpaint).collect();
        assert_eq!(made.name(), both.join("+"));
        for choice in CHOICES.into_iter().filter(|choice| *choice != Choice::Reference) {
            assert_eq!(made.takes(choice), spec.takes(choice), "{choice:?} of {}", spec.name);
        }
        let names = |selected: Selected| -> Vec<&str> {
            selected.models().into_iter().map(|model| model.name).collect()
        };
        assert_eq!(names(made), names(Selected::Engine(spec)));
    }
}

/// Sees the left half of every frame near.
#[derive(Debug)]
struct Halved;

impl Capabilities for Halved {
    fn check(&self, run: &Run) -> Result<(), Error> {
        Toy(1).check(run)
    }
}

impl DepthModel for Halved {
    fn estimator(&self, _clip: &Clip, _run: &Run) -> Result<Box<dyn DepthEstimator>, Error> {
        Ok(Box::new(Halves))
    }
}

#[derive(Debug)]
struct Halves;

impl DepthEstimator for Halves {
    fn push(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error> {
        Ok(vec![(frame, Plane::from_fn(8, 4, |x, _| if x < 4 { 1.0 } else { 0.0 }))])
    }

    fn finish(&mut self) -> Result<Vec<(Frame, Plane)>, Error> {
        Ok(Vec::new())
    }
}

const HALVED: DepthSpec = DepthSpec {
    name: "halved",
    summary: "Sees the left half near",
    takes: &[],
    weights: None,
    halves: None,
    select: |_| Ok(Arc::new(Ready::<dyn DepthModel>(Arc::new(Halved)))),
};

/// Five frames of noise, and the right eyes that an engine makes of them.
fn rights(engine: &dyn Engine) -> Vec<Frame> {
    let pixels = PixelFormat::YUV420P;
    let format = Arc::new(VideoFormat { width: 64, height: 32, pixels, colour: Colour::default() });
    let clip = Clip { format: Arc::clone(&format), rate: FrameRate { num: 25, den: 1 } };
    let mut session = engine.start(&clip, &Run::default()).unwrap();
    let mut pairs = Vec::new();
    for pts in 0..5_usize {
        let mut frame = Frame::zeroed(Arc::clone(&format), pts as i64);
        let bytes = frame.data_mut().iter_mut().enumerate();
        bytes.for_each(|(i, byte)| *byte = 16 + (i * 7919 / 13 % 200) as u8);
        pairs.extend(session.push(frame).unwrap());
    }
    pairs.extend(session.finish().unwrap());
    assert_eq!(pairs.len(), 5);
    pairs.into_iter().map(|pair| pair.right).collect()
}

#[test]
fn a_new_estimator_goes_with_what_is_there() {
    static SPECS: [DepthSpec; 1] = [HALVED];
    let pair = Selected::pair(ALL, &SPECS[0], None);
    let selected = pair.select(&Choices::default()).unwrap();
    assert!(selected.check(&Run { seed: 1, ..Run::default() }).is_err());
    let prepared = selected.prepare(None).unwrap();
    assert_eq!(prepared.identity().unwrap(), None);
    let engine = prepared.open().unwrap();
    assert_eq!(engine.name(), "halved");
    let drafted = Combined::new("pair", Arc::new(Draft), Arc::new(WarpFills));
    assert_eq!(rights(&drafted), rights(&Draft));
    assert_ne!(rights(&*engine), rights(&Draft));
}
