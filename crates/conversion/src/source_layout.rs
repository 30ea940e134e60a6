//! Sources that hold two views already: told before they are converted as if they were flat, and
//! one eye of them taken on request.

use std::fmt;
use std::str::FromStr;

use parallax_media::{
    Crop, DecodeOptions, Error, Media, Result, StereoMode, Tools, packing_of_stream,
};
use parallax_stereo::Layout;
use tokio_util::sync::CancellationToken;

/// What a source is, as somebody says who knows better than the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceLayout {
    /// One view, whatever the file declares.
    Flat,
    /// Two views, of which one is taken.
    Eye {
        /// How the two share a picture.
        layout: Layout,
        /// The left eye's view is taken, else the right one's.
        left: bool,
    },
}

/// Layouts of two whole views in a picture.
const LAYOUTS: [Layout; 5] =
    [Layout::FullSbs, Layout::HalfSbs, Layout::FullTb, Layout::HalfTb, Layout::CrossEyed];

impl FromStr for SourceLayout {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, Self::Err> {
        if name == "flat" {
            return Ok(Self::Flat);
        }
        let eye = name.rsplit_once('-').and_then(|(layout, eye)| {
            let layout = LAYOUTS.into_iter().find(|known| known.to_string() == layout)?;
            let left = match eye {
                "left" => true,
                "right" => false,
                _ => return None,
            };
            Some(Self::Eye { layout, left })
        });
        eye.ok_or_else(|| {
            let names: Vec<String> =
                LAYOUTS.iter().map(|layout| format!("{layout}-left")).collect();
            format!("allowed are flat, {}, and the same with -right", names.join(", "))
        })
    }
}

impl fmt::Display for SourceLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flat => f.write_str("flat"),
            Self::Eye { layout, left } => {
                write!(f, "{layout}-{}", if *left { "left" } else { "right" })
            }
        }
    }
}

/// What the file that `media` describes says of two views, and where: in its container, or in the
/// stream itself. Names of files and the look of pictures are no declarations.
///
/// # Errors
/// As [`packing_of_stream`].
pub fn declared_views(
    tools: &Tools,
    media: &Media,
    cancel: &CancellationToken,
) -> Result<Option<String>> {
    if let Some(views) = &media.video.views {
        return Ok(Some(format!("{views}, as its container says")));
    }
    let coded = ["h264", "hevc"].contains(&media.video.codec.as_str());
    let stream = if coded { packing_of_stream(tools, media, cancel)? } else { None };
    Ok(stream.map(|mode| {
        let views = match mode {
            StereoMode::SideBySide => "side by side",
            StereoMode::SideBySideRightFirst => "side by side, right view first",
            StereoMode::TopBottom => "top and bottom",
        };
        format!("{views}, as its stream says")
    }))
}

/// How the pictures of a source are taken: whole, or the one eye that `said` asks for.
///
/// # Errors
/// When the source declares two views and nobody said what to do about it, or when the picture is
/// too small to be halved.
pub fn one_view(
    tools: &Tools,
    media: &Media,
    said: Option<SourceLayout>,
    cancel: &CancellationToken,
) -> Result<DecodeOptions> {
    match said {
        Some(SourceLayout::Flat) => Ok(DecodeOptions::default()),
        Some(SourceLayout::Eye { layout, left }) => eye(media, layout, left),
        None => match declared_views(tools, media, cancel)? {
            None => Ok(DecodeOptions::default()),
            Some(views) => Err(already_stereoscopic(media, &views)),
        },
    }
}

/// The refusal of a source whose `views` are declared.
pub(crate) fn already_stereoscopic(media: &Media, views: &str) -> Error {
    let what = if views.starts_with("MV-HEVC") {
        "flat to convert the view that ordinary players show"
    } else {
        "to convert one eye of it, such as half-sbs-left or full-tb-right, or flat if it is flat \
         after all"
    };
    Error::input(
        &media.path,
        format!("already stereoscopic ({views}); pass --source-layout {what}"),
    )
}

fn eye(media: &Media, layout: Layout, left: bool) -> Result<DecodeOptions> {
    let (width, height) = (media.video.format.width, media.video.format.height);
    let across = !matches!(layout, Layout::FullTb | Layout::HalfTb);
    // The right eye of crossed eyes is first.
    let first = left != (layout == Layout::CrossEyed);
    let side = if across { width } else { height };
    // Even, so that no chroma sample belongs to both.
    let half = (side / 2) & !1;
    if half == 0 {
        return Err(Error::input(&media.path, format!("{width}x{height} cannot be halved")));
    }
    let start = if first { 0 } else { side.div_ceil(2).next_multiple_of(2).min(side - half) };
    let crop = if across {
        Crop { x: start, y: 0, width: half, height }
    } else {
        Crop { x: 0, y: start, width, height: half }
    };
    let stretch = match layout {
        Layout::HalfSbs => Some((2, 1)),
        Layout::HalfTb => Some((1, 2)),
        _ => None,
    };
    Ok(DecodeOptions { crop: Some(crop), stretch, ..DecodeOptions::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_named_with_an_eye() {
        for name in ["flat", "full-sbs-left", "half-tb-right", "cross-eyed-left"] {
            assert_eq!(name.parse::<SourceLayout>().unwrap().to_string(), name);
        }
        for name in ["sbs", "full-sbs", "full-sbs-both", "anaglyph-left", ""] {
            let said = name.parse::<SourceLayout>().unwrap_err();
            assert!(said.contains("half-sbs-left"), "{said}");
        }
    }
}
