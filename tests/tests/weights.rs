//! `parallax weights fetch` against a hub on loopback, as a person and a script meet it.

#![allow(clippy::unwrap_used)]

#[path = "weights/pins.rs"]
mod pins;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use parallax_tests::{COMMIT, Fault, Finished, Hub, Running, SmallDisk, TOKEN, finish, program};
use serde_json::Value;

const DEPTH: &str = "tencent/DepthCrafter/diffusion_pytorch_model.safetensors";
const DEPTH_HERE: &str = "DepthCrafter/diffusion_pytorch_model.safetensors";
const SIZE: usize = 300_000;

/// Bytes that differ everywhere.
fn noise(seed: usize, size: usize) -> Vec<u8> {
    (0..size).map(|i| ((i * 7919 + seed * 104_729 + i / 251) % 251) as u8).collect()
}

/// What the three repositories hold, by name on the hub; some that nobody wants too.
fn files() -> Vec<(String, Vec<u8>)> {
    let svd = "stabilityai/stable-video-diffusion-img2vid-xt-1-1";
    let inpainting = "TencentARC/StereoCrafter/unet_diffusers";
    let mut names = vec![
        format!("{svd}/image_encoder/model.fp16.safetensors"),
        format!("{svd}/vae/diffusion_pytorch_model.fp16.safetensors"),
        format!("{svd}/unet/diffusion_pytorch_model.fp16.safetensors"),
        format!("{inpainting}/diffusion_pytorch_model.safetensors"),
        DEPTH.to_owned(),
    ];
    let small = [
        format!("{svd}/scheduler/scheduler_config.json"),
        format!("{svd}/feature_extractor/preprocessor_config.json"),
        format!("{svd}/image_encoder/config.json"),
        format!("{svd}/vae/config.json"),
        format!("{inpainting}/config.json"),
        "tencent/DepthCrafter/config.json".to_owned(),
        "tencent/DepthCrafter/README.md".to_owned(),
    ];
    let mut files: Vec<_> =
        names.drain(..).enumerate().map(|(i, name)| (name, noise(i, SIZE + i))).collect();
    files.extend(small.into_iter().enumerate().map(|(i, name)| (name, noise(i + 50, 90 + i))));
    files
}

/// Name on the hub to name in the target folder, of those that are wanted.
fn wanted() -> BTreeMap<String, String> {
    let skip = |name: &str| name.contains("xt-1-1/unet/") || name.ends_with("README.md");
    let here = |name: &str| name.split_once('/').unwrap().1.to_owned();
    files().into_iter().map(|(name, _)| name).filter(|n| !skip(n)).map(|n| (here(&n), n)).collect()
}

fn fetch(hub: &Hub, dir: &Path) -> Command {
    let mut command = offhand(dir);
    command.env("HF_ENDPOINT", hub.address()).env("HF_TOKEN", TOKEN);
    command
}

/// Without a hub or a token.
fn offhand(dir: &Path) -> Command {
    let mut command = program("parallax");
    command.args(["weights", "fetch", "--json", "-vv", "--dir"]).arg(dir);
    for name in ["HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE", "WEIGHTS_DIR"] {
        command.env_remove(name);
    }
    command
}

/// Runs, and looks for the token in everything that was said and written.
fn run(command: &mut Command, dir: &Path) -> Finished {
    let run = finish(command);
    no_secrets(&run, dir);
    run
}

fn no_secrets(run: &Finished, dir: &Path) {
    let mut said = format!("{}{}", run.stdout, run.stderr);
    for file in tree(dir) {
        said.push_str(&String::from_utf8_lossy(&fs::read(dir.join(file)).unwrap()));
    }
    assert!(!said.contains(TOKEN), "the token is nobody's business");
    assert!(!said.contains("s3cr3t"), "nor is a signature");
}

/// All files below `dir`, by their path in it.
fn tree(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = dir.join(&folder).read_dir() else { continue };
        for entry in entries {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                names.push(path.display().to_string());
            }
        }
    }
    names.sort();
    names
}

