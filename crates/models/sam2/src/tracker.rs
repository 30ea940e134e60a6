//! A mask through a clip: objects that were pointed at in some frames are followed through the others, one frame at
//! a time (`models/sam2_video/modeling_sam2_video.py` of transformers).

use candle_core::{DType, Device, Result, Tensor, bail};
use parallax_nn::Tap;
use parallax_nn::resize::resize_bilinear_antialiased;

use crate::bank::{Bank, Kept, Now};
use crate::features::Features;
use crate::masks::Mask;
use crate::memory::Memory;
use crate::network::Sam2;
use crate::prompts::Prompt;

/// The logit of an object that is not there, everywhere.
const ABSENT: f32 = -1024.0;
/// Logits of a mask that was drawn: this much on either side.
const DRAWN: f64 = 10.0;

/// A mask that somebody drew.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    size: (usize, usize),
    inside: Vec<f32>,
}

impl Drawn {
    /// Of `width` x `height`, row by row: whether the object is there.
    ///
    /// # Errors
    /// When there are not as many as pixels, or none.
    pub fn new(
        (width, height): (usize, usize),
        inside: impl IntoIterator<Item = bool>,
    ) -> Result<Self> {
        let inside: Vec<f32> =
            inside.into_iter().map(|inside| f32::from(u8::from(inside))).collect();
        if inside.is_empty() || width.checked_mul(height) != Some(inside.len()) {
            bail!("{} samples for a mask of {width}x{height}", inside.len());
        }
        Ok(Self { size: (width, height), inside })
    }

    /// 0 and 1 in a square, (1, 1, side, side).
    fn square(&self, side: usize, device: &Device) -> Result<Tensor> {
        let (width, height) = self.size;
        let mask = Tensor::from_slice(&self.inside, (1, 1, height, width), device)?;
        if (width, height) == (side, side) {
            return Ok(mask);
        }
        resize_bilinear_antialiased(&mask, (side, side))?.ge(0.5)?.to_dtype(DType::F32)
    }
}

/// What an object is pointed at by.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Points and a box, in samples of the network's square.
    Pointed(Prompt),
    /// A mask, which is taken as it is.
    Drawn(Drawn),
}

/// An object that is pointed at in a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Hint {
    /// Which object: any number, by which it is known from then on.
    pub object: usize,
    /// By what.
    pub what: What,
    /// Whether it corrects what is remembered of the object, in place of standing for itself. What is drawn is taken
    /// as it is, either way.
    pub corrects: bool,
}

/// A frame of a clip.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Its number.
    pub frame: usize,
    /// What is seen in it.
    pub features: &'a Features,
    /// Whether the clip is gone through from its end.
    pub backward: bool,
}

/// The mask of an object in a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked {
    /// Which object.
    pub object: usize,
    /// Its mask. Where `presence` is not positive nothing is in it.
    pub mask: Mask,
}

/// Follows objects through a clip.
#[derive(Debug)]
pub struct Tracker<'a> {
    network: &'a Sam2,
    memory: &'a Memory,
    /// Frames of the clip that count for how long ago something was.
    longest: usize,
    objects: Vec<(usize, Bank)>,
}

/// What a look at a frame gave for an object.
struct Found {
    mask: Mask,
    /// (1, 1, S, S), f32, in the picture's square.
    logits: Tensor,
    /// (1, C)
    pointer: Tensor,
}

impl<'a> Tracker<'a> {
    /// Nobody is followed yet, through a clip of so many frames where that is known.
    ///
    /// # Errors
    /// When the network's file has nothing to follow by.
    pub fn new(network: &'a Sam2, frames: Option<usize>) -> Result<Self> {
        let Some(memory) = network.memory() else {
            bail!("the file has no networks that follow a mask through a clip")
        };
        memory.check()?;
        let most = network.config().memory.pointers;
        let longest = frames.map_or(most, |frames| frames.min(most));
        Ok(Self { network, memory, longest, objects: Vec::new() })
    }

    /// The masks of objects in a frame: of those that are pointed at in it, and of those of `others`, which were
    /// pointed at before, in an earlier call. Both in the order in which objects were first pointed at.
    ///
    /// Frames are to come one after another, forward or backward, but for those in which something is pointed at, which
    /// may come before all others. What is far from the frame at hand is forgotten.
    ///
    /// # Errors
    /// When an object of `others` was never pointed at, or one that corrects; those of the tensor library.
    pub fn step(
        &mut self,
        scene: Scene<'_>,
        hints: &[Hint],
        others: &[usize],
        tap: &mut Tap,
    ) -> Result<Vec<Tracked>> {
        for hint in hints {
            if self.bank(hint.object).is_none() {
                self.objects.push((hint.object, Bank::default()));
            }
        }
        if let Some(unknown) = others.iter().find(|id| self.bank(**id).is_none_or(Bank::is_empty)) {
            bail!("object {unknown} was never pointed at");
        }
        let now = Now { frame: scene.frame, backward: scene.backward };
        let (mut tracked, mut made) = (Vec::new(), Vec::new());
        for i in 0..self.objects.len() {
            let (object, ref bank) = self.objects[i];
            let hint = hints.iter().rev().find(|hint| hint.object == object);
            if hint.is_none() && !others.contains(&object) {
                continue;
            }
            if let (None, Some(mask)) = (hint, bank.mask(scene.frame)) {
                tracked.push(Tracked { object, mask: mask.clone() });
                continue;
            }
            let found = self.look(scene, (now, bank), hint, tap)?;
            tap("pointer", &found.pointer)?;
            tracked.push(Tracked { object, mask: found.mask.clone() });
            let stands = hint.is_some_and(|hint| !hint.corrects);
            made.push((i, found, stands));
        }
        // The published class makes masks sharp for all as soon as one was pointed at.
        let sharp = !hints.is_empty();
        for (i, found, stands) in made {
            let (seen, present) = (&scene.features.coarse, found.mask.presence > 0.0);
            let cells = self.memory.encode(seen, (&found.logits, sharp), present, tap)?;
            tap("memory_kept", &cells)?;
            let mask = stands.then_some(found.mask);
            let kept =
                Kept { frame: scene.frame, cells: Some(cells), pointer: found.pointer, mask };
            let bank = &mut self.objects[i].1;
            bank.keep(kept);
            bank.forget(now, &self.network.config().memory);
        }
        Ok(tracked)
    }

