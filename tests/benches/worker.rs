//! What `video-worker` costs on AWS, measured against moto on this machine, as tables for
//! docs/performance.md. `make bench-worker` builds what it needs and runs it: the daemon as released,
//! everything around it as in tests.
//!
//! The daemon is one process with the default roles, so it does what an inference worker and a
//! completion worker would do together. Processor time is the daemon's own, from `/proc`; moto,
//! the emulator and the containers are not counted, but they bound the throughput.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use parallax_job::{Mode, ObjectKey, Segment};
use parallax_ports::ObjectStore;
use parallax_tests::cloud::{Cloud, Cut, EventFaults, Order};
use parallax_tests::{COMPLETED, Daemon, number};
use sagemaker_emulator::Stats;

/// Largest size, in MiB, of the segment that is copied to see what memory depends on.
const LARGE_MIB: u32 = 2048;
const IDLE: Duration = Duration::from_secs(60);
/// Over how many minutes the calls of an idle daemon are counted: it sweeps every two.
const IDLE_MINUTES: u32 = 4;
/// Permits, and instances of the endpoint, where the use of its slots is measured.
const SLOTS: u32 = 5;

struct Measured {
    backend: &'static str,
    segments: u32,
    seconds: f64,
    cpu_ms: f64,
    peak_mib: f64,
    calls: BTreeMap<String, u64>,
    units: BTreeMap<String, u64>,
    sizes: BTreeMap<String, u64>,
}