/// Exactly what is wanted is there, byte for byte, and nothing besides but the records and the lock.
#[track_caller]
fn assert_complete(dir: &Path) {
    let all: BTreeMap<_, _> = files().into_iter().collect();
    let wanted = wanted();
    let found: Vec<String> = tree(dir)
        .into_iter()
        .filter(|name| !name.rsplit('/').next().unwrap().starts_with('.'))
        .filter(|name| name != "weights.lock")
        .collect();
    assert_eq!(found, wanted.keys().cloned().collect::<Vec<_>>());
    for (here, there) in wanted {
        assert!(fs::read(dir.join(&here)).unwrap() == all[&there], "{here}");
    }
}

fn events(run: &Finished, kind: &str) -> Vec<Value> {
    let events = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == kind).collect()
}

fn parts(dir: &Path) -> Vec<String> {
    tree(dir).into_iter().filter(|name| name.ends_with(".part")).collect()
}

/// Waits for something that must come.
fn until(what: &str, mut ready: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if ready() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("never happened: {what}");
}

#[test]
fn only_what_is_needed_is_fetched_once_and_the_token_goes_to_the_hub_alone() {
    let hub = Hub::start(files());
    let dir = tempfile::tempdir().unwrap();
    let first = run(&mut fetch(&hub, dir.path()), dir.path());
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_complete(dir.path());
    let bytes: usize = {
        let all: BTreeMap<_, _> = files().into_iter().collect();
        wanted().values().map(|name| all[name].len()).sum()
    };
    let planned = &events(&first, "planned")[0];
    assert_eq!((&planned["files"], &planned["bytes"]), (&10.into(), &bytes.into()));
    assert_eq!(events(&first, "finished").len(), 10);
    let pinned = events(&first, "complete");
    assert!(pinned.len() == 3 && pinned.iter().all(|event| event["commit"] == COMMIT));

    let asked = hub.asked();
    for asked in &asked {
        let right = (!asked.at_store).then(|| format!("Bearer {TOKEN}"));
        assert_eq!(asked.authorization, right, "{asked:?}");
    }
    assert!(asked.iter().any(|asked| asked.at_store), "large files come from another host");
    let gets = asked.iter().filter(|asked| asked.method == "GET" && !asked.at_store);
    assert!(gets.clone().count() == 10 && gets.into_iter().all(|a| a.path.contains(COMMIT)));

    // Again: nobody is asked anything, and the folder need not even be writable.
    let again = run(&mut fetch(&hub, dir.path()), dir.path());
    assert_eq!((again.code, hub.asked().len()), (Some(0), asked.len()), "{again:?}");
    let offline = run(offhand(dir.path()).env("HF_HUB_OFFLINE", "1"), dir.path());
    assert_eq!(offline.code, Some(0), "{offline:?}");
}

#[test]
fn models_come_by_name_with_their_licences() {
    let hub = Hub::start(files());
    let dir = tempfile::tempdir().unwrap();
    let licences = |run: &Finished| -> Vec<String> {
        let word = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
        let line =
            |event: &Value| format!("{} {}", word(event, "model"), word(event, "commercial"));
        events(run, "licence").iter().map(line).collect()
    };
    let one = run(fetch(&hub, dir.path()).arg("svd"), dir.path());
    assert_eq!(one.code, Some(0), "{one:?}");
    assert_eq!(licences(&one), ["svd conditional"]);
    assert!(dir.path().join("stable-video-diffusion-img2vid-xt-1-1").is_dir());
    assert!(!dir.path().join("DepthCrafter").exists());
    // An estimator needs more than the model that is called as it is.
    let half = run(fetch(&hub, dir.path()).args(["depthcrafter", "svd"]), dir.path());
    assert_eq!(licences(&half), ["svd conditional", "depthcrafter forbidden"]);
    assert!(dir.path().join(DEPTH_HERE).is_file() && !dir.path().join("StereoCrafter").exists());
    let pinned =
        run(fetch(&hub, dir.path()).args(["svd", "--revision", "depthcrafter=x"]), dir.path());
    assert!(pinned.error().contains("a model that is fetched: svd"), "{pinned:?}");
    let nobody = run(fetch(&hub, dir.path()).arg("midas"), dir.path());
    assert!(nobody.code == Some(2) && nobody.stderr.contains("depthcrafter"), "{nobody:?}");

    // Without a name as ever; a person is told of the rest, and that nothing may be sold.
    let mut command = program("parallax");
    command.args(["weights", "fetch", "--dir"]).arg(dir.path());
    command.env("HF_ENDPOINT", hub.address()).env("HF_TOKEN", TOKEN).env_remove("WEIGHTS_DIR");
    let all = run(&mut command, dir.path());
    assert_eq!(all.code, Some(0), "{all:?}");
    assert_complete(dir.path());
    assert!(all.stderr.contains("StereoCrafter (TencentARC/StereoCrafter): "), "{all:?}");
    assert!(
        all.stderr.contains("no commercial use") && all.stderr.contains("weights fetch --help")
    );
}

