//! Sources that hold two views already: told before they are converted as if they were flat, and
//! one eye of them taken on request.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use parallax_media::{
    Crop, DecodeOptions, Error, Media, Result, StereoMode, Tools, packing_of_stream, probe,
};
use parallax_stereo::Layout;
use tokio_util::sync::CancellationToken;

use crate::inspect::{self, Guess};
use crate::names;

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
/// stream itself. Names of files and the look of pictures are no declarations: [`one_view`] weighs them.
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

/// How a source is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Views {
    /// What happens to its pictures first: nothing, or one eye is taken.
    pub pictures: DecodeOptions,
    /// What its name says and its pictures do not look like.
    pub warning: Option<String>,
}

impl From<DecodeOptions> for Views {
    fn from(pictures: DecodeOptions) -> Self {
        Self { pictures, warning: None }
    }
}

/// How the pictures of a source are taken: whole, or the one eye that `said` asks for.
///
/// Where nobody said anything, the source's declarations count, then its name: a suffix that results
/// get here is believed unless the pictures surely look like something else, and words that players
/// look for when the pictures look alike.
///
/// # Errors
/// When the source has two views and nobody said what to do about it, or when the picture is too small
/// to be halved; when its pictures cannot be read.
pub fn one_view(
    tools: &Tools,
    media: &Media,
    said: Option<SourceLayout>,
    cancel: &CancellationToken,
) -> Result<Views> {
    match said {
        Some(SourceLayout::Flat) => Ok(DecodeOptions::default().into()),
        Some(SourceLayout::Eye { layout, left }) => Ok(eye(media, layout, left)?.into()),
        None => match declared_views(tools, media, cancel)? {
            Some(views) => Err(already_stereoscopic(media, &views)),
            None => {
                let warning = named_views(tools, media, cancel)?;
                Ok(Views { pictures: DecodeOptions::default(), warning })
            }
        },
    }
}

/// Pictures that are looked at where a name says something.
const LOOKS: usize = 6;

/// Refuses a source whose name and pictures say that it has two views; what its name says alone comes
/// back as a warning.
fn named_views(tools: &Tools, media: &Media, cancel: &CancellationToken) -> Result<Option<String>> {
    let (own, named) = (names::tagged(&media.path), names::named(&media.path));
    if own.or(named).is_none() && !names::says_3d(&media.path) {
        return Ok(None);
    }
    let guess = inspect::look(tools, media, LOOKS, cancel)?;
    match weigh(own, named, guess) {
        Weighed::Refused(views) => Err(already_stereoscopic(media, &views)),
        Weighed::Told(what) => Ok(Some(what)),
        Weighed::Nothing => Ok(None),
    }
}

/// What a name and the look of the pictures come to.
#[derive(Debug, PartialEq, Eq)]
enum Weighed {
    Refused(String),
    Told(String),
    Nothing,
}

/// `own` is the layout whose very suffix the name has, `named` the one of its words.
fn weigh(own: Option<Layout>, named: Option<Layout>, guess: Guess) -> Weighed {
    let Some(layout) = own.or(named) else {
        // The name says 3D, which is said of flat films too.
        return match guess.layout.filter(|_| guess.sure) {
            Some(seen) => Weighed::Refused(format!("{seen}, as its pictures and its name say")),
            None => Weighed::Nothing,
        };
    };
    let alike = guess.layout.is_some_and(|seen| arrangement(seen) == arrangement(layout));
    if alike {
        return Weighed::Refused(format!("{layout}, as its name says and its pictures look"));
    }
    if own.is_some() && !guess.sure {
        return Weighed::Refused(format!("{layout}, as its name says: results here are called so"));
    }
    let looks = match (guess.layout, guess.sure) {
        (Some(seen), true) => format!("like {seen}"),
        (None, true) => "like one flat picture".to_owned(),
        _ => "like nothing that can be told".to_owned(),
    };
    Weighed::Told(format!(
        "the name of the source says {layout}, but its pictures look {looks}: they are taken as one \
         flat picture; --source-layout takes one eye of them"
    ))
}

/// Where the views of a layout are: pictures do not tell more.
fn arrangement(layout: Layout) -> u8 {
    match layout {
        Layout::FullSbs | Layout::HalfSbs | Layout::CrossEyed | Layout::Vr180 => 0,
        Layout::FullTb | Layout::HalfTb => 1,
        Layout::Rgbd => 2,
        _ if layout.is_anaglyph() => 3,
        _ => 4,
    }
}

/// Refuses a file that declares two views, for whoever converts flat pictures only.
///
/// # Errors
/// When it does, or cannot be read.
pub fn refuse_views(tools: &Tools, path: &Path, cancel: &CancellationToken) -> Result<()> {
    let media = probe(tools, path, cancel)?;
    let Some(views) = declared_views(tools, &media, cancel)? else { return Ok(()) };
    let what = format!(
        "already stereoscopic ({views}); a copy of one eye is needed, such as by \
         ffmpeg -vf crop=iw/2:ih:0:0"
    );
    Err(Error::input(path, what))
}

/// The refusal of a source whose `views` are declared.
pub(crate) fn already_stereoscopic(media: &Media, views: &str) -> Error {
    let what = if views.starts_with("MV-HEVC") {
        "flat to convert the view that ordinary players show"
    } else if views.starts_with("anaglyph") {
        "flat to convert it as the one picture that it is"
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
    fn names_are_weighed_with_what_pictures_look_like() {
        let flat = Guess { layout: None, sure: true };
        let unknown = Guess { layout: None, sure: false };
        let perhaps = |layout| Guess { layout: Some(layout), sure: false };
        let surely = |layout| Guess { layout: Some(layout), sure: true };
        let (tb, sbs) = (Some(Layout::HalfTb), Some(Layout::HalfSbs));
        let refused = |own, named, guess| matches!(weigh(own, named, guess), Weighed::Refused(_));
        let told = |own, named, guess| matches!(weigh(own, named, guess), Weighed::Told(_));
        assert!(refused(tb, tb, unknown) && refused(tb, tb, surely(Layout::FullTb)));
        assert!(told(tb, tb, flat) && told(tb, tb, surely(Layout::HalfSbs)));
        assert!(refused(None, sbs, surely(Layout::FullSbs)));
        assert!(refused(None, sbs, perhaps(Layout::HalfSbs)));
        assert!(told(None, sbs, unknown) && told(None, sbs, flat));
        assert!(refused(None, None, surely(Layout::HalfTb)));
        for guess in [flat, unknown, perhaps(Layout::HalfTb)] {
            assert_eq!(weigh(None, None, guess), Weighed::Nothing);
        }
    }

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
