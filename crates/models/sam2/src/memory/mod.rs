//! The networks that follow a mask through a clip: what is remembered of a frame, and how a frame is seen in the
//! light of it.

mod attention;
mod encoder;
mod positions;

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::ops::sigmoid;
use parallax_nn::Tap;
use parallax_nn::ops::{Dense, FusedConv2d, Window};

use self::attention::MemoryAttention;
pub(crate) use self::attention::Recalled;
use self::encoder::MemoryEncoder;
use crate::config::Config;
use crate::heads::{Head, Widths};

/// Halvings of a mask that bring it from the picture's square to the cells of a frame.
const HALVINGS: usize = 4;

/// What is remembered of an object in one frame.
#[derive(Debug, Clone)]
pub(crate) struct Remembered<'a> {
    /// (1, h w, channels of memory)
    pub(crate) cells: &'a Tensor,
    /// How many frames ago it was, or `None` of one that was pointed at.
    pub(crate) ago: Option<usize>,
}

/// A pointer to an object, and when it was made.
#[derive(Debug, Clone)]
pub(crate) struct Pointer<'a> {
    /// (1, C)
    pub(crate) pointer: &'a Tensor,
    /// Frames from then to now, in the direction of going.
    pub(crate) ago: usize,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) attention: MemoryAttention,
    encoder: MemoryEncoder,
    pointer: Head,
    /// (1, C): the pointer to what is not there.
    nothing: Tensor,
    /// (frames, channels of memory): how long ago, the last for frames that were pointed at.
    times: Tensor,
    /// (1, h w, channels of memory)
    places: Tensor,
    /// (1, 1, channels of memory): the mark of a frame in which the object is hidden.
    hidden: Option<Tensor>,
    pointer_times: Option<Dense>,
    /// From a mask of the picture's square to one that is a prompt.
    mask_prompt: FusedConv2d,
    config: Config,
}

impl Memory {
    /// `vb` is the whole network's.
    pub(crate) fn new(config: &Config, vb: &VarBuilder) -> Result<Self> {
        let (width, memory) = (config.width, &config.memory);
        let (channels, side) = (memory.channels, config.grid());
        let times = vb.get((memory.frames, 1, 1, channels), "memory_temporal_positional_encoding");
        // It is in every file, and nothing reads it.
        vb.get((1, 1, width), "no_memory_positional_encoding")?;
        let hidden = || vb.get((1, channels), "occlusion_spatial_embedding_parameter");
        let project = || {
            let vb = vb.pp("temporal_positional_encoding_projection_layer");
            Dense::new(width, channels, vb)
        };
        let widths = Widths { inputs: width, hidden: width, outputs: width };
        let places = positions::of_map(side, channels, vb.device())?.to_dtype(vb.dtype())?;
        Ok(Self {
            attention: MemoryAttention::new(config, &vb.pp("memory_attention"))?,
            encoder: MemoryEncoder::new(config, &vb.pp("memory_encoder"))?,
            pointer: Head::new(widths, 3, &vb.pp("object_pointer_proj"))?,
            nothing: vb.get((1, width), "no_object_pointer")?,
            times: times?.reshape((memory.frames, channels))?,
            places,
            hidden: memory.occlusion.then(hidden).transpose()?,
            pointer_times: memory.pointer_times.then(project).transpose()?,
            mask_prompt: FusedConv2d::new(1, 1, Window::new(4, 4, 0), vb.pp("mask_downsample"))?,
            config: config.clone(),
        })
    }

    /// Whether what is remembered fits a frame.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn check(&self) -> Result<()> {
        let (width, memory) = (self.config.width, &self.config.memory);
        if memory.halvings != HALVINGS || memory.frames == 0 || memory.pointers < 2 {
            bail!(
                "a network that remembers {} frames and {} pointers and halves masks {} times: allowed are 1, 2 \
                 and {HALVINGS}, or more frames and pointers",
                memory.frames,
                memory.pointers,
                memory.halvings
            );
        }
        if memory.channels == 0 || !width.is_multiple_of(memory.channels) || width % 4 > 0 {
            bail!("memory of {} channels for maps of {width}", memory.channels);
        }
        Ok(())
    }

    /// The pointer (1, C) to the object of a mask's token (1, C).
    pub(crate) fn pointer(&self, token: &Tensor) -> Result<Tensor> {
        self.pointer.forward(token)
    }

    /// That to an object that is not there.
    pub(crate) fn nothing(&self) -> &Tensor {
        &self.nothing
    }

    /// A mask (1, 1, S, S) of 0 and 1 in the picture's square as a prompt.
    pub(crate) fn prompt(&self, mask: &Tensor) -> Result<Tensor> {
        self.mask_prompt.forward(mask)
    }

    /// What is remembered of a frame (1, h, w, C) and logits (1, 1, S, S) in the picture's square, (1, h w, channels
    /// of memory), in bfloat16 as the published class keeps it. `sharp` where the mask counts as 0 or 1.
    pub(crate) fn encode(
        &self,
        frame: &Tensor,
        (logits, sharp): (&Tensor, bool),
        present: bool,
        tap: &mut Tap,
    ) -> Result<Tensor> {
        let memory = &self.config.memory;
        let mask = if sharp { logits.gt(0.0)?.to_dtype(DType::F32)? } else { sigmoid(logits)? };
        let mask = mask.affine(memory.mask_scale, memory.mask_bias)?.to_dtype(frame.dtype())?;
        let cells = self.encoder.forward(frame, &mask, tap)?.flatten(1, 2)?;
        let cells = match &self.hidden {
            Some(hidden) if !present => cells.broadcast_add(&hidden.unsqueeze(0)?)?,
            _ => cells,
        };
        cells.to_dtype(DType::BF16)
    }

    /// What is remembered, as it is recalled. `pointers` are of a clip of which at most `longest` frames count.
    pub(crate) fn recalled(
        &self,
        frames: &[Remembered],
        (pointers, longest): (&[Pointer], usize),
    ) -> Result<Recalled> {
        let (width, channels) = (self.config.width, self.config.memory.channels);
        let dtype = self.places.dtype();
        let (mut values, mut places) = (Vec::new(), Vec::new());
        for frame in frames {
            values.push(frame.cells.to_dtype(dtype)?);
            let row = frame.ago.unwrap_or(self.config.memory.frames) - 1;
            places.push(self.places.broadcast_add(&self.times.get(row)?)?);
        }
        let parts = width / channels;
        for Pointer { pointer, .. } in pointers {
            values.push(pointer.reshape((1, parts, channels))?);
        }
        if !pointers.is_empty() {
            let times = self.pointer_places(pointers, longest)?;
            // Every part of a pointer has its time.
            let times = times.unsqueeze(1)?.broadcast_as((pointers.len(), parts, channels))?;
            places.push(times.reshape((1, pointers.len() * parts, channels))?);
        }
        Ok(Recalled {
            values: Tensor::cat(&values, 1)?,
            places: Tensor::cat(&places, 1)?,
            pointers: pointers.len() * parts,
        })
    }

    /// (n, channels of memory)
    fn pointer_places(&self, pointers: &[Pointer], longest: usize) -> Result<Tensor> {
        let (dtype, device) = (self.places.dtype(), self.places.device());
        let Some(project) = &self.pointer_times else {
            return Tensor::zeros((pointers.len(), self.config.memory.channels), dtype, device);
        };
        let longest = (longest.max(2) - 1) as f32;
        let shares: Vec<f32> = pointers.iter().map(|one| one.ago as f32 / longest).collect();
        let times = positions::of_times(&shares, self.config.width, device)?;
        project.forward(&times.to_dtype(dtype)?)
    }
}
