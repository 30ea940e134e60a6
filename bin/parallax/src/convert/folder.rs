//! All films and pictures of a folder, one after the other: what fails does not stop the rest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use parallax_conversion::tag;
use parallax_media::{Picture, show_path};
use parallax_stereo::Layout;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::ending::Ending;
use super::name::{beside, lossless};
use super::progress::Reporter;
use super::{one, still};
use crate::cli::ConvertArgs;
use crate::interruption::{self, INTERRUPTED};

/// How names of films end.
const FILMS: [&str; 22] = [
    "3gp", "avi", "flv", "gif", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf",
    "ogm", "ogv", "qt", "ts", "vob", "webm", "wmv", "asf", "m2v",
];
/// How names of pictures end, those that are refused with a way on among them.
const PICTURES: [&str; 7] = ["jpg", "jpeg", "jpe", "png", "webp", "heic", "avif"];
/// What `parallax preview` adds to the name of a film.
const PREVIEW: &str = "_preview";

/// What became of the files.
#[derive(Debug, Default)]
struct Summary {
    converted: usize,
    skipped: usize,
    /// Files, folders that cannot be listed, and why.
    failed: Vec<(PathBuf, String)>,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) files: Vec<PathBuf>,
    /// Folders below it that cannot be listed, and why.
    pub(crate) unlisted: Vec<(PathBuf, String)>,
}