#[test]
fn a_gated_repository_says_what_is_needed() {
    let hub = Hub::start(files());
    let dir = tempfile::tempdir().unwrap();
    let without = run(fetch(&hub, dir.path()).env_remove("HF_TOKEN"), dir.path());
    assert_eq!(without.code, Some(3));
    let error = without.error();
    assert!(error.contains("401") && error.contains("accept its licence at"), "{error}");
    assert!(error.contains("HF_TOKEN") && error.contains("Access to this model"), "{error}");

    // The hub repeats the token that it refuses; we do not.
    let wrong = "hf_canary_of_somebody_else";
    let refused = run(fetch(&hub, dir.path()).env("HF_TOKEN", wrong), dir.path());
    assert_eq!(refused.code, Some(3));
    assert!(refused.error().contains("403") && refused.error().contains("[redacted]"));
    assert!(!format!("{refused:?}").contains(wrong), "{refused:?}");
    assert_eq!(parts(dir.path()), [""; 0]);

    hub.make_public();
    let public = run(fetch(&hub, dir.path()).env_remove("HF_TOKEN"), dir.path());
    assert_eq!(public.code, Some(0), "{public:?}");
}

#[test]
fn an_interrupted_transfer_goes_on_where_it_stopped() {
    let hub = Hub::start(files());
    let dir = tempfile::tempdir().unwrap();
    hub.fail(DEPTH, [Fault::CutAfter(100_000), Fault::CutAfter(50_000)]);
    let run = run(&mut fetch(&hub, dir.path()), dir.path());
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_complete(dir.path());
    // Each transfer asks for the rest of what the last one left.
    let started = events(&run, "started");
    let from: Vec<u64> = started
        .iter()
        .filter(|event| event["file"] == DEPTH_HERE)
        .map(|event| event["from"].as_u64().unwrap())
        .collect();
    assert!(from.len() == 3 && from[0] == 0 && from[0] < from[1] && from[1] < from[2], "{from:?}");
    let ranges: Vec<_> = hub.transfers(DEPTH).into_iter().map(|asked| asked.range).collect();
    let range = |from: u64| Some(format!("bytes={from}-"));
    assert_eq!(ranges, [None, range(from[1]), range(from[2])]);
    assert_eq!(events(&run, "retrying").len(), 2);
}

#[test]
fn a_server_without_ranges_sends_all_of_it_again() {
    let hub = Hub::start(files());
    let dir = tempfile::tempdir().unwrap();
    hub.fail(DEPTH, [Fault::CutAfter(100_000), Fault::IgnoreRange]);
    let run = run(&mut fetch(&hub, dir.path()), dir.path());
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_complete(dir.path());
}

