//! Whether what a network gave are numbers.
//!
//! A sum is finite only if every value is, so one sum over a window, a tile or a decoded run is the whole
//! check: one reduction on the device and four bytes back, after work of seconds. Values are counted only
//! when the sum is not finite. Image encoder and VAE encoder are not looked at by themselves: what they
//! give goes into a denoiser, which passes NaN on, and is looked at when that one's latents are wrong.

use std::fmt;
use std::ops::Range;

use candle_core::{D, DType, Error, Result, Tensor};
use parallax_stereo::Odd;

/// What computed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    ImageEncoder,
    Encoder,
    Denoiser,
    Decoder,
}

impl Network {
    /// Whether its type can be chosen; the others are f32 always.
    pub(crate) fn has_a_choice(self) -> bool {
        matches!(self, Self::Denoiser | Self::Decoder)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ImageEncoder => "the image encoder",
            Self::Encoder => "the VAE's encoder",
            Self::Denoiser => "the denoiser",
            Self::Decoder => "the VAE's decoder",
        })
    }
}

/// What a network gave that are no numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoNumbers {
    pub(crate) network: Network,
    /// Frames, counted as the caller counts them.
    pub(crate) frames: Range<usize>,
    /// Which tile of their pictures, counted from 1, where there are several.
    pub(crate) tile: Option<usize>,
    pub(crate) found: Odd,
}

impl NoNumbers {
    /// The frames and the tile, with frame 0 of the caller's being `first`.
    pub(crate) fn place(&self, first: i64) -> String {
        let frame = |i: usize| first + i as i64;
        let last = self.frames.end.saturating_sub(1).max(self.frames.start);
        let frames = match (frame(self.frames.start), frame(last)) {
            (one, last) if one == last => format!("frame {one}"),
            (start, last) => format!("frames {start} to {last}"),
        };
        self.tile.map_or_else(|| frames.clone(), |tile| format!("{frames}, tile {tile}"))
    }
}

impl fmt::Display for NoNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} gave {} for {}", self.network, self.found, self.place(0))
    }
}

impl std::error::Error for NoNumbers {}

impl From<NoNumbers> for Error {
    fn from(found: NoNumbers) -> Self {
        Self::WrappedContext { context: found.to_string(), wrapped: Box::new(found) }
    }
}

/// What `error` says of numbers, if it is about them.
pub(crate) fn found(error: &Error) -> Option<&NoNumbers> {
    match error {
        Error::WrappedContext { wrapped, .. } => wrapped.downcast_ref(),
        Error::WithBacktrace { inner, .. } | Error::Context { inner, .. } => found(inner),
        _ => None,
    }
}

/// What is wrong with `values`, if anything.
pub(crate) fn odd(values: &Tensor) -> Result<Option<Odd>> {
    let values = values.to_dtype(DType::F32)?;
    // By rows first, so that a GPU has something to share out.
    let sum = values.sum(D::Minus1)?.sum_all()?.to_scalar::<f32>()?;
    if sum.is_finite() {
        return Ok(None);
    }
    // A sum of finite values can leave the type too.
    Ok(Odd::among(&values.flatten_all()?.to_vec1::<f32>()?))
}

/// Refuses `values` of a network that are no numbers. Where one of the networks that `after` names had
/// given none before, it is to blame.
pub(crate) fn look(
    values: &Tensor,
    network: Network,
    frames: Range<usize>,
    tile: Option<usize>,
    after: &[(Network, &Tensor)],
) -> Result<()> {
    let Some(found) = odd(values)? else { return Ok(()) };
    for &(network, given) in after {
        if let Some(found) = odd(given)? {
            return Err(NoNumbers { network, frames, tile, found }.into());
        }
    }
    Err(NoNumbers { network, frames, tile, found }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn one_value_in_any_place_is_found_and_large_ones_are_numbers() {
        let filled = |place: usize, value: f32| {
            let mut values = vec![0.5f32; 2 * 3 * 5 * 7];
            values[place] = value;
            Tensor::from_vec(values, (2, 3, 5, 7), &Device::Cpu).unwrap()
        };
        for place in [0, 100, 209] {
            let found = odd(&filled(place, f32::NAN)).unwrap().unwrap();
            assert_eq!((found.nan, found.infinite, found.values), (1, 0, 210));
            let found = odd(&filled(place, f32::NEG_INFINITY)).unwrap().unwrap();
            assert_eq!((found.nan, found.infinite), (0, 1));
            let half = filled(place, 1e6).to_dtype(DType::F16).unwrap();
            assert_eq!(odd(&half).unwrap().unwrap().infinite, 1);
        }
        assert_eq!(odd(&filled(3, f32::MAX)).unwrap(), None);
        let large = Tensor::full(f32::MAX, (4, 4), &Device::Cpu).unwrap();
        assert_eq!(odd(&large).unwrap(), None, "whose sum is infinite");
    }

    #[test]
    fn the_first_network_that_gave_none_is_to_blame_and_its_frames_are_told() {
        let good = Tensor::ones((2, 2), DType::F32, &Device::Cpu).unwrap();
        let bad = (&good * f64::NAN).unwrap();
        let told = |token: &Tensor, images: &Tensor| {
            let after = [(Network::ImageEncoder, token), (Network::Encoder, images)];
            let error = look(&bad, Network::Denoiser, 5..9, Some(2), &after).unwrap_err();
            found(&error).cloned().unwrap()
        };
        assert_eq!(told(&good, &bad).network, Network::Encoder);
        assert_eq!(told(&bad, &bad).network, Network::ImageEncoder);
        let own = told(&good, &good);
        assert_eq!(
            (own.network, own.place(-6)),
            (Network::Denoiser, "frames -1 to 2, tile 2".into())
        );
        assert_eq!(NoNumbers { frames: 3..4, tile: None, ..own }.place(10), "frame 13");
        look(&good, Network::Denoiser, 0..1, None, &[(Network::Encoder, &bad)]).unwrap();
        assert_eq!(found(&Error::Msg("another".into())), None);
    }
}
