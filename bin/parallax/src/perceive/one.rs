//! One film or picture.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use parallax_media::{Picture, Tools, show_path};
use parallax_perception::{
    Keeper, Manner, Of, Pictures, Record, Report, THUMBNAIL, look, look_at_picture,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::args::PerceiveArgs;
use super::progress::{Progress, event};
use super::seer::Seer;
use super::written;
use crate::convert::name::lossless;
use crate::place;

/// Where the results go.
struct Places {
    output: PathBuf,
    report: Option<PathBuf>,
}

impl Places {
    /// Looks at them before any work is done.
    fn of(args: &PerceiveArgs, input: &Path) -> Result<Self> {
        let output = args.output.clone().unwrap_or_else(|| written::beside(input));
        let place = |path: &Path, ending: &str| {
            let ends = path.extension().is_some_and(|end| end.eq_ignore_ascii_case(ending));
            ensure!(ends, "{}: the name must end in .{ending}", show_path(path));
            let path = place::writable(path)?;
            let free = args.overwrite || !path.exists();
            ensure!(free, "{}: exists already; --overwrite replaces it", show_path(&path));
            Ok(path)
        };
        let output = place(&output, "json")?;
        let report = args.report.as_deref().map(|path| place(path, "html")).transpose()?;
        Ok(Self { output, report })
    }
}

/// Looks at the film or picture at `input` and writes what is known of it.
///
/// # Errors
/// The one reason why it cannot be done; nothing is left under the results' names then.
pub(super) fn perceive(
    args: &PerceiveArgs,
    input: &Path,
    seer: &mut Seer,
    stop: &CancellationToken,
) -> Result<()> {
    let places = Places::of(args, input)?;
    let source = digest(input, stop)?;
    let (record, pictures) = looked(args, input, &source, seer, stop)?;
    record.damage().iter().for_each(|line| eprintln!("warning: the film is damaged: {line}"));
    ensure!(!stop.is_cancelled(), "interrupted");
    let json = record.json().map_err(|failure| anyhow!("{failure}"))?;
    let page = places.report.as_ref().map(|path| {
        let html = Report { record: &record, pictures: &pictures }.html();
        (path.as_path(), html.into_bytes())
    });
    // Where there is an analysis, its report is there, too.
    let mut files: Vec<_> = page.into_iter().collect();
    files.push((places.output.as_path(), json));
    written::all(&files)?;
    let frames = record.frames();
    if args.json {
        event(&json!({
            "event": "completed", "input": lossless(input), "output": lossless(&places.output),
            "report": places.report.as_deref().map(lossless), "frames": frames,
            "shots": record.shots.len(), "clusters": record.clusters.count,
        }));
        return Ok(());
    }
    let (shots, looks) = (record.shots.len(), record.clusters.count);
    let counted = format!("{frames} frames, {shots} shots, {looks} different looks");
    eprintln!("{} is ready ({counted})", show_path(&places.output));
    if let Some(report) = &places.report {
        eprintln!("{} is the page to look at", show_path(report));
    }
    Ok(())
}

/// What is known, and a picture of each frame where there is to be a report.
fn looked(
    args: &PerceiveArgs,
    input: &Path,
    source: &Value,
    seer: &mut Seer,
    stop: &CancellationToken,
) -> Result<(Record, Vec<Vec<u8>>)> {
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    let model = seer.model.clone();
    let of = Of { name: &name, source, model: &model };
    let tools: Tools = seer.tools.for_film(args.damaged.damaged);
    let told = |failure: &dyn std::fmt::Display| anyhow!("{}: {failure}", show_path(input));
    let mut pictures = Vec::new();
    if Picture::of(input).is_some() {
        let seen = look_at_picture(&tools, input, seer.embedder()?, stop);
        let seen = seen.map_err(|failure| told(&failure))?;
        if args.report.is_some() {
            pictures.push(seen.jpeg(THUMBNAIL).map_err(|failure| told(&failure))?);
        }
        return Ok((Record::of_picture(&of, seen.class, seen.size), pictures));
    }
    let mut progress = Progress::new(args.json, input);
    let embedder = seer.embedder()?;
    let mut keep = |picture| {
        pictures.push(picture);
        Ok(())
    };
    let kept = Pictures { most_width: Some(THUMBNAIL), keep: &mut keep };
    let mut report = |far| progress.tell(far);
    let mut keeper = Keeper::new(args.report.is_some().then_some(kept), &mut report);
    let manner = Manner { fps: args.frames };
    let looks = look(&tools, input, manner, embedder, stop, &mut keeper);
    let kept = keeper.kept();
    progress.end();
    let looks = looks.map_err(|failure| match failure.field.as_deref() {
        Some("fps") => told(&failure.message.replacen("fps: ", "--frames ", 1)),
        _ => told(&failure),
    })?;
    Ok((Record::of_film(&of, args.frames, &looks, kept), pictures))
}

/// What tells a file from others: as the server has it of what comes within a request.
fn digest(path: &Path, stop: &CancellationToken) -> Result<Value> {
    let context = || format!("{}: cannot be read", show_path(path));
    let mut file = std::fs::File::open(path).with_context(context)?;
    let (mut digest, mut part) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        ensure!(!stop.is_cancelled(), "interrupted");
        match std::io::Read::read(&mut file, &mut part).with_context(context)? {
            0 => break,
            read => digest.update(&part[..read]),
        }
    }
    let digits: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(json!(format!("sha256:{digits}")))
}
