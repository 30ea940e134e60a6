//! All films and pictures of a folder, one after the other: what fails does not stop the rest.

use anyhow::{Result, bail};
use parallax_media::show_path;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::args::PerceiveArgs;
use super::progress::event;
use super::seer::Seer;
use super::{one, written};
use crate::convert::folder::{Found, list, result};
use crate::convert::name::lossless;

/// Whether all went well.
pub(super) fn perceive(
    args: &PerceiveArgs,
    seer: &mut Seer,
    stop: &CancellationToken,
) -> Result<bool> {
    let mut found = Found::default();
    list(&args.input, args.recursive, &mut found)?;
    let Found { files, unlisted } = found;
    if files.is_empty() && unlisted.is_empty() {
        let more = if args.recursive { "" } else { "; --recursive looks below it, too" };
        let shown = show_path(&args.input);
        bail!("{shown}: holds no films and no pictures, by the endings of their names{more}");
    }
    unlisted.iter().for_each(|(_, why)| eprintln!("error: {why}"));
    let (mut done, mut skipped, mut failed) = (0, 0, unlisted.len());
    for (number, file) in (1..).zip(&files) {
        if stop.is_cancelled() {
            return Ok(false);
        }
        let name = show_path(file);
        let there = "its analysis is there already; --overwrite makes it again";
        let there = (!args.overwrite && written::beside(file).exists()).then_some(there);
        if let Some(why) = result(file).or(there) {
            tell(
                args,
                &format!("{name} is skipped: {why}"),
                &json!({
                    "event": "skipped", "input": lossless(file), "reason": why,
                }),
            );
            skipped += 1;
            continue;
        }
        let of = files.len();
        tell(
            args,
            &format!("file {number} of {of}: {name}"),
            &json!({
                "event": "file", "input": lossless(file), "number": number, "of": of,
            }),
        );
        match one::perceive(args, file, seer, stop) {
            Ok(()) => done += 1,
            Err(_) if stop.is_cancelled() => return Ok(false),
            Err(error) => {
                eprintln!("error: {error:#}");
                failed += 1;
            }
        }
    }
    tell(
        args,
        &format!("{done} looked at, {skipped} skipped, {failed} failed"),
        &json!({
            "event": "summary", "perceived": done, "skipped": skipped, "failed": failed,
        }),
    );
    Ok(failed == 0)
}

fn tell(args: &PerceiveArgs, text: &str, said: &serde_json::Value) {
    if args.json { event(said) } else { eprintln!("{text}") }
}
