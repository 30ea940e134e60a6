//! Inputs that somebody made up, for everything that reads them. `tools/fuzz` runs the same for
//! longer.

mod addresses;
mod bodies;
mod heads;
mod requests;

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    kilobytes << 10
}
