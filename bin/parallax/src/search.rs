//! `parallax search`: frames of analysed films that look like a picture, or like another frame.
//!
//! The analyses themselves are the index: each is read and every frame compared. That is as exact as it gets, and
//! there is nothing beside them that could be stale or lost.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use parallax_media::{Picture, Tools, show_path};
use parallax_perception::{Hit, MOST_BYTES, Maker, NO_WORDS, Stored, look_at_picture, search};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::convert::name::lossless;
use crate::perceive::{SeerArgs, load};

/// How every analysis begins: other files are not read any further.
const BEGINNING: &[u8] = b"{\"format\":\"parallax-perception/";

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// A picture (JPEG, PNG, WebP), or a moment of a film that was looked at: FILM@SECONDS, such as film.mp4@12.5.
    #[arg(value_name = "PICTURE|FILM@SECONDS")]
    like: PathBuf,

    /// The folder of the analyses (.json) that `parallax perceive` made, or one of them.
    #[arg(long = "in", value_name = "FOLDER", default_value = ".")]
    place: PathBuf,

    /// Search the folders below it, too.
    #[arg(long)]
    recursive: bool,

    /// Frames to show at most.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    most: u32,

    #[command(flatten)]
    seer: SeerArgs,

    /// Write the frames as JSON lines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(args: &SearchArgs) -> ExitCode {
    let done = run(args).and_then(|hits| match show(args, &hits) {
        // Whoever has seen enough goes.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        shown => shown.context("write the frames"),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &SearchArgs) -> Result<Vec<Hit>> {
    let query = Query::of(&args.like)?;
    let mut files = Vec::new();
    collect(&args.place, args.recursive, &mut files)?;
    let stored = read(&files);
    let shown = show_path(&args.place);
    ensure!(
        !stored.is_empty(),
        "{shown}: holds no analyses; `parallax perceive FILM` makes one of a film"
    );
    let most = args.most as usize;
    match query {
        Query::Picture(path) => {
            let (vector, maker) = see(args, &path, &stored)?;
            leave_out(&stored, &maker);
            Ok(search((&vector, &maker), &stored, most))
        }
        Query::Moment(film, seconds) => {
            let of = named(&stored, &film)?;
            let frame = of.frame_at(seconds);
            leave_out(&stored, &of.maker);
            let itself = |hit: &Hit| hit.film == of.film && hit.frame_idx == frame;
            let mut hits = search((&of.vectors[frame], &of.maker), &stored, most + 1);
            hits.retain(|hit| !itself(hit));
            hits.truncate(most);
            Ok(hits)
        }
    }
}

/// What is searched for.
#[derive(Debug, PartialEq)]
enum Query {
    Picture(PathBuf),
    /// A film, and seconds from its beginning.
    Moment(String, f64),
}

impl Query {
    fn of(like: &Path) -> Result<Self> {
        let shown = show_path(like);
        if like.is_file() {
            let how = "not a picture; allowed are JPEG, PNG, WebP, and FILM@SECONDS for a moment of a film";
            ensure!(Picture::of(like).is_some(), "{shown}: {how}");
            return Ok(Self::Picture(like.to_owned()));
        }
        let Some((film, seconds)) = like.to_str().and_then(|text| text.rsplit_once('@')) else {
            bail!("{shown}: no such picture. If these are words: {NO_WORDS}");
        };
        match seconds.parse::<f64>() {
            Ok(at) if at.is_finite() && at >= 0.0 => Ok(Self::Moment(film.to_owned(), at)),
            _ => bail!(
                "{shown}: {seconds:?} is no time; allowed are seconds from the film's beginning"
            ),
        }
    }
}

/// The files that may be analyses, in the order of their names.
fn collect(place: &Path, recursive: bool, files: &mut Vec<PathBuf>) -> Result<()> {
    let context = || format!("{}: cannot be read", show_path(place));
    if std::fs::metadata(place).with_context(context)?.is_file() {
        files.push(place.to_owned());
        return Ok(());
    }
    let entries = std::fs::read_dir(place).with_context(context)?;
    let mut entries = entries.collect::<std::io::Result<Vec<_>>>().with_context(context)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // Links to folders are not followed: they may lead back here.
        if entry.file_type().with_context(context)?.is_dir() {
            if recursive {
                collect(&path, recursive, files)?;
            }
        } else if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json")) {
            files.push(path);
        }
    }
    Ok(())
}

/// The analyses among `files`. Of those that cannot be read a warning tells.
fn read(files: &[PathBuf]) -> Vec<Stored> {
    let mut all = Vec::new();
    for path in files {
        match analysis(path) {
            Ok(None) => {}
            Ok(Some(stored)) => all.push(stored),
            Err(error) => {
                let (path, why) = (show_path(path), printable(&format!("{error:#}")));
                eprintln!("warning: {path} is left out: {why}");
            }
        }
    }
    all
}

/// What is written in an analysis, which may be a stranger's, for a terminal: control characters are escaped.
fn printable(text: &str) -> String {
    show_path(Path::new(text))
}

fn analysis(path: &Path) -> Result<Option<Stored>> {
    // To open a pipe is to wait for whoever writes to it.
    if !std::fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let mut file = std::fs::File::open(path)?;
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(BEGINNING.len() as u64).read_to_end(&mut bytes)?;
    if bytes != BEGINNING {
        return Ok(None);
    }
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= MOST_BYTES, "it has more than {MOST_BYTES} bytes");
    Stored::read(&bytes).map_err(anyhow::Error::msg)
}

