//! A model's folder as what it is for: pictures in, vectors out.

use std::path::Path;

use candle_core::{DType, Device, Result};
use parallax_nn::ignore;
use parallax_weights::Error;

use crate::manifest::Opened;
use crate::network::Network;
use crate::preprocess::{Preprocessing, Size, normalised};

/// A network with the preparation of pictures that it was published with.
#[derive(Debug)]
pub struct Encoder {
    network: Network,
    preprocessing: Preprocessing,
}

/// What the network sees in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// A vector for all of it: the class token after the last norm.
    pub class: Vec<f32>,
    /// Vectors of its patches, row by row.
    pub patches: Vec<f32>,
    /// Rows and columns of patches.
    pub grid: (usize, usize),
}

impl Encoder {
    /// Reads the model in `folder`, called `what` in errors: f32 on the processor, bf16 on a GPU (f16 breaks, its
    /// range is too small for the activations).
    ///
    /// # Errors
    /// As `parallax_weights` has them.
    pub fn open(folder: &Path, what: &str, device: &Device) -> std::result::Result<Self, Error> {
        let dtype = if device.is_cuda() { DType::BF16 } else { DType::F32 };
        let opened = Opened::at(folder)?;
        opened.check(what)?;
        opened.checkpoint.check_values(|_| dtype)?;
        let network = opened.build(what, dtype, device)?;
        Ok(Self { network, preprocessing: opened.preprocessing })
    }

    /// Width of its vectors.
    pub fn width(&self) -> usize {
        self.network.config().hidden_size
    }

    /// Rows and columns of pixels that the network sees of a picture of (height, width): squashed as it was
    /// published, or of its own shape with the shorter side `shortest_edge`.
    ///
    /// # Errors
    /// When that is nothing, or too large.
    pub fn input_size(
        &self,
        size: (usize, usize),
        shortest_edge: Option<usize>,
    ) -> Result<(usize, usize)> {
        let input = self.manner(shortest_edge).size.of(size)?;
        self.network.config().grid(input)?;
        Ok(input)
    }

    /// What the network sees in a picture's red, green and blue, 0 to 1, row by row, of (height, width); sizes as
    /// [`Encoder::input_size`] has them.
    ///
    /// # Errors
    /// When the size is refused, or a channel has another number of samples.
    pub fn see(
        &self,
        channels: [&[f32]; 3],
        size: (usize, usize),
        shortest_edge: Option<usize>,
    ) -> Result<Seen> {
        let input = normalised(channels, size, &self.manner(shortest_edge))?;
        let features = self.network.forward(&input, &mut ignore)?;
        let (_, rows, columns, _) = features.patches.dims4()?;
        let values = |t: &candle_core::Tensor| -> Result<Vec<f32>> {
            t.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
        };
        let (class, patches) = (values(&features.class)?, values(&features.patches)?);
        Ok(Seen { class, patches, grid: (rows, columns) })
    }

    fn manner(&self, shortest_edge: Option<usize>) -> Preprocessing {
        let own = self.preprocessing.clone();
        match shortest_edge {
            Some(shortest_edge) => Preprocessing { size: Size::Shortest { shortest_edge }, ..own },
            None => own,
        }
    }
}
