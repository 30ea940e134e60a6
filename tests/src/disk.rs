//! A disk with little room.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::process::alone;

/// A small filesystem in memory, mounted in a namespace of its own: nothing of it is left when the
/// test ends, however it ends. Needs no privileges where users may make namespaces.
#[derive(Debug)]
pub struct SmallDisk {
    holder: Child,
    shell: ChildStdin,
    said: BufReader<std::process::ChildStdout>,
    user: bool,
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts a filesystem of `size` (as in `200k`) over the existing folder `path`, seen by
    /// [`SmallDisk::command`] only.
    pub fn mount(path: &Path, size: &str) -> Self {
        [false, true].into_iter().find_map(|user| Self::try_mount(path, size, user)).expect(
            "a filesystem can be mounted in a namespace: run as root or allow user namespaces",
        )
    }

    fn try_mount(path: &Path, size: &str, user: bool) -> Option<Self> {
        let mut command = Command::new("unshare");
        if user {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "sh", "-s"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.stderr(Stdio::null()).spawn().expect("util-linux is needed");
        let shell = holder.stdin.take().expect("piped");
        let said = BufReader::new(holder.stdout.take().expect("piped"));
        let mut disk = Self { holder, shell, said, user, path: path.to_owned() };
        disk.ask(&format!("mount -t tmpfs -o size={size} tmpfs \"{}\"", path.display()))?;
        Some(disk)
    }

    /// Has the holder's shell do something; `None` when it fails or is gone.
    fn ask(&mut self, what: &str) -> Option<()> {
        writeln!(self.shell, "{what}; echo $?").ok()?;
        let mut answer = String::new();
        self.said.read_line(&mut answer).ok()?;
        (answer.trim() == "0").then_some(())
    }

    /// Changes its size.
    pub fn resize(&mut self, size: &str) {
        let path = self.path.display().to_string();
        self.ask(&format!("mount -o remount,size={size} \"{path}\"")).expect("resize");
    }

    /// Makes it read-only.
    pub fn freeze(&mut self) {
        let path = self.path.display().to_string();
        self.ask(&format!("mount -o remount,ro \"{path}\"")).expect("freeze");
    }

    /// `command` as a process that sees the disk.
    pub fn command(&self, command: &Command) -> Command {
        let mut inside = alone(Command::new("nsenter"));
        inside.arg("--target").arg(self.holder.id().to_string()).arg("--mount");
        if self.user {
            inside.args(["--user", "--preserve-credentials"]);
        }
        inside.arg("--").arg(command.get_program()).args(command.get_args());
        inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        inside
    }

    /// Where the disk is for processes that see it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the disk is for this process.
    pub fn seen_from_outside(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.path.strip_prefix("/").expect("an absolute path"))
    }

    /// Names in its top folder.
    pub fn list(&self) -> Vec<String> {
        let entries = self.seen_from_outside().read_dir().expect("list the disk");
        let name = |e: std::io::Result<std::fs::DirEntry>| {
            e.expect("list the disk").file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
