//! Networks of files that come without a configuration: their tensors' shapes tell all but the blocks that
//! the head takes.

use crate::config::{Config, Output, Temporal, Transformer};
use crate::layout::Layout;

/// Width of a head in all published encoders; narrower ones are none of them.
const HEAD: usize = 64;

impl Config {
    /// The network of a file with the names of `layout`, by the shapes of its tensors; `None` where one that
    /// tells something is not there.
    pub fn of_shapes<'a>(
        layout: Layout,
        shape: impl Fn(&str) -> Option<&'a [usize]>,
    ) -> Option<Self> {
        let (encoder, head) = match layout {
            Layout::DepthAnything => ("pretrained", "depth_head"),
            Layout::Video => ("pretrained", "head"),
            Layout::DepthAnything3 => ("model.backbone.pretrained", "model.head"),
            Layout::Transformers => return None,
        };
        let of =
            |name: String, axis: usize| shape(&name).and_then(|shape| shape.get(axis)).copied();
        let width = of(format!("{encoder}.cls_token"), 2).filter(|&width| width > 0)?;
        let positions = of(format!("{encoder}.pos_embed"), 1)?.checked_sub(1)?;
        let block = |i: usize| of(format!("{encoder}.blocks.{i}.mlp.fc1.weight"), 0);
        let blocks = (0..).take_while(|&i| block(i).is_some()).count();
        let project = |i: usize| of(format!("{head}.projects.{i}.weight"), 0);
        let frames = "head.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.pos_encoder.pe";
        let small = Self::small();
        Some(Self {
            transformer: Transformer {
                width,
                heads: if width.is_multiple_of(HEAD) { width / HEAD } else { 1 },
                blocks,
                mlp_ratio: block(0)? / width,
                patch: of(format!("{encoder}.patch_embed.proj.weight"), 2)?,
                table: positions.isqrt(),
                final_epsilon: match layout {
                    Layout::DepthAnything3 => Self::mono_large().transformer.final_epsilon,
                    _ => small.transformer.final_epsilon,
                },
                ..small.transformer
            },
            taken: taken(blocks)?,
            reassembled: [project(0)?, project(1)?, project(2)?, project(3)?],
            features: of(format!("{head}.scratch.layer1_rn.weight"), 0)?,
            hidden: of(format!("{head}.scratch.output_conv2.0.weight"), 0)?,
            output: match layout {
                Layout::DepthAnything3 => Output::ExponentialWithSky,
                _ => Output::Relative,
            },
            temporal: match layout {
                Layout::Video => Some(Temporal { heads: 8, frames: of(frames.to_owned(), 1)? }),
                _ => None,
            },
        })
    }
}

/// The blocks that the head takes of so many: those of the published networks, or the last of each quarter.
fn taken(blocks: usize) -> Option<[usize; 4]> {
    match blocks {
        0..4 => None,
        24 => Some(Config::large().taken),
        _ => Some([1, 2, 3, 4].map(|quarter| quarter * blocks / 4 - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_blocks_are_taken() {
        assert_eq!(taken(12), Some(Config::small().taken));
        assert_eq!(taken(24), Some(Config::large().taken));
        assert_eq!(taken(4), Some([0, 1, 2, 3]));
        assert_eq!(taken(3), None);
    }
}
