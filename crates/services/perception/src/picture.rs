//! Pictures from files, as the model takes them.

use std::path::Path;

use parallax_dinov3::Seen;
use parallax_frame::Frame;
use parallax_media::{Error, Kind, Picture, Tools, read_still};
use parallax_serving::{Failure, FailureKind};
use parallax_stereo::{Plane, Rgb};
use tokio_util::sync::CancellationToken;

use crate::embedder::Embedder;
use crate::jpeg::jpeg;

/// Most pixels on either side of a picture: on the way to the network's size, one side is there as it was.
const MOST_SIDE: u32 = 16_384;

/// Red, green and blue of a picture, upright.
#[derive(Debug)]
pub struct Channels(pub(crate) [Plane; 3]);

impl Channels {
    /// Those of a decoded picture.
    ///
    /// # Errors
    /// `Invalid` when its colours are of a kind that nothing here knows.
    pub(crate) fn of(frame: &Frame) -> Result<Self, Failure> {
        let rgb = Rgb::of(frame.format());
        let rgb = rgb.map_err(|error| Failure::new(FailureKind::Invalid, error.to_string()))?;
        Ok(Self(rgb.planes(frame)))
    }

    /// Reads the picture at `path`: JPEG, PNG or WebP.
    ///
    /// # Errors
    /// `Invalid` when it is none, or damaged.
    pub(crate) fn read(
        tools: &Tools,
        path: &Path,
        cancel: &CancellationToken,
    ) -> Result<Self, Failure> {
        let Some(kind) = Picture::of(path) else {
            let message = "not a picture; allowed are JPEG, PNG and WebP";
            return Err(Failure::new(FailureKind::Invalid, message));
        };
        let still = read_still(tools, path, kind, cancel).map_err(|e| failure(&e, path))?;
        let (width, height) = (still.frame.format().width, still.frame.format().height);
        if width.max(height) > MOST_SIDE {
            let message =
                format!("a picture of {width}x{height}: at most {MOST_SIDE} on each side");
            return Err(Failure::new(FailureKind::Invalid, message));
        }
        Self::of(&still.frame)
    }

    /// Width and height.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.0[0].width(), self.0[0].height())
    }

    /// What the model sees in it.
    ///
    /// # Errors
    /// As [`Embedder::see`].
    pub(crate) fn seen_by(
        &self,
        model: &Embedder,
        shortest_edge: Option<usize>,
    ) -> Result<Seen, Failure> {
        let (width, height) = self.size();
        let [r, g, b] = &self.0;
        model.see([r.data(), g.data(), b.data()], (height, width), shortest_edge)
    }
}

/// A picture that was looked at.
#[derive(Debug)]
pub struct Pictured {
    /// The class token, as the network gives it.
    pub class: Vec<f32>,
    /// Width and height.
    pub size: (usize, usize),
    rgb: Channels,
}

impl Pictured {
    /// A JPEG of it, at most `width` pixels wide.
    ///
    /// # Errors
    /// `Internal`.
    pub fn jpeg(&self, width: usize) -> Result<Vec<u8>, Failure> {
        jpeg(&self.rgb.0, Some(width))
    }
}

/// Looks at the picture at `path`, the whole of it squashed as the model was published, which is how the frames of
/// films are looked at.
///
/// # Errors
/// `Invalid` when it is none, or damaged; `Internal`.
pub fn look_at_picture(
    tools: &Tools,
    path: &Path,
    model: &Embedder,
    cancel: &CancellationToken,
) -> Result<Pictured, Failure> {
    let rgb = Channels::read(tools, path, cancel)?;
    Ok(Pictured { class: rgb.seen_by(model, None)?.class, size: rgb.size(), rgb })
}

/// What a caller is told of a file that cannot be read: never a path of this machine.
pub(crate) fn failure(error: &Error, path: &Path) -> Failure {
    let folder = path.parent().unwrap_or(path).display().to_string();
    let text = error.to_string().replace(&path.display().to_string(), "the input");
    let text = text.replace(&folder, "");
    match error.kind() {
        Kind::Input => Failure::new(FailureKind::Invalid, text),
        Kind::Cancelled => Failure::cancelled(),
        Kind::Tool | Kind::Space => {
            let message = "there is no room for temporary files, or ffmpeg is missing";
            Failure::new(FailureKind::Unavailable, message).with_detail(text)
        }
        Kind::Io | Kind::Output => Failure::internal(text),
    }
}
