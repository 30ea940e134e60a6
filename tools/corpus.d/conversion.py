"""One run of `parallax convert` in a folder of its own, with an end whatever it does."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

# Time that a program which was told to stop, and its children, have for it.
GRACE = 5.0
# Longer lines of standard error are cut: a child may log without end.
KEPT_LOG = 1 << 20
# Films up to this size are copied beside their result.
COPIED = 64 << 20
# Programs that run now.
RUNNING = set()


@dataclass
class Run:
    """What a conversion did, as its user sees it."""

    code: int | None
    seconds: float
    hung: bool
    events: list[dict] = field(default_factory=list)
    garbled: list[str] = field(default_factory=list)
    log: str = ""
    leftovers: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    result: Path | None = None
    home: Path | None = None

    def texts(self):
        """Every event that tells the user something, as text."""
        quiet = ("started", "completed", "progress", "segments", "shot", "stage")
        return [json.dumps(e, ensure_ascii=False) for e in self.events if e.get("event") not in quiet]

    def warnings(self):
        return [e.get("message", "") for e in self.events if e.get("event") == "warning"]

    def reason(self):
        """Why there is no result."""
        errors = [e.get("message", "") for e in self.events if e.get("event") == "error"]
        if errors:
            return errors[-1]
        lines = [line for line in self.log.splitlines() if line.strip()]
        said = [line for line in lines if line.startswith("error")]
        return (said or lines or [f"no message; exit code {self.code}"])[0]

    def panicked(self):
        return next((line for line in self.log.splitlines() if "panicked" in line), None)


def convert(parallax, film, home, arguments, limit):
    """Converts `film` in the new folder `home`, at most `limit` seconds."""
    stage, temporary = home / "film", home / "tmp"
    stage.mkdir(parents=True)
    temporary.mkdir()
    own = stage / film.name
    _bring(film, own)
    out, log = home / "events", home / "log"
    environment = dict(os.environ, TMPDIR=str(temporary))
    began = time.monotonic()
    with open(out, "wb") as stdout, open(log, "wb") as stderr:
        command = [parallax, "convert", own, "--json", *arguments]
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environment,
            start_new_session=True,
        )
        RUNNING.add(child)
        hung = False
        try:
            child.wait(limit)
        except subprocess.TimeoutExpired:
            hung = True
            _end(child)
        RUNNING.discard(child)
    run = Run(None if hung else child.returncode, time.monotonic() - began, hung, home=home)
    run.orphans = _orphans(child.pid)
    with open(log, "rb") as file:
        run.log = file.read(KEPT_LOG).decode(errors="replace")
    _read_events(out, run)
    made = next((e.get("output") for e in run.events if e.get("event") == "completed"), None)
    found = sorted(entry for entry in stage.iterdir() if entry != own)
    if run.code == 0 and made:
        # A name that is not text is told with stand-ins: then the only video there is meant.
        named = [entry for entry in found if str(entry) == made]
        videos = [entry for entry in found if entry.suffix in (".mp4", ".mkv")]
        run.result = next(iter(named or (videos if "\ufffd" in made else [])), None)
    left = [entry for entry in found if entry != run.result] + sorted(temporary.iterdir())
    run.leftovers = [str(entry.relative_to(home)) for entry in left]
    return run


def _bring(film, own):
    # A copy leaves the original's times and links alone; nobody waits for one of a large film.
    if film.stat().st_size <= COPIED:
        shutil.copyfile(film, own)
    else:
        own.symlink_to(film.resolve())


def _read_events(path, run):
    for line in path.read_bytes().decode(errors="replace").splitlines():
        try:
            event = json.loads(line)
            run.events.append(event if isinstance(event, dict) else {"event": "?"})
        except ValueError:
            run.garbled.append(line)


def _session(leader):
    """Processes of the session that `leader` began, apart from those that have ended."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = re.fullmatch(r"\d+ \((.*)\) (.*)", entry.read_text(errors="replace"), re.S).groups()
        except (OSError, AttributeError):
            continue
        values = rest.split()
        if values[0] not in "ZX" and int(values[3]) == leader:
            found.append((int(entry.parent.name), name))
    return found


def _end(child):
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid, _ in _session(child.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        try:
            child.wait(GRACE)
            return
        except subprocess.TimeoutExpired:
            continue
    child.wait()


def end_all():
    """Ends every conversion that still runs."""
    for child in list(RUNNING):
        _end(child)


def _orphans(leader):
    """Children that outlive the program, once they had time to end; they are ended here."""
    until = time.monotonic() + GRACE
    while (alive := _session(leader)) and time.monotonic() < until:
        time.sleep(0.05)
    for pid, _ in alive:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return [name for _, name in alive]
