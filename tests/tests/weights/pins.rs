//! Files that are not what they were: refused, whoever says that they are right.

use std::fs;

use parallax_tests::{COMMIT, Finished, Hub, finish, program};
use serde_json::Value;

use super::{DEPTH, DEPTH_HERE, SIZE, assert_complete, fetch, files, noise, parts, run, tree};

const CONFIG: &str = "tencent/DepthCrafter/config.json";

fn refused(run: &Finished, file: &str) {
    assert_eq!(run.code, Some(6), "{run:?}");
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains(&format!("{file}: changed: ")), "{said}");
}

fn right(file: &str) -> Vec<u8> {
    files().into_iter().find(|(name, _)| name == file).unwrap().1
}

#[test]
fn a_file_that_changed_on_the_hub_is_refused_and_nothing_of_it_is_kept() {
    let hub = Hub::start(files());
    let first = tempfile::tempdir().unwrap();
    assert_eq!(run(&mut fetch(&hub, first.path()), first.path()).code, Some(0));
    let lock = first.path().join("weights.lock");
    let text = fs::read_to_string(&lock).unwrap();
    let written: Value = serde_json::from_str(&text).unwrap();
    let depth = &written["models"]["tencent/DepthCrafter"];
    assert_eq!(depth["commit"], COMMIT);
    assert_eq!(depth["files"].as_object().unwrap().len(), 2, "{depth}");

    // A large file, whose digest the hub announces, and a small one, of which it announces another kind.
    for (file, here) in [(DEPTH, DEPTH_HERE), (CONFIG, "DepthCrafter/config.json")] {
        hub.change(file, noise(99, right(file).len()));
        // Another machine with the same lock.
        let other = tempfile::tempdir().unwrap();
        let dir = other.path();
        let mut command = fetch(&hub, dir);
        refused(&run(command.env("WEIGHTS_LOCK", &lock), dir), file);
        assert!(!dir.join(here).exists() && parts(dir).is_empty(), "{:?}", tree(dir));
        // The same folder, whose file was lost.
        fs::remove_file(first.path().join(here)).unwrap();
        refused(&run(&mut fetch(&hub, first.path()), first.path()), file);
        assert!(!first.path().join(here).exists());
        hub.change(file, right(file));
        assert_eq!(run(&mut fetch(&hub, first.path()), first.path()).code, Some(0));
    }
    assert_complete(first.path());
    assert_eq!(fs::read_to_string(&lock).unwrap(), text, "it is what it was");

    // Whoever names a revision means it, and the lock is of that one from then on.
    hub.change(DEPTH, noise(99, SIZE));
    fs::remove_file(first.path().join(DEPTH_HERE)).unwrap();
    let mut named = fetch(&hub, first.path());
    let done = run(named.args(["--revision", "depthcrafter=main"]), first.path());
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_ne!(fs::read_to_string(&lock).unwrap(), text);
}

#[test]
fn a_lock_that_is_none_is_refused_before_anything_is_asked() {
    let hub = Hub::start(files());
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    fs::write(dir.join("weights.lock"), "{\"models\": {\"a/b\": {}}}").unwrap();
    for (lock, named) in
        [(None, "weights.lock: "), (Some("/nowhere/at/all"), "/nowhere/at/all: No ")]
    {
        let mut command = fetch(&hub, dir);
        let done = run(command.envs(lock.map(|lock| ("WEIGHTS_LOCK", lock))), dir);
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(format!("{}{}", done.stdout, done.stderr).contains(named), "{done:?}");
    }
    assert!(hub.asked().is_empty());
}

#[test]
fn a_mirror_gives_what_is_pinned_and_gets_no_token() {
    let hub = Hub::start(files());
    let first = tempfile::tempdir().unwrap();
    assert_eq!(run(&mut fetch(&hub, first.path()), first.path()).code, Some(0));
    let bucket = Hub::start(files());
    let mirror = bucket.make_mirror();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut without = fetch(&hub, dir);
    let done = run(without.env("WEIGHTS_MIRROR", &mirror), dir);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(format!("{done:?}").contains("weights.lock: nothing of "), "{done:?}");

    fs::copy(first.path().join("weights.lock"), dir.join("weights.lock")).unwrap();
    bucket.change(DEPTH, noise(99, right(DEPTH).len()));
    let damaged = run(fetch(&hub, dir).env("WEIGHTS_MIRROR", &mirror), dir);
    assert!(damaged.code.is_some_and(|code| code != 0), "{damaged:?}");
    assert!(!dir.join(DEPTH_HERE).exists() && parts(dir).is_empty(), "{:?}", tree(dir));

    bucket.change(DEPTH, right(DEPTH));
    let done = run(fetch(&hub, dir).env("WEIGHTS_MIRROR", &mirror), dir);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_complete(dir);
    let asked = bucket.asked();
    assert!(asked.iter().all(|asked| asked.authorization.is_none()), "{asked:?}");
    let of = format!("/mirror/tencent/DepthCrafter/{COMMIT}/config.json");
    assert!(asked.iter().any(|asked| asked.path == of), "{asked:?}");
}

#[test]
fn check_says_which_file_is_not_that_of_the_lock() {
    let hub = Hub::start(files());
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    assert_eq!(run(&mut fetch(&hub, dir), dir).code, Some(0));
    let check = |values: &[&str]| {
        let mut command = program("parallax");
        finish(command.args(["weights", "check"]).arg(dir).args(values)).stdout
    };
    assert!(!check(&["--values"]).contains("not the file of weights.lock"));
    let path = dir.join(DEPTH_HERE);
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(!check(&[]).contains("not the file"), "its size is right");
    let told = check(&["--values"]);
    assert!(told.contains(DEPTH_HERE) && told.contains("not the file of weights.lock"), "{told}");
    bytes.push(0);
    fs::write(&path, &bytes).unwrap();
    assert!(check(&[]).contains("not the file of weights.lock"));
}

#[test]
fn a_secret_is_in_nothing_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let file = dir.join("token");
    fs::write(&file, "canary-of-the-hub\n").unwrap();
    let file = file.to_str().unwrap();
    let hub = Hub::start(files());
    for (variables, named) in [
        (&[("HF_ENDPOINT", hub.address()), ("HF_TOKEN_FILE", file)][..], "answered 403"),
        (&[("HF_ENDPOINT", "http://127.0.0.1:1"), ("HF_TOKEN", "canary-of-the-hub")], "gave up"),
        (&[("HF_ENDPOINT", "https://me:canary@hub.example")], "credentials in a URL"),
        (&[("WEIGHTS_MIRROR", "https://me:canary@hub.example")], "credentials in a URL"),
        (&[("HF_TOKEN_FILE", "/nowhere/at/all")], "HF_TOKEN_FILE /nowhere/at/all: No such file"),
        (&[("HF_TOKEN_FILE", file), ("HF_TOKEN", "canary")], "HF_TOKEN_FILE are both set"),
    ] {
        let weights = dir.join("weights");
        let mut command = program("parallax");
        command.args(["-vvv", "weights", "fetch", "depthcrafter", "--tries", "1", "--dir"]);
        let done = finish(command.arg(&weights).envs(variables.iter().copied()));
        assert!(done.code.is_some_and(|code| code != 0), "{named}: {done:?}");
        assert!(done.stderr.contains(named), "{named}: {}", done.stderr);
        let said = format!("{}{}", done.stdout, done.stderr);
        assert_eq!(said.lines().find(|line| line.contains("canary")), None, "{named}");
        for file in tree(&weights) {
            let bytes = fs::read(weights.join(&file)).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("canary"), "{file}");
        }
    }
}