pub(super) fn main(mut args: ConvertArgs) -> ExitCode {
    let reporter = Reporter::new(args.json);
    match run(&mut args, &reporter) {
        Ok(code) => code,
        Err(error) => {
            reporter.error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &mut ConvertArgs, reporter: &Reporter) -> Result<ExitCode> {
    let folder = args.input.clone();
    let shown = show_path(&folder);
    ensure!(
        args.output.is_none(),
        "--output names one file, and {shown} is a folder: leave it out"
    );
    ensure!(
        args.state_dir.is_none(),
        "--state-dir keeps one conversion, and {shown} is a folder: leave it out"
    );
    let mut found = Found::default();
    list(&folder, args.recursive, &mut found)?;
    let Found { files, unlisted } = found;
    if files.is_empty() && unlisted.is_empty() {
        let more = if args.recursive { "" } else { "; --recursive looks below it, too" };
        bail!("{shown}: holds no films and no pictures, by the endings of their names{more}");
    }
    let films = files.iter().any(|file| Picture::of(file).is_none());
    if let (false, true, Some(flag)) = (films, unlisted.is_empty(), still::option_of_films(args)) {
        bail!("{flag} is for films, and {shown} holds pictures alone: leave it out");
    }
    let stop = CancellationToken::new();
    let runtime = interruption::cancels(&stop)?;
    unlisted.iter().for_each(|(_, why)| reporter.error(why));
    let all = files.len() + unlisted.len();
    let summary = Summary { failed: unlisted, ..Summary::default() };
    let summary = convert(args, &files, summary, reporter, &stop);
    runtime.shutdown_background();
    summary.tell(reporter, all);
    Ok(match (stop.is_cancelled(), summary.failed.is_empty()) {
        (true, _) => ExitCode::from(INTERRUPTED),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
}

fn convert(
    args: &mut ConvertArgs,
    files: &[PathBuf],
    mut summary: Summary,
    reporter: &Reporter,
    stop: &CancellationToken,
) -> Summary {
    // What is made, and of the first source that would make it.
    let mut makers: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for file in files.iter().filter(|file| result(file).is_none()) {
        for result in results(file, args).unwrap_or_default() {
            makers.entry(result).or_insert_with(|| file.clone());
        }
    }
    for (number, file) in (1..).zip(files) {
        if stop.is_cancelled() {
            break;
        }
        let name = show_path(file);
        let skipped = |why: &str| {
            let said = json!({"event": "skipped", "input": lossless(file), "reason": why});
            reporter.noted(&format!("{name} is skipped: {why}"), &said);
        };
        let source = makers.get(file).filter(|&maker| maker != file);
        let made_of = source.map(|source| format!("it is the result of {}", show_path(source)));
        let why = result(file).map(str::to_owned).or(made_of);
        if let Some(why) = why.or_else(|| spared(file, args)) {
            skipped(&why);
            summary.skipped += 1;
            continue;
        }
        let results = results(file, args).unwrap_or_default();
        let other = results.iter().find_map(|result| makers.get(result).filter(|m| *m != file));
        if let Some(other) = other {
            let why = format!(
                "{name}: its result would have the name of that of {}; convert it by itself, with --output",
                show_path(other)
            );
            reporter.error(&why);
            summary.failed.push((file.clone(), why));
            continue;
        }
        if !args.overwrite && results.iter().any(|result| result.exists()) {
            skipped("its result is there already; --overwrite makes it again");
            summary.skipped += 1;
            continue;
        }
        let count = files.len();
        let said = json!({"event": "file", "input": lossless(file), "number": number, "of": count});
        reporter.noted(&format!("file {number} of {count}: {name}"), &said);
        args.input.clone_from(file);
        match one::convert(args, &Arc::new(Reporter::new(args.json)), stop) {
            Ending::Completed => summary.converted += 1,
            Ending::Failed(why) => summary.failed.push((file.clone(), why)),
            Ending::Interrupted => stop.cancel(),
        }
    }
    summary
}

impl Summary {
    fn tell(&self, reporter: &Reporter, files: usize) {
        let (converted, skipped, failed) = (self.converted, self.skipped, self.failed.len());
        let left = files - converted - skipped - failed;
        let mut message = format!("{converted} converted, {skipped} skipped, {failed} failed");
        if left > 0 {
            message += &format!(", {left} not done");
        }
        for (file, _) in &self.failed {
            message += &format!("\nfailed: {}", show_path(file));
        }
        let failures: Vec<_> = self
            .failed
            .iter()
            .map(|(file, why)| json!({"input": lossless(file), "message": why}))
            .collect();
        let said = json!({
            "event": "summary",
            "converted": converted,
            "skipped": skipped,
            "failed": failures,
            "not_done": left,
        });
        reporter.noted(&message, &said);
    }
}

/// Appends the films and pictures of `folder` by the endings of their names, in their order; nothing of
/// those whose names begin with a dot. Of folders below it that cannot be listed it is noted why.
///
/// # Errors
/// When `folder` itself cannot be listed.
pub(crate) fn list(folder: &Path, recursive: bool, found: &mut Found) -> Result<()> {
    let context = || format!("{}: cannot be listed", show_path(folder));
    let mut entries = fs::read_dir(folder)
        .with_context(context)?
        .collect::<std::io::Result<Vec<_>>>()
        .with_context(context)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        // Links to folders are not followed: they may lead back here.
        if entry.file_type().with_context(context)?.is_dir() {
            if recursive && let Err(error) = list(&path, recursive, found) {
                found.unlisted.push((path, format!("{error:#}")));
            }
        } else if path.is_file() && (ends(&path, &FILMS) || ends(&path, &PICTURES)) {
            found.files.push(path);
        }
    }
    Ok(())
}

fn ends(path: &Path, endings: &[&str]) -> bool {
    let found = path.extension().unwrap_or_default();
    endings.iter().any(|ending| found.eq_ignore_ascii_case(ending))
}

/// Why the file at `path` is no source: it has the name of something that was made here.
pub(crate) fn result(path: &Path) -> Option<&'static str> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    if Layout::ALL.into_iter().any(|layout| stem.ends_with(tag(layout))) {
        return Some("its name is that of a result; convert it by itself if it is not");
    }
    let preview = stem.ends_with(PREVIEW) && ends(path, &["png"]);
    preview.then_some("its name is that of a preview; convert it by itself if it is not")
}

/// Why the file at `path` is no source of what is asked for: of films, and it is a picture.
fn spared(path: &Path, args: &ConvertArgs) -> Option<String> {
    Picture::of(path)?;
    let flag = still::option_of_films(args)?;
    Some(format!("{flag} is for films, and this is a picture; convert it without"))
}

/// What may be made of the file at `path`.
fn results(path: &Path, args: &ConvertArgs) -> Result<Vec<PathBuf>> {
    let endings: &[&str] = match Picture::of(path) {
        Some(picture) => &[picture.extension()],
        None => &["mp4", "mkv"],
    };
    let named = |ending: &&str| beside(path, args.layout, &args.pictures.name, ending);
    endings.iter().map(named).collect()
}
