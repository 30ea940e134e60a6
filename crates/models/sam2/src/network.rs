//! The whole network.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use parallax_nn::Tap;

use crate::backbone::Backbone;
use crate::config::Config;
use crate::decoder::MaskDecoder;
use crate::features::Features;
use crate::layout::Layout;
use crate::masks::Candidates;
use crate::memory::Memory;
use crate::neck::Neck;
use crate::picture::{Picture, network_input};
use crate::prompts::{Prompt, PromptEncoder};

/// Prompts that are decoded together: more take more memory and no less time.
const TOGETHER: usize = 16;

/// A network of the family.
#[derive(Debug)]
pub struct Sam2 {
    config: Config,
    backbone: Backbone,
    neck: Neck,
    prompts: PromptEncoder,
    decoder: MaskDecoder,
    /// (1, 1, 1, C): what a picture has instead of memory.
    no_memory: Tensor,
    memory: Option<Memory>,
    device: Device,
    dtype: DType,
}

impl Sam2 {
    /// Reads the tensors of a file with the names of `layout`.
    ///
    /// # Errors
    /// Those of `vb`, and a configuration that fits nothing.
    pub fn new(config: &Config, layout: Layout, vb: VarBuilder) -> Result<Self> {
        config.check()?;
        let vb = layout.named(vb);
        let no_memory = vb.get((1, 1, config.width), "no_memory_embedding")?;
        Ok(Self {
            backbone: Backbone::new(config, &vb.pp("vision_encoder.backbone"))?,
            neck: Neck::new(config, &vb.pp("vision_encoder.neck"))?,
            prompts: PromptEncoder::new(config, layout, &vb)?,
            decoder: MaskDecoder::new(config, &vb.pp("mask_decoder"))?,
            no_memory: no_memory.unsqueeze(0)?,
            memory: layout.memory.then(|| Memory::new(config, &vb)).transpose()?,
            device: vb.device().clone(),
            dtype: vb.dtype(),
            config: config.clone(),
        })
    }

    /// What it was built by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What follows a mask through a clip, where the file has it.
    pub(crate) fn memory(&self) -> Option<&Memory> {
        self.memory.as_ref()
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    /// Looks at a picture.
    ///
    /// # Errors
    /// Those of the tensor library.
    pub fn look(&self, picture: &Picture) -> Result<Features> {
        let input = network_input(picture, self.config.image_size)?;
        self.features(&input.to_device(&self.device)?, &mut parallax_nn::ignore)
    }

    /// A normalised picture (1, 3, S, S) to its features.
    ///
    /// # Errors
    /// When it has another size.
    pub fn features(&self, picture: &Tensor, tap: &mut Tap) -> Result<Features> {
        let side = self.config.image_size;
        if picture.dims() != [1, 3, side, side] {
            candle_core::bail!(
                "a picture {:?}: expected is (1, 3, {side}, {side})",
                picture.dims()
            );
        }
        let stages = self.backbone.forward(&picture.to_dtype(self.dtype)?, tap)?;
        let [fine, middle, coarse] = self.neck.forward(&stages, tap)?;
        let (fine, middle) = self.decoder.finer(&fine, &middle)?;
        let features = Features { fine, middle, coarse };
        let seen = self.without_memory(&features)?;
        for (i, map) in [&features.fine, &features.middle, &seen].into_iter().enumerate() {
            tap(&format!("embedding{i}"), map)?;
        }
        Ok(features)
    }

    /// The coarse map (1, h, w, C) of a frame for which nothing is remembered.
    pub(crate) fn without_memory(&self, features: &Features) -> Result<Tensor> {
        features.coarse.broadcast_add(&self.no_memory)
    }

    /// The masks of prompts, each an object, in samples of the network's square picture; and of mask prompts, logits
    /// (1 or B, 1, h, w), where there are some. Prompts have boxes all or none; one without anything asks for
    /// whatever there is.
    ///
    /// # Errors
    /// When prompts do not go together.
    pub fn decode(
        &self,
        features: &Features,
        prompts: &[Prompt],
        masks: Option<&Tensor>,
        tap: &mut Tap,
    ) -> Result<Candidates> {
        self.decode_seen((features, &self.without_memory(features)?), prompts, masks, tap)
    }

    /// As [`Sam2::decode`], where the coarse map (1, h, w, C) is seen so.
    pub(crate) fn decode_seen(
        &self,
        (features, coarse): (&Features, &Tensor),
        prompts: &[Prompt],
        masks: Option<&Tensor>,
        tap: &mut Tap,
    ) -> Result<Candidates> {
        let tokens = self.prompts.tokens(prompts)?;
        let map = self.prompts.map(masks)?;
        tap("prompt.out0", &tokens)?;
        tap("prompt.out1", &map)?;
        let mut parts = Vec::new();
        for start in (0..prompts.len()).step_by(TOGETHER) {
            let length = TOGETHER.min(prompts.len() - start);
            let tokens = tokens.narrow(0, start, length)?.contiguous()?;
            let map = if map.dim(0)? == 1 { map.clone() } else { map.narrow(0, start, length)? };
            let (seen, prompt) = ((features, coarse), (&tokens, &map));
            parts.push(self.decoder.forward(seen, prompt, &self.prompts.places, tap)?);
        }
        Candidates::joined(parts)
    }
}