    /// How many frames are remembered, over all objects: of how many there are cells, and pointers.
    pub fn held(&self) -> (usize, usize) {
        let held = self.objects.iter().map(|(_, bank)| bank.held());
        held.fold((0, 0), |sum, held| (sum.0 + held.0, sum.1 + held.1))
    }

    /// What is remembered of an object in a frame becomes this.
    #[cfg(test)]
    pub(crate) fn replace(&mut self, object: usize, frame: usize, of: &(Tensor, Tensor)) {
        for (_, bank) in self.objects.iter_mut().filter(|(id, _)| *id == object) {
            bank.replace(frame, of);
        }
    }

    fn bank(&self, object: usize) -> Option<&Bank> {
        self.objects.iter().find(|(id, _)| *id == object).map(|(_, bank)| bank)
    }

    fn look(
        &self,
        scene: Scene<'_>,
        (now, bank): (Now, &Bank),
        hint: Option<&Hint>,
        tap: &mut Tap,
    ) -> Result<Found> {
        let first = hint.is_some_and(|hint| !hint.corrects);
        let prompt = match hint.map(|hint| &hint.what) {
            Some(What::Drawn(drawn)) => return self.drawn(scene.features, drawn, tap),
            Some(What::Pointed(prompt)) => Some(prompt),
            None => None,
        };
        let seen = if first {
            self.network.without_memory(scene.features)?
        } else {
            if bank.is_empty() {
                bail!(
                    "object {} is corrected before it was pointed at",
                    hint.map_or(0, |hint| hint.object)
                );
            }
            // From a frame that is pointed at first, nothing is behind, whichever way it is gone.
            let config = &self.network.config().memory;
            let pointers = bank.pointers(now, self.longest);
            let recalled =
                self.memory.recalled(&bank.frames(now, config), (&pointers, self.longest))?;
            self.memory.attention.forward(&scene.features.coarse, &recalled, tap)?
        };
        let config = &self.network.config().memory;
        let points = prompt.map_or(0, Prompt::places);
        let several = config.several.at(first, points);
        let none = Prompt::default();
        let prompts = [prompt.unwrap_or(&none).clone()];
        let found = self.network.decode_seen((scene.features, &seen), &prompts, None, tap)?;
        let mut mask = if several {
            found.best()?.remove(0)
        } else {
            found.stable(&self.network.config().decoder)?.remove(0)
        };
        // The token is that of the mask for itself even where another one was more stable.
        let token = found.token(0, if several { mask.index } else { 0 })?;
        let pointer = if mask.presence > 0.0 {
            self.memory.pointer(&token)?
        } else {
            mask.logits.fill(ABSENT);
            self.memory.nothing().clone()
        };
        let (rows, columns) = mask.size;
        let low = Tensor::from_slice(&mask.logits, (1, 1, rows, columns), self.network.device())?;
        let side = self.network.config().image_size;
        Ok(Found { logits: low.upsample_bilinear2d(side, side, false)?, pointer, mask })
    }

    /// A mask that was drawn, as if the network had found it.
    fn drawn(&self, features: &Features, drawn: &Drawn, tap: &mut Tap) -> Result<Found> {
        let config = self.network.config();
        let square = drawn.square(config.image_size, self.network.device())?;
        let logits = square.affine(2.0 * DRAWN, -DRAWN)?;
        let side = config.mask_size();
        let low = resize_bilinear_antialiased(&logits, (side, side))?;
        let prompt = self.memory.prompt(&square.to_dtype(self.network.dtype())?)?;
        let (prompts, prompt) = ([Prompt::default()], Some(&prompt));
        let seen = (features, &features.coarse);
        let found = self.network.decode_seen(seen, &prompts, prompt, tap)?;
        let best = found.best()?.remove(0);
        let there = square.max_all()?.to_scalar::<f32>()? > 0.0;
        let pointer = if there && best.presence > 0.0 {
            self.memory.pointer(&found.token(0, best.index)?)?
        } else {
            self.memory.nothing().clone()
        };
        let mask = Mask {
            logits: low.flatten_all()?.to_vec1()?,
            size: (side, side),
            index: 0,
            score: 1.0,
            presence: if there { DRAWN as f32 } else { -DRAWN as f32 },
        };
        Ok(Found { mask, logits, pointer })
    }
}
