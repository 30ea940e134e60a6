//! Our programs as processes that do not outlive the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

/// The built program called `name`, beside the running test.
pub(crate) fn bin(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let path = profile.join(name);
    assert!(path.is_file(), "{}: build it first: cargo build --bins", path.display());
    path
}

/// What a program may see of this process's surroundings: the machine's, and nothing that somebody set
/// for another run of it.
const SURROUNDINGS: [&str; 4] = ["PATH", "TMPDIR", "LD_LIBRARY_PATH", "LLVM_PROFILE_FILE"];

/// `command` without any other variables.
pub(crate) fn alone(mut command: Command) -> Command {
    command.env_clear();
    for name in SURROUNDINGS {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

/// The built program called `name`, with no variables but those of the machine.
pub fn program(name: &str) -> Command {
    alone(Command::new(bin(name)))
}

/// `command` with its variables and arguments, but of another program.
pub fn instead(program: &Path, command: &Command) -> Command {
    let mut other = Command::new(program);
    other.env_clear().args(command.get_args());
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    other
}

/// `parallax convert INPUT`, quick and over short segments.
pub fn convert(input: &Path) -> Command {
    let mut command = program("parallax");
    command.arg("convert").arg(input);
    command.args(["--preset", "ultrafast", "--segment-seconds", "1"]);
    command
}

/// The folder that keeps an unfinished conversion to an output in `folder`, if there is one.
pub fn state_folder(folder: &Path) -> Option<PathBuf> {
    let entries = folder.read_dir().unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths.find(|path| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.starts_with(b".parallax-") && path.is_dir()
    })
}

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// The one error that a person sees; panics when there is none, more than one, or success.
    pub fn error(&self) -> &str {
        assert!(self.code.is_some_and(|code| code != 0), "no failure: {self:?}");
        let errors: Vec<_> = self.stderr.split("error: ").skip(1).collect();
        assert_eq!(errors.len(), 1, "said once: {self:?}");
        assert!(!self.stderr.contains("@ 0x"), "an address helps nobody: {self:?}");
        errors[0].trim_end()
    }
}

/// Runs to the end.
pub fn finish(command: &mut Command) -> Finished {
    Running::start(command).wait()
}

/// What a program has used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Processor time, user and system, of all its threads.
    pub cpu: Duration,
    /// The most memory that was resident at once.
    pub peak_memory_bytes: u64,
}

/// The unit of times in `/proc`: `USER_HZ` is 100 wherever Linux runs.
const TICK_MILLIS: u64 = 10;

/// A running program, with everything it started. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: NamedTempFile,
    stderr: NamedTempFile,
}

impl Running {
    /// Starts `command` in a process group of its own.
    pub fn start(command: &mut Command) -> Self {
        use std::os::unix::process::CommandExt;
        // Files, because a killed program's children would keep pipes open.
        let (stdout, stderr) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
        let appending =
            |file: &NamedTempFile| File::options().append(true).open(file.path()).unwrap();
        command.stdin(Stdio::null()).process_group(0);
        command.stdout(appending(&stdout)).stderr(appending(&stderr));
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, stdout, stderr }
    }

    /// What it has used of the machine so far.
    pub fn usage(&self) -> Usage {
        let page = |name: &str| {
            std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap()
        };
        let stat = page("stat");
        // The program's name may hold anything; the fields follow its last bracket.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks: u64 = fields[11..13].iter().map(|text| text.parse::<u64>().unwrap()).sum();
        let status = page("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        Usage { cpu: Duration::from_millis(ticks * TICK_MILLIS), peak_memory_bytes: kib << 10 }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Sends a signal to the program, not to its children.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it has said on standard output and standard error so far.
    pub fn said(&self) -> (String, String) {
        let read = |file: &NamedTempFile| std::fs::read(file.path()).unwrap();
        let text = |file| String::from_utf8_lossy(&read(file)).into_owned();
        (text(&self.stdout), text(&self.stderr))
    }

    /// Waits for its end, at most `limit`; panics when it runs longer.
    pub fn wait_at_most(mut self, limit: Duration) -> Finished {
        let began = Instant::now();
        while !self.has_ended() {
            assert!(began.elapsed() < limit, "runs after {limit:?}: {}", self.said().1);
            std::thread::sleep(Duration::from_millis(5));
        }
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Finished {
        let status: ExitStatus = self.child.wait().unwrap();
        let (stdout, stderr) = self.said();
        Finished { code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