impl Measured {
    fn per_segment(&self, calls: u64) -> f64 {
        calls as f64 / f64::from(self.segments)
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The daemon over one backend, from ready until every segment is complete and told.
async fn measure(backend: &'static str, jobs: u32, segments: u32) -> Measured {
    let pool = if backend == "sagemaker" { Cloud::endpoint_pool() } else { backend };
    let cloud = Cloud::start(EventFaults::default(), pool).await;
    let cuts: Vec<Cut> = (0..jobs)
        .map(|n| Cut {
            job_id: format!("job-{n}").parse().unwrap(),
            mode: Mode::Sbs,
            total: segments,
            unreadable: false,
        })
        .collect();
    for cut in &cuts {
        cloud.submit(cut, Order::TotalFirst).await;
    }
    let endpoint = cloud.endpoint(5, Duration::ZERO, &[]);
    let container = cloud.container(Duration::ZERO);
    let mut command = cloud.worker_of(&endpoint);
    command.env("INFERENCE_BACKEND", backend).env("INFERENCE_HTTP_URL", &container.url);
    cloud.moto.forget_calls();
    let daemon = Daemon::run(&mut command);
    let before = (Instant::now(), daemon.process.usage(), cloud.moto.calls());
    // What it takes to make the jobs is not the daemon's.
    let units_before = cloud.moto.units();
    let all = f64::from(jobs * segments);
    while daemon.metric(COMPLETED) < all
        || daemon.metric("parallax_reassembly_messages_total") < f64::from(jobs)
    {
        std::thread::sleep(Duration::from_millis(500));
    }
    let seconds = before.0.elapsed().as_secs_f64();
    let after = daemon.process.usage();
    let mut units = cloud.moto.units();
    for (kind, count) in units_before {
        *units.get_mut(&kind).unwrap() -= count;
    }
    let sizes = cloud.moto.sizes();
    let mut calls = cloud.moto.calls();
    for (operation, count) in before.2 {
        *calls.get_mut(&operation).unwrap() -= count;
    }
    // What the container and the emulator read and write themselves.
    for (operation, own) in match backend {
        "http" => &[("s3.GET", 1), ("s3.PUT", 1)][..],
        "sagemaker" => &[("s3.GET", 2), ("s3.PUT", 2)],
        _ => &[],
    } {
        *calls.get_mut(*operation).unwrap() -= own * u64::from(jobs * segments);
    }
    calls.retain(|_, count| *count > 0);
    if backend == "sagemaker" {
        calls.insert("SageMakerRuntime.InvokeEndpointAsync".into(), endpoint.stats().accepted);
    }
    daemon.process.signal(Signal::SIGTERM);
    assert_eq!(daemon.process.wait().code, Some(0));
    for cut in &cuts {
        assert_eq!(cloud.completions(cut).await.len(), segments as usize);
    }
    Measured {
        backend,
        segments: jobs * segments,
        seconds,
        cpu_ms: (after.cpu - before.1.cpu).as_secs_f64() * 1000.0,
        peak_mib: mib(after.peak_memory_bytes),
        calls,
        units,
        sizes,
    }
}

/// The share of time in which the endpoint's slots have a request, and in which containers run one, from the
/// first segment that it accepts to the end of the last. What lies between is the endpoint's own: it reads
/// requests and writes responses through moto.
async fn slots(run: Duration, segments: u32) -> (f64, f64) {
    let cloud = Cloud::start(EventFaults::default(), Cloud::endpoint_pool()).await;
    let cut = Cut {
        job_id: "slots".parse().unwrap(),
        mode: Mode::Sbs,
        total: segments,
        unreadable: false,
    };
    cloud.submit(&cut, Order::TotalFirst).await;
    let endpoint = cloud.endpoint(SLOTS as usize, run, &[]);
    let mut command = cloud.worker_of(&endpoint);
    let daemon = Daemon::run(command.env("INFERENCE_MAX_IN_FLIGHT", SLOTS.to_string()));
    let wait = |done: &dyn Fn() -> bool| {
        while !done() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Instant::now()
    };
    let began = wait(&|| endpoint.stats().accepted > 0);
    let over = |stats: &Stats| stats.succeeded == u64::from(segments) && stats.in_flight == 0;
    let ended = wait(&|| over(&endpoint.stats()));
    drop(daemon);
    let all = (ended - began).as_secs_f64() * f64::from(SLOTS);
    let busy = Duration::from_millis(endpoint.stats().busy_ms);
    (busy.as_secs_f64() / all, (run * segments).as_secs_f64() / all)
}

/// What the one item of permits costs when many replicas share as many permits as are allowed: transactions
/// and reads per segment, which grow where writers meet, and the write units and size of that item.
async fn crowd(replicas: u32, permits: u32, segments: u32) -> String {
    let cloud = Cloud::start(EventFaults::default(), Cloud::endpoint_pool()).await;
    let cut = Cut {
        job_id: "crowd".parse().unwrap(),
        mode: Mode::Sbs,
        total: segments,
        unreadable: false,
    };
    cloud.submit(&cut, Order::TotalFirst).await;
    let endpoint = cloud.endpoint(permits as usize, Duration::from_secs(1), &[]);
    cloud.moto.forget_calls();
    let before = cloud.moto.units();
    let daemons: Vec<_> = (0..replicas)
        .map(|_| {
            let mut command = cloud.worker_of(&endpoint);
            Daemon::run(command.env("INFERENCE_MAX_IN_FLIGHT", permits.to_string()))
        })
        .collect();
    while cloud.completions(&cut).await.len() < segments as usize {
        std::thread::sleep(Duration::from_millis(200));
    }
    let most = endpoint.stats().max_in_flight;
    drop(daemons);
    let (calls, units) = (cloud.moto.calls(), cloud.moto.units());
    let each = |count: u64| count as f64 / f64::from(segments);
    let named =
        |part: &str| calls.iter().filter(|(name, _)| name.ends_with(part)).map(|c| c.1).sum();
    let kind = units.keys().find(|kind| kind.ends_with(" permits")).unwrap();
    let spent = units[kind] - before.get(kind).copied().unwrap_or(0);
    format!(
        "| {replicas} | {permits} | {most} | {:.2} | {:.2} | {:.2} | {} |",
        each(named("TransactWriteItems")),
        each(named("BatchGetItem")),
        each(spent),
        cloud.moto.sizes()[kind],
    )
}

/// Processor time and calls of a daemon that has nothing to do, each per minute, and its memory.
async fn idle() -> (f64, u64, f64) {
    let cloud = Cloud::start(EventFaults::default(), Cloud::endpoint_pool()).await;
    let endpoint = cloud.endpoint(1, Duration::ZERO, &[]);
    let daemon = Daemon::run(&mut cloud.worker_of(&endpoint));
    // The buckets' own test events are taken, and receives become long, before it counts as idle.
    std::thread::sleep(IDLE);
    cloud.moto.forget_calls();
    let before = daemon.process.usage();
    std::thread::sleep(IDLE * IDLE_MINUTES);
    let after = daemon.process.usage();
    let minutes = f64::from(IDLE_MINUTES);
    let calls: u64 = cloud.moto.calls().values().sum();
    let cpu = (after.cpu - before.cpu).as_secs_f64() * 1000.0 / minutes;
    println!("\nCalls of an idle daemon in {IDLE_MINUTES} minutes: {:?}", cloud.moto.calls());
    (cpu, (calls as f64 / minutes) as u64, mib(after.peak_memory_bytes))
}

/// Peak memory of a daemon that copies one segment of `size_mib`, and its processor time.
async fn large(size_mib: u32) -> (f64, f64) {
    let cloud = Cloud::start(EventFaults::default(), "stub").await;
    let cut =
        Cut { job_id: "large".parse().unwrap(), mode: Mode::Sbs, total: 1, unreadable: false };
    let file = cloud.folder().join("segment");
    std::fs::File::create(&file).unwrap().set_len(u64::from(size_mib) << 20).unwrap();
    cloud.open(&cut).await;
    let segment = Segment::new(cut.job_id.clone(), 0, 1, cut.mode).unwrap();
    let uri = cloud.buckets.input.uri(&ObjectKey::Segment(segment)).unwrap();
    cloud.objects.upload(&file, &uri).await.unwrap();
    std::fs::remove_file(&file).unwrap();
    let daemon = Daemon::run(cloud.worker().env("INFERENCE_BACKEND", "stub"));
    while daemon.metric(COMPLETED) < 1.0 {
        std::thread::sleep(Duration::from_millis(500));
    }
    let usage = daemon.process.usage();
    let key = ObjectKey::Result { job_id: cut.job_id.clone(), index: 0 };
    let made = cloud.objects.head(&cloud.buckets.output.uri(&key).unwrap()).await.unwrap();
    assert_eq!(made.unwrap().size, u64::from(size_mib) << 20);
    (mib(usage.peak_memory_bytes), usage.cpu.as_secs_f64())
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = info.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("?");
    let processors = std::thread::available_parallelism().unwrap();
    format!("{processors} processors, {model}")
}

#[tokio::main]
async fn main() {
    let (jobs, segments) = (number("BENCH_JOBS", 25), number("BENCH_SEGMENTS", 40));
    println!("machine: {}", machine());
    println!("command: BENCH_JOBS={jobs} BENCH_SEGMENTS={segments} make bench-worker\n");
    println!(
        "| backend | segments/s | CPU s per 1,000 segments | AWS calls per segment | peak memory, MiB |"
    );
    println!("| --- | --- | --- | --- | --- |");
    let mut all = Vec::new();
    let only = std::env::var("BENCH_BACKENDS").unwrap_or("sagemaker,http,stub".into());
    for backend in ["sagemaker", "http", "stub"].into_iter().filter(|name| only.contains(name)) {
        let m = measure(backend, jobs, segments).await;
        println!(
            "| {} | {:.1} | {:.2} | {:.2} | {:.1} |",
            m.backend,
            f64::from(m.segments) / m.seconds,
            m.cpu_ms / f64::from(m.segments),
            m.per_segment(m.calls.values().sum()),
            m.peak_mib,
        );
        all.push(m);
    }
    println!("\nCalls per segment by operation:\n");
    for m in &all {
        let mut calls: Vec<_> = m.calls.iter().collect();
        calls.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let said = calls.iter().map(|(name, count)| {
            let name = name.rsplit_once("_2012").map_or(name.as_str(), |_| name);
            format!("{name} {:.2}", m.per_segment(**count))
        });
        println!("- {}: {}", m.backend, said.collect::<Vec<_>>().join(", "));
    }
    println!(
        "\nWrite units of DynamoDB per segment, and the largest item of each kind in bytes:\n"
    );
    for m in &all {
        let said = m.units.iter().filter(|(_, count)| **count > 0).map(|(kind, count)| {
            format!("{kind} {:.2} ({})", m.per_segment(*count), m.sizes[kind])
        });
        let sum = m.per_segment(m.units.values().sum());
        println!("- {}: {sum:.2}: {}", m.backend, said.collect::<Vec<_>>().join(", "));
    }
    println!("\n| seconds of a segment at {SLOTS} slots | segments | slot use | of it running |");
    println!("| --- | --- | --- | --- |");
    let lengths = [(1, number("BENCH_SHORT", 300)), (10, number("BENCH_LONG", 50))];
    for (seconds, segments) in lengths.into_iter().filter(|(_, segments)| *segments > 0) {
        let (used, ran) = slots(Duration::from_secs(seconds), segments).await;
        println!("| {seconds} | {segments} | {used:.3} | {ran:.3} |");
    }
    println!(
        "\n| replicas | permits | most in flight | transactions | reads | units of the permits | bytes |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (replicas, permits) in [(1, 20), (8, 20)] {
        println!("{}", crowd(replicas, permits, number("BENCH_CROWD", 200)).await);
    }
    let (cpu, calls, memory) = idle().await;
    println!("\nIdle: {cpu:.0} ms of CPU and {calls} calls a minute, {memory:.1} MiB.");
    println!("\n| one segment through the stub, MiB | peak memory, MiB | CPU s |");
    println!("| --- | --- | --- |");
    for size in [1, 64, number("BENCH_LARGE_MIB", LARGE_MIB)] {
        let (memory, cpu) = large(size).await;
        println!("| {size} | {memory:.1} | {cpu:.2} |");
    }
}