#[test]
fn damaged_bytes_are_fetched_again_and_never_kept() {
    let hub = Hub::start(files());
    let dir = tempfile::tempdir().unwrap();
    hub.fail(DEPTH, [Fault::Flip]);
    let once = run(&mut fetch(&hub, dir.path()), dir.path());
    assert_eq!(once.code, Some(0), "{once:?}");
    assert!(events(&once, "retrying")[0]["why"].as_str().unwrap().contains("damaged"));
    assert_complete(dir.path());

    let dir = tempfile::tempdir().unwrap();
    hub.fail(DEPTH, [Fault::Flip; 3]);
    let always = run(&mut fetch(&hub, dir.path()), dir.path());
    assert_eq!(always.code, Some(4));
    assert!(always.error().contains("damaged in 3 downloads"), "{always:?}");
    assert!(!dir.path().join(DEPTH_HERE).exists());
    assert_eq!(parts(dir.path()), [""; 0]);

    // More than was announced is not written to the end of the disk.
    let dir = tempfile::tempdir().unwrap();
    hub.fail(DEPTH, [Fault::Longer]);
    let longer = run(&mut fetch(&hub, dir.path()), dir.path());
    assert!(longer.error().contains("more than the announced"), "{longer:?}");
}

#[test]
fn damage_on_the_disk_is_found_and_mended() {
    let hub = Hub::start(files());
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(&mut fetch(&hub, dir.path()), dir.path()).code, Some(0));
    let path = dir.path().join(DEPTH_HERE);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1234] ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut offline = offhand(dir.path());
    let offline = run(offline.args(["--offline", "--verify"]), dir.path());
    assert_eq!(offline.code, Some(4));
    assert!(offline.error().contains(DEPTH_HERE) && offline.error().contains("damaged"));
    let before = hub.transfers(DEPTH).len();
    let verified = run(fetch(&hub, dir.path()).arg("--verify"), dir.path());
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert_eq!((events(&verified, "finished").len(), hub.transfers(DEPTH).len()), (1, before + 1));
    assert_complete(dir.path());
}

#[test]
fn files_that_came_another_way_are_adopted() {
    let hub = Hub::start(files());
    let dir = tempfile::tempdir().unwrap();
    let all: BTreeMap<_, _> = files().into_iter().collect();
    for (here, there) in wanted() {
        let path = dir.path().join(here);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &all[&there]).unwrap();
    }
    let run = run(&mut fetch(&hub, dir.path()), dir.path());
    assert_eq!((run.code, events(&run, "finished").len()), (Some(0), 0), "{run:?}");
    assert!(hub.asked().iter().all(|asked| asked.method == "HEAD"));
}

#[test]
fn a_revision_is_a_promise() {
    let hub = Hub::start(files());
    let dir = tempfile::tempdir().unwrap();
    let unknown = run(fetch(&hub, dir.path()).args(["--revision", "svd=v9"]), dir.path());
    assert_eq!(unknown.code, Some(3));
    assert!(
        unknown.error().contains("at revision v9: not on the hub: Invalid rev id"),
        "{unknown:?}"
    );
    let pin = format!("depthcrafter={COMMIT}");
    assert_eq!(run(fetch(&hub, dir.path()).args(["--revision", &pin]), dir.path()).code, Some(0));
    let asked = hub.asked().len();
    // What is there is that commit, so nobody need be asked; another commit it is not.
    assert_eq!(run(fetch(&hub, dir.path()).args(["--revision", &pin]), dir.path()).code, Some(0));
    assert_eq!(hub.asked().len(), asked);
    let other = format!("depthcrafter={}", COMMIT.replace('0', "f"));
    let mut offline = fetch(&hub, dir.path());
    let offline = run(offline.args(["--offline", "--revision", &other]), dir.path());
    assert_eq!(offline.code, Some(4), "{offline:?}");
    for bad in ["svd", "svd=", "svd=../x", "sdv=main"] {
        let run = run(fetch(&hub, dir.path()).args(["--revision", bad]), dir.path());
        assert!([Some(1), Some(2)].contains(&run.code), "{bad}: {run:?}");
        run.error();
    }
}

