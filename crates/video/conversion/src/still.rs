//! One picture through an engine.

use std::sync::Arc;

use parallax_frame::{Frame, FrameRate};
use parallax_stereo::{Clip, Engine, Error, Layout, Run, compose_as, shaped_format};

/// The stereo picture that `engine` makes of `frame`, as `layout` packs it.
///
/// # Errors
/// Those of the engine and of the layout.
pub fn convert_still(
    engine: &dyn Engine,
    run: &Run,
    frame: Frame,
    layout: Layout,
) -> Result<Frame, Error> {
    let clip = Clip { format: Arc::clone(frame.format()), rate: FrameRate { num: 25, den: 1 } };
    let mut run = run.clone();
    run.rendering.depth_picture = layout == Layout::Rgbd;
    let mut session = engine.start(&clip, &run)?;
    let mut pairs = session.push(frame)?;
    if pairs.is_empty() {
        pairs = session.finish()?;
    }
    let pair = pairs.into_iter().next();
    let pair = pair
        .ok_or_else(|| Error::Failed(format!("{} gave no pair for the picture", engine.name())))?;
    let (format, _) = shaped_format(layout, &clip.format, (1, 1), false);
    compose_as(&pair, layout, Arc::new(format), (1, 1))
}
