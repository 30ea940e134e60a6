//! What a container may still take of memory, as its control groups have it.
//!
//! `/proc/meminfo` tells of the whole machine. A process in a container with a limit is killed at that
//! limit, however much is free beside it. Both versions of control groups are read, and every group above
//! the process's own, since any of them may have the limit.

use std::fs;
use std::path::{Path, PathBuf};

/// Files of one version.
struct Names {
    limit: &'static str,
    usage: &'static str,
    /// Pages of files that are given up when memory is short, in `memory.stat`.
    reclaimable: &'static str,
}

const SECOND: Names =
    Names { limit: "memory.max", usage: "memory.current", reclaimable: "inactive_file" };
const FIRST: Names = Names {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
};

/// Bytes that this process's control groups leave it; `None` without a limit.
pub(crate) fn free_bytes() -> Option<u64> {
    free_within(Path::new("/"))
}

/// The same on a system whose root is at `root`.
fn free_within(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounted = root.join("sys/fs/cgroup");
    // "0::/path", or "7:cpu,memory:/path".
    let groups = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let path = path.trim_start_matches('/');
        match controllers {
            "" => Some((SECOND, mounted.clone(), path)),
            _ if controllers.split(',').any(|name| name == "memory") => {
                Some((FIRST, mounted.join("memory"), path))
            }
            _ => None,
        }
    });
    groups.filter_map(|(names, mount, path)| least(&names, &mount, path)).min()
}

/// The least that the group at `path` and those above it, up to `mount`, leave.
fn least(names: &Names, mount: &Path, path: &str) -> Option<u64> {
    let mut group: PathBuf = mount.join(path);
    let mut least = None;
    loop {
        // A container sees its own group as the mount; what lies between is not there.
        if let Some(left) = left(names, &group) {
            least = Some(least.map_or(left, |least: u64| least.min(left)));
        }
        if group == mount || !group.pop() {
            return least;
        }
    }
}

fn left(names: &Names, group: &Path) -> Option<u64> {
    let number = |name: &str| -> Option<u64> {
        fs::read_to_string(group.join(name)).ok()?.trim().parse().ok()
    };
    // "max" is no number; the first version's "no limit" is a very large one.
    let limit = number(names.limit)?;
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let reclaimable = stat.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == names.reclaimable).then(|| value.trim().parse::<u64>().ok())?
    });
    let taken = number(names.usage).unwrap_or(0).saturating_sub(reclaimable.unwrap_or(0));
    Some(limit.saturating_sub(taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct System(tempfile::TempDir);

    impl System {
        fn of(files: &[(&str, &str)]) -> Self {
            let system = Self(tempfile::tempdir().unwrap());
            for (path, text) in files {
                let path = system.0.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            system
        }

        fn free(&self) -> Option<u64> {
            free_within(self.0.path())
        }
    }

    #[test]
    fn the_tightest_group_of_the_second_version_counts_without_its_page_cache() {
        let system = System::of(&[
            ("proc/self/cgroup", "0::/pod/inner\n"),
            ("sys/fs/cgroup/pod/inner/memory.max", "max\n"),
            ("sys/fs/cgroup/pod/inner/memory.current", "400\n"),
            ("sys/fs/cgroup/pod/memory.max", "1000\n"),
            ("sys/fs/cgroup/pod/memory.current", "700\n"),
            ("sys/fs/cgroup/pod/memory.stat", "anon 300\ninactive_file 250\nactive_file 9\n"),
        ]);
        assert_eq!(system.free(), Some(550));
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_root_in_either_version() {
        let second = System::of(&[
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "5000\n"),
            ("sys/fs/cgroup/memory.current", "5100\n"),
        ]);
        assert_eq!(second.free(), Some(0));
        let first = System::of(&[
            ("proc/self/cgroup", "12:cpu,cpuacct:/docker/1\n7:memory:/docker/1\n0::/docker/1\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "8000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "3000\n"),
            ("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 1000\n"),
        ]);
        assert_eq!(first.free(), Some(6000));
    }

    #[test]
    fn no_limit_is_none() {
        assert_eq!(System::of(&[]).free(), None);
        let system =
            System::of(&[("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "max\n")]);
        assert_eq!(system.free(), None);
    }
}