#[test]
fn a_busy_hub_is_asked_again_and_a_broken_one_given_up() {
    let hub = Hub::start(files());
    let dir = tempfile::tempdir().unwrap();
    hub.fail(DEPTH, [Fault::Status(429), Fault::Status(503), Fault::Status(500)]);
    let busy = run(&mut fetch(&hub, dir.path()), dir.path());
    assert_eq!((busy.code, events(&busy, "retrying").len()), (Some(0), 3), "{busy:?}");

    let dir = tempfile::tempdir().unwrap();
    hub.fail(DEPTH, [Fault::Status(500); 2]);
    let broken = run(fetch(&hub, dir.path()).args(["--tries", "2"]), dir.path());
    assert_eq!(broken.code, Some(4));
    assert!(broken.error().contains("gave up after 2 tries"), "{broken:?}");
    // What was verified before it stays.
    assert!(dir.path().join("DepthCrafter/config.json").is_file());

    hub.fail(DEPTH, [Fault::Status(400)]);
    let before = hub.transfers(DEPTH).len();
    let wrong = run(&mut fetch(&hub, dir.path()), dir.path());
    assert!(wrong.error().contains("answered 400") && wrong.code == Some(1), "{wrong:?}");
    assert_eq!(hub.transfers(DEPTH).len(), before + 1, "not asked again");

    let nobody = tempfile::tempdir().unwrap();
    let mut gone = offhand(nobody.path());
    // Nobody can listen where a connection comes from.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let closed = format!("http://{}", taken.local_addr().unwrap());
    gone.env("HF_ENDPOINT", closed).args(["--tries", "1"]);
    let gone = run(&mut gone, nobody.path());
    assert_eq!(gone.code, Some(4), "{gone:?}");
}

#[test]
fn a_lying_hub_leads_nowhere() {
    for tag in ["\"../../../../tmp/x\"", "nonsense", "d41d8cd98f00b204e9800998ecf8427e-3"] {
        let hub = Hub::start(files());
        let dir = tempfile::tempdir().unwrap();
        hub.announce(DEPTH, tag);
        let run = run(&mut fetch(&hub, dir.path()), dir.path());
        assert!(run.code == Some(1) && run.error().contains("ETag is"), "{run:?}");
        assert_eq!(parts(dir.path()), [""; 0]);
    }
    let dir = tempfile::tempdir().unwrap();
    for endpoint in ["http://hub.example", "https://me:secret@hub.example", "nowhere"] {
        let run = run(offhand(dir.path()).env("HF_ENDPOINT", endpoint), dir.path());
        assert!(run.code == Some(2) && run.error().contains("HF_ENDPOINT"), "{run:?}");
        assert!(!run.error().contains("secret"), "{run:?}");
    }
}

#[test]
fn what_does_not_fit_is_not_begun_and_a_full_disk_loses_nothing() {
    let hub = Hub::start(files());
    let dir = tempfile::tempdir().unwrap();
    let mut disk = SmallDisk::mount(dir.path(), "17m");
    let start = |disk: &SmallDisk| {
        let mut command = disk.command(&fetch(&hub, dir.path()));
        finish(command.env("HF_ENDPOINT", hub.address()).env("HF_TOKEN", TOKEN))
    };
    let small = start(&disk);
    assert_eq!(small.code, Some(5), "{small:?}");
    assert!(small.error().contains("are needed"), "{small:?}");
    assert!(!hub.asked().iter().any(|asked| asked.method == "GET"), "nothing was transferred");

    // Something else takes the room meanwhile.
    disk.resize("64m");
    hub.fail(DEPTH, [Fault::HangAfter(100_000)]);
    let mut command = disk.command(&fetch(&hub, dir.path()));
    let running = Running::start(command.env("HF_ENDPOINT", hub.address()).env("HF_TOKEN", TOKEN));
    until("the transfer hangs", || !hub.transfers(DEPTH).is_empty());
    let hog = disk.seen_from_outside().join("hog");
    fs::write(&hog, vec![1; 64 << 20]).unwrap_err();
    hub.release();
    let full = running.wait();
    assert_eq!(full.code, Some(5), "{full:?}");
    assert!(full.error().contains(DEPTH_HERE), "{full:?}");
    fs::remove_file(&hog).unwrap();
    assert_eq!(start(&disk).code, Some(0));
    assert_complete(&disk.seen_from_outside());
}