/// The one analysis of the film that is called so, by its name or its path.
fn named<'a>(stored: &'a [Stored], film: &str) -> Result<&'a Stored> {
    let name = Path::new(film).file_name().unwrap_or_default().to_string_lossy();
    let mut of = stored.iter().filter(|stored| stored.film == name);
    match (of.next(), of.next()) {
        (Some(stored), None) => Ok(stored),
        (Some(_), Some(_)) => {
            let name = printable(&name);
            bail!("{name}: several analyses are of a film of this name; --in names one")
        }
        (None, _) => {
            let name = printable(&name);
            let films: Vec<String> =
                stored.iter().map(|stored| printable(&stored.film)).take(10).collect();
            let more = if stored.len() > films.len() { ", ..." } else { "" };
            bail!("{name}: no analysis is of it; there are {}{more}", films.join(", "))
        }
    }
}

/// The vector of the picture at `path`, by the network that made most of the analyses among those that are here.
fn see(args: &SearchArgs, path: &Path, stored: &[Stored]) -> Result<(Vec<f32>, Maker)> {
    let mut makers: BTreeMap<&Maker, usize> = BTreeMap::new();
    stored.iter().for_each(|stored| *makers.entry(&stored.maker).or_default() += 1);
    let mut makers: Vec<(&Maker, usize)> = makers.into_iter().collect();
    makers.sort_by_key(|(_, analyses)| std::cmp::Reverse(*analyses));
    let wanted = args.seer.model.as_deref();
    let mut why = Vec::new();
    for (maker, _) in
        makers.into_iter().filter(|(maker, _)| wanted.is_none_or(|name| name == maker.model))
    {
        let model = match args.seer.find(Some(&maker.model)) {
            Ok(model) => model,
            Err(error) => {
                why.push(printable(&format!("{error:#}")));
                continue;
            }
        };
        let here = model.made("").revision;
        if here != maker.revision {
            why.push(format!("the weights of {} here are {here}", printable(&maker.model)));
            continue;
        }
        let seen =
            look_at_picture(&Tools::find()?, path, &load(&model)?, &CancellationToken::new());
        let seen = seen.map_err(|failure| anyhow::anyhow!("{}: {failure}", show_path(path)))?;
        return Ok((seen.class, maker.clone()));
    }
    let made: Vec<String> =
        stored.iter().map(|stored| printable(&stored.maker.to_string())).collect();
    let made = made.first().map_or("nothing", String::as_str);
    let why = if why.is_empty() { "--model names another".to_owned() } else { why.join("; ") };
    bail!(
        "vectors of different models or weights cannot be compared: the analyses were made by {made}, and {why}"
    )
}

/// Says which analyses are not searched.
fn leave_out(stored: &[Stored], maker: &Maker) {
    for other in stored.iter().filter(|stored| stored.maker != *maker) {
        let (film, by) = (printable(&other.film), printable(&other.maker.to_string()));
        eprintln!(
            "warning: {film} is left out: it was looked at by {by}, and vectors of different models or weights \
             cannot be compared"
        );
    }
}

fn show(args: &SearchArgs, hits: &[Hit]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for hit in hits {
        let film = Path::new(&hit.film);
        if args.json {
            writeln!(
                out,
                "{}",
                json!({
                    "film": lossless(film), "video_id": hit.video_id, "timestamp": hit.timestamp,
                    "source_frame": hit.source_frame, "frame_idx": hit.frame_idx, "similarity": hit.similarity,
                })
            )?;
        } else {
            writeln!(out, "{:.3}  {:>9.3} s  {}", hit.similarity, hit.timestamp, show_path(film))?;
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_film_and_seconds() {
        let moment = |text: &str| Query::of(Path::new(text));
        assert_eq!(moment("a@b.mp4@1.5").unwrap(), Query::Moment("a@b.mp4".to_owned(), 1.5));
        for bad in ["a.mp4@", "a.mp4@-1", "a.mp4@nan", "a.mp4@1:30"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
        let words = moment("a dog on a beach").unwrap_err().to_string();
        assert!(words.contains(NO_WORDS), "{words}");
    }

    #[test]
    fn what_a_stranger_wrote_does_nothing_to_a_terminal() {
        let text = "\u{1b}]0;owned\u{7}";
        let stored = Stored {
            film: text.to_owned(),
            video_id: "0123abcd".to_owned(),
            maker: Maker { model: text.to_owned(), revision: text.to_owned() },
            frames: Vec::new(),
            vectors: Vec::new(),
            shots: Vec::new(),
            clusters: serde_json::from_value(json!({"method": "x", "of_frames": [], "count": 0}))
                .unwrap(),
        };
        let both = [stored.clone(), stored];
        for said in [named(&both, "other.mp4"), named(&both, text)] {
            let said = said.unwrap_err().to_string();
            assert!(said.contains("owned") && !said.contains(char::is_control), "{said:?}");
        }
        assert!(!printable(&both[0].maker.to_string()).contains(char::is_control));
    }

    #[test]
    fn only_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        // As a pipe, but to open it fails, where to open a pipe waits.
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(analysis(&path).unwrap().is_none());
    }
}
