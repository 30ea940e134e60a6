//! What a user selected: an engine by its name, or two halves by theirs.

use std::sync::Arc;

use parallax_engine_spec::{
    Choice, Choices, DepthSpec, DeviceMemory, EngineSpec, Halves, InpaintSpec, Prepared, Published,
    Ready, Refused, Selection, WeightBytes,
};
use parallax_stereo::{
    Capabilities, Combined, DepthModel, Engine, Error, InpaintModel, Reach, Run, WarpFills,
};

/// An engine of the catalogue, or one that is put together.
#[derive(Debug, Clone, Copy)]
pub enum Selected {
    /// One that is listed.
    Engine(&'static EngineSpec),
    /// Any depth with any inpainter; `None` is for the fills of the warp.
    Pair(&'static DepthSpec, Option<&'static InpaintSpec>),
}

impl Selected {
    /// The engine out of these halves: the listed one, where one of `engines` is made of them.
    pub fn pair(
        engines: &'static [EngineSpec],
        depth: &'static DepthSpec,
        inpaint: Option<&'static InpaintSpec>,
    ) -> Self {
        let halves = Halves { depth: depth.name, inpaint: inpaint.map(|half| half.name) };
        let listed = engines.iter().find(|spec| spec.halves == Some(halves));
        listed.map_or(Self::Pair(depth, inpaint), Self::Engine)
    }

    /// What it is called: the names of both halves, unless the warp's fills are one.
    pub fn name(&self) -> String {
        match self {
            Self::Engine(spec) => spec.name.to_owned(),
            Self::Pair(depth, None) => depth.name.to_owned(),
            Self::Pair(depth, Some(inpaint)) => format!("{}+{}", depth.name, inpaint.name),
        }
    }

    /// Whether it takes this option.
    pub fn takes(&self, choice: Choice) -> bool {
        match self {
            Self::Engine(spec) => spec.takes(choice),
            Self::Pair(depth, inpaint) => {
                depth.takes(choice) || inpaint.is_some_and(|half| half.takes(choice))
            }
        }
    }

    /// The models that it needs, each once; of several that are instead of each other the first.
    pub fn models(&self) -> Vec<&'static Published> {
        let weights = match self {
            Self::Engine(spec) => [spec.weights, None],
            Self::Pair(depth, inpaint) => [depth.weights, inpaint.and_then(|half| half.weights)],
        };
        crate::once_each(weights.into_iter().flatten().flat_map(|weights| weights.needed(None)))
    }

    /// The selection with a user's choices: cheap, nothing is opened.
    ///
    /// # Errors
    /// When a choice is missing that cannot be done without.
    pub fn select(&self, choices: &Choices) -> Result<Arc<dyn Selection>, Refused> {
        let (depth, inpaint) = match self {
            Self::Engine(spec) => return (spec.select)(choices),
            Self::Pair(depth, inpaint) => (depth, inpaint),
        };
        let fills = || Ok(Arc::new(Ready::<dyn InpaintModel>(Arc::new(WarpFills))) as _);
        Ok(Arc::new(Pair {
            name: self.name(),
            depth: (depth.select)(choices)?,
            inpaint: inpaint.map_or_else(fills, |half| (half.select)(choices))?,
        }))
    }
}

/// Two halves with a user's choices.
#[derive(Debug)]
struct Pair {
    name: String,
    depth: Arc<dyn Selection<dyn DepthModel>>,
    inpaint: Arc<dyn Selection<dyn InpaintModel>>,
}

impl Capabilities for Pair {
    fn reach(&self, run: &Run) -> Reach {
        run.reach().and(self.depth.reach(run)).and(self.inpaint.reach(run))
    }

    fn check(&self, run: &Run) -> Result<(), Error> {
        self.depth.check(run)?;
        self.inpaint.check(run)
    }
}

impl Selection for Pair {
    fn prepare(&self, pictures: Option<(u32, u32)>) -> Result<Box<dyn Prepared>, Refused> {
        Ok(Box::new(PreparedPair {
            name: self.name.clone(),
            depth: self.depth.prepare(pictures)?,
            inpaint: self.inpaint.prepare(pictures)?,
        }))
    }

    fn words(&self) -> String {
        format!("{}{}", self.depth.words(), self.inpaint.words())
    }
}

/// Two halves with their devices open.
#[derive(Debug)]
struct PreparedPair {
    name: String,
    depth: Box<dyn Prepared<dyn DepthModel>>,
    inpaint: Box<dyn Prepared<dyn InpaintModel>>,
}

impl Prepared for PreparedPair {
    fn open(&self) -> Result<Arc<dyn Engine>, Refused> {
        let (depth, inpaint) = (self.depth.open()?, self.inpaint.open()?);
        // As short as a word, and one for each engine that is opened.
        let name = Box::leak(self.name.clone().into_boxed_str());
        Ok(Arc::new(Combined::new(name, depth, inpaint)))
    }

    fn identity(&self) -> Result<Option<String>, Refused> {
        let halves = [self.depth.identity()?, self.inpaint.identity()?];
        let words: Vec<String> = halves.into_iter().flatten().collect();
        Ok(if words.is_empty() { None } else { Some(words.join("; ")) })
    }

    fn models(&self) -> Vec<&'static Published> {
        crate::once_each(self.depth.models().into_iter().chain(self.inpaint.models()))
    }

    fn weight_bytes(&self) -> Result<WeightBytes, Refused> {
        let (depth, inpaint) = (self.depth.weight_bytes()?, self.inpaint.weight_bytes()?);
        Ok(WeightBytes { least: depth.least + inpaint.least, whole: depth.whole + inpaint.whole })
    }

    fn room(&self) -> Option<u64> {
        self.depth.room().into_iter().chain(self.inpaint.room()).min()
    }

    fn memory(&self) -> Option<DeviceMemory> {
        self.depth.memory().or_else(|| self.inpaint.memory())
    }
}