#[test]
fn killed_and_started_again_it_goes_on() {
    let hub = Hub::start(files());
    let dir = tempfile::tempdir().unwrap();
    hub.fail(DEPTH, [Fault::HangAfter(100_000)]);
    let running = Running::start(&mut fetch(&hub, dir.path()));
    let arrived = || {
        let part = parts(dir.path()).into_iter().find(|name| name.starts_with(DEPTH_HERE));
        part.is_some_and(|part| fs::metadata(dir.path().join(part)).unwrap().len() == 100_000)
    };
    until("half the file is there", arrived);
    running.signal(Signal::SIGKILL);
    let killed = running.wait();
    assert_eq!(killed.code, None);
    no_secrets(&killed, dir.path());

    let run = run(&mut fetch(&hub, dir.path()), dir.path());
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(events(&run, "waiting").is_empty(), "a dead process holds nothing");
    assert_complete(dir.path());
    let last = hub.transfers(DEPTH).pop().unwrap();
    assert_eq!(last.range.as_deref(), Some("bytes=100000-"));
    // What the first one had finished is not asked for again.
    let vae = "stabilityai/stable-video-diffusion-img2vid-xt-1-1/vae/diffusion_pytorch_model.fp16.safetensors";
    assert_eq!(hub.transfers(vae).len(), 1);
}

#[test]
fn interrupted_by_its_user_it_says_how_to_go_on() {
    let hub = Hub::start(files());
    let dir = tempfile::tempdir().unwrap();
    hub.fail(DEPTH, [Fault::HangAfter(100_000)]);
    let running = Running::start(&mut fetch(&hub, dir.path()));
    until("the transfer hangs", || !hub.transfers(DEPTH).is_empty());
    running.signal(Signal::SIGINT);
    let stopped = running.wait();
    assert_eq!(
        (stopped.code, events(&stopped, "interrupted").len()),
        (Some(130), 1),
        "{stopped:?}"
    );
    assert_eq!(run(&mut fetch(&hub, dir.path()), dir.path()).code, Some(0));
    assert_complete(dir.path());
}

#[test]
fn of_two_at_once_one_downloads_and_the_other_finds_it_done() {
    let hub = Hub::start(files());
    let dir = tempfile::tempdir().unwrap();
    hub.fail(DEPTH, [Fault::HangAfter(100_000)]);
    let first = Running::start(&mut fetch(&hub, dir.path()));
    until("the first transfers", || !hub.transfers(DEPTH).is_empty());
    let second = Running::start(&mut fetch(&hub, dir.path()));
    until("the second waits", || second.said().0.contains("\"waiting\""));
    let third = Running::start(&mut fetch(&hub, dir.path()));
    until("the third waits", || third.said().0.contains("\"waiting\""));
    // The first dies; one of the others takes over, the last finds everything done.
    first.signal(Signal::SIGKILL);
    first.wait();
    let (second, third) = (second.wait(), third.wait());
    assert_eq!((second.code, third.code), (Some(0), Some(0)), "{second:?} {third:?}");
    assert_complete(dir.path());
    assert_eq!(events(&second, "planned").len() + events(&third, "planned").len(), 1);
    assert_eq!(hub.transfers(DEPTH).len(), 2);
}

#[test]
fn offline_names_what_is_missing_and_asks_nobody() {
    let hub = Hub::start(files());
    let dir = tempfile::tempdir().unwrap();
    let run1 = run(fetch(&hub, dir.path()).env("HF_HUB_OFFLINE", "1"), dir.path());
    assert_eq!((run1.code, hub.asked().len()), (Some(4), 0), "{run1:?}");
    assert!(run1.error().contains("DepthCrafter"), "{run1:?}");
    assert_eq!(run(&mut fetch(&hub, dir.path()), dir.path()).code, Some(0));
    fs::remove_file(dir.path().join(DEPTH_HERE)).unwrap();
    let asked = hub.asked().len();
    let run2 = run(fetch(&hub, dir.path()).arg("--offline"), dir.path());
    assert_eq!((run2.code, hub.asked().len()), (Some(4), asked), "{run2:?}");
    assert!(run2.error().ends_with(DEPTH_HERE), "{run2:?}");
    let bad = run(fetch(&hub, dir.path()).env("HF_HUB_OFFLINE", "perhaps"), dir.path());
    assert!(bad.code == Some(2) && bad.error().contains("HF_HUB_OFFLINE"), "{bad:?}");
}
