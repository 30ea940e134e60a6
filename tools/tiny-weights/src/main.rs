//! `parallax-tiny-weights DIR [SEED]`: models of a few hundred kilobytes for trying the whole pipeline
//! without the published weights. What they paint means nothing.

use std::path::Path;

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (dir, seed) = match args.as_slice() {
        [dir] => (dir, 0),
        [dir, seed] => (dir, seed.parse().with_context(|| format!("seed {seed:?}"))?),
        _ => bail!("usage: parallax-tiny-weights DIR [SEED]"),
    };
    parallax_tiny_weights::write(Path::new(dir), seed)
}
