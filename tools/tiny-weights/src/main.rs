//! `parallax-tiny-weights DIR [SEED]`: models of a few hundred kilobytes for trying the whole pipeline
//! without the published weights. What they paint means nothing. With `--hollow` in place of a seed
//! they have the published sizes and only zeros, as holes: for measuring what reading them takes. With
//! `--small-depth` they are the small depth networks in their published sizes, random: for measuring those.

use std::path::Path;

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (dir, seed) = match args.as_slice() {
        [dir] => (dir, 0),
        [dir, hollow] if hollow == "--hollow" => {
            return parallax_tiny_weights::write_hollow(Path::new(dir));
        }
        [dir, depth] if depth == "--small-depth" => {
            return parallax_tiny_weights::write_small_depth(Path::new(dir), 0);
        }
        [dir, seed] => (dir, seed.parse().with_context(|| format!("seed {seed:?}"))?),
        _ => bail!("usage: parallax-tiny-weights DIR [SEED | --hollow | --small-depth]"),
    };
    parallax_tiny_weights::write(Path::new(dir), seed)?;
    parallax_tiny_weights::write_depth(Path::new(dir), seed)?;
    parallax_tiny_weights::write_animation(Path::new(dir), seed)?;
    parallax_tiny_weights::write_perception(Path::new(dir), seed)?;
    parallax_tiny_weights::write_captions(Path::new(dir), seed)
}
