//! Pools are seen from outside: glibc reserves 64 MiB of addresses for each.

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used)]

use std::process::Command;
use std::sync::Barrier;

const THREADS: usize = 8;
const POOL: u64 = 64 << 20;

/// Not a test by itself: says how many bytes of addresses threads take that allocate at the same time.
#[test]
#[ignore = "run by the other test in a process of its own"]
fn probe() {
    parallax_process::share_pool();
    let before = addresses();
    let (all_have, may_end) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // Small enough to come out of a pool.
                let block = std::hint::black_box(vec![1u8; 10_000]);
                all_have.wait();
                may_end.wait();
                drop(block);
            });
        }
        all_have.wait();
        println!("\ntaken: {}", addresses() - before);
        may_end.wait();
    });
}

/// Bytes of addresses of this process.
fn addresses() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}

fn taken(pools: Option<usize>) -> u64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "probe", "--ignored", "--nocapture"]).env_remove("MALLOC_ARENA_MAX");
    if let Some(pools) = pools {
        command.env("MALLOC_ARENA_MAX", pools.to_string());
    }
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let line = said.lines().find_map(|line| line.strip_prefix("taken: "));
    line.unwrap_or_else(|| panic!("{said}")).parse().unwrap()
}

#[test]
fn threads_share_one_pool_unless_the_environment_says_otherwise() {
    let (shared, own) = (taken(None), taken(Some(THREADS + 2)));
    assert!(shared < POOL * 2, "{} MiB for {THREADS} threads", shared >> 20);
    assert!(own > shared + POOL * 4, "{} MiB and {} MiB", shared >> 20, own >> 20);
}
