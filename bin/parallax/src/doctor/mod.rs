//! `parallax doctor`: what this machine has, what is missing and how to get it.

mod engines;
mod finding;

use std::process::{Command, ExitCode};

use nix::sys::statvfs::statvfs;
use parallax_media::Programs;

use self::finding::Finding;
use crate::cli::DoctorArgs;

const INSTALL_FFMPEG: &str = "install ffmpeg 4.4 or later with libx264 (Debian, Ubuntu: \
    apt-get install ffmpeg; Fedora: dnf install ffmpeg; macOS: brew install ffmpeg)";

pub(crate) fn main(args: &DoctorArgs) -> ExitCode {
    let findings = examine();
    if args.json {
        match serde_json::to_string_pretty(&findings) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("error: {error}"),
        }
    } else {
        for finding in &findings {
            let mark = match (finding.ok, finding.required) {
                (true, _) => "ok     ",
                (false, true) => "MISSING",
                (false, false) => "absent ",
            };
            println!("{mark}  {:<20} {}", finding.what, finding.found);
            if let Some(remedy) = &finding.remedy {
                println!("         {:<20} -> {remedy}", "");
            }
        }
    }
    let fit = findings.iter().all(|finding| finding.ok || !finding.required);
    if fit { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn examine() -> Vec<Finding> {
    let mut findings = programs();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    findings.push(Finding {
        what: "processors",
        ok: true,
        required: false,
        found: format!("{processors}"),
        remedy: None,
    });
    findings.push(room());
    findings.push(gpu());
    findings.extend(engines::findings());
    findings
}

fn programs() -> Vec<Finding> {
    let missing = |what, found| Finding {
        what,
        ok: false,
        required: true,
        found,
        remedy: Some(INSTALL_FFMPEG.to_owned()),
    };
    let programs = match Programs::find() {
        Ok(programs) => programs,
        Err(error) => return vec![missing("ffmpeg", error.to_string())],
    };
    let version = match programs.version() {
        Ok(version) => version,
        Err(error) => return vec![missing("ffmpeg", error.to_string())],
    };
    let recent = version.at_least(4, 4);
    let listed = Command::new(&programs.ffmpeg).args(["-hide_banner", "-encoders"]).output();
    let listed = listed.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    let has = |name: &str| listed.as_ref().is_ok_and(|text| text.contains(name));
    let encoder = |what, name: &str, required| {
        let ok = has(name);
        let found = if ok { "available" } else { "not in this build of ffmpeg" };
        let remedy = (!ok).then(|| INSTALL_FFMPEG.to_owned());
        Finding { what, ok, required, found: found.to_owned(), remedy }
    };
    vec![
        Finding {
            what: "ffmpeg",
            ok: recent,
            required: true,
            found: format!("{} at {}", version.name, programs.ffmpeg.display()),
            remedy: (!recent).then(|| INSTALL_FFMPEG.to_owned()),
        },
        encoder("libx264", "libx264", true),
        encoder("libx265", "libx265", false),
    ]
}

fn room() -> Finding {
    let (ok, found) = match statvfs(".") {
        Ok(stat) => {
            let bytes = stat.blocks_available() * stat.fragment_size();
            (bytes > 1 << 30, format!("{:.1} GiB free here", bytes as f64 / f64::from(1 << 30)))
        }
        Err(error) => (false, error.to_string()),
    };
    let remedy =
        (!ok).then(|| "unfinished work takes about twice the result; see --state-dir".to_owned());
    Finding { what: "disk", ok, required: false, found, remedy }
}

fn gpu() -> Finding {
    let query = ["--query-gpu=name,memory.total", "--format=csv,noheader"];
    let output = Command::new("nvidia-smi").args(query).output();
    let name = output.ok().filter(|o| o.status.success());
    let name = name.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    match name.filter(|name| !name.is_empty()) {
        Some(found) => Finding { what: "gpu", ok: true, required: false, found, remedy: None },
        None => Finding {
            what: "gpu",
            ok: false,
            required: false,
            found: "no NVIDIA GPU; draft and the depth networks do not need one".to_owned(),
            remedy: None,
        },
    }
}
