"""Blocks of commands in the book: each says what it needs, and those that need nothing are run.

The first word of a block is its language. A block in `sh` has a second one:

    sh run      is run by the check, with the programs, a small film.mp4 and a weights folder at hand
    sh build    compiles, or installs what compiles
    sh cloud    needs an account at a cloud
    sh hub      downloads from a model hub
    sh gpu      needs a GPU
    sh host     changes the machine: services, users, a firewall; or needs Docker
    sh example  is part of a command, or needs files of the reader's own

The blocks of one page are one script, run in an empty folder that is thrown away. What they leave
running is ended with it.
"""

import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path

import pages

KINDS = {"run", "build", "cloud", "hub", "gpu", "host", "example"}
SHELLS = {"sh", "bash", "shell", "console"}
# Seconds for the commands of a page: a hang is told, nothing else is measured.
LIMIT = 120


def unlabelled():
    """Blocks of commands that do not say what they need."""
    for page in pages.all_pages():
        for block in pages.blocks(page):
            words = block.info.split()
            where = f"{page.relative_to(pages.ROOT)}:{block.line}"
            if not words:
                continue
            if words[0] in SHELLS - {"sh"}:
                yield f"{where}: commands are in `sh`, not `{words[0]}`"
            elif words[0] == "sh" and (len(words) != 2 or words[1] not in KINDS):
                yield f"{where}: a block of commands is one of: " + ", ".join(f"sh {k}" for k in sorted(KINDS))


def runnable():
    """Pages with commands that can be run here, and these."""
    for page in pages.all_pages():
        found = [block for block in pages.blocks(page) if block.info == "sh run"]
        if found:
            yield page, found


def _script(blocks):
    lines = ["set -euo pipefail"]
    for block in blocks:
        lines.append(f"echo '### line {block.line}' >&2")
        lines.append(block.text)
    return "\n".join(lines)


def _prepare(folder, binaries):
    """What the commands find: a short film, and the programs where a build would have put them."""
    subprocess.run(
        ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=96x64:r=12:d=1", "-f", "lavfi",
         "-i", "sine=d=1", "-pix_fmt", "yuv420p", "-shortest", folder / "film.mp4"],
        check=True,
    )
    (folder / "target").mkdir()
    (folder / "target" / "release").symlink_to(binaries)


def run(page, blocks, binaries):
    """Runs a page's commands; what went wrong, or nothing."""
    with tempfile.TemporaryDirectory(prefix="parallax-book-") as name:
        folder = Path(name)
        _prepare(folder, binaries)
        kept = {k: v for k, v in os.environ.items() if k in {"LANG", "LC_ALL", "TMPDIR"}}
        environment = kept | {"PATH": f"{binaries}:{os.environ['PATH']}", "HOME": name}
        with open(folder / ".log", "w+") as log:
            child = subprocess.Popen(
                ["bash", "-c", _script(blocks)], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )
            try:
                code = child.wait(LIMIT)
            except subprocess.TimeoutExpired:
                code = f"still running after {LIMIT} seconds"
            _end(child.pid)
            log.seek(0)
            text = log.read()
    if code == 0:
        return None
    at = re.findall(r"^### line (\d+)", text, re.M)
    place = f"{page.relative_to(pages.ROOT)}:{at[-1] if at else '?'}"
    return f"{place}: the commands ended with {code}\n" + "\n".join(text.splitlines()[-25:])


def _end(group):
    """Ends whatever a page's commands left running."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def shared_ports():
    """Ports that the commands of two pages use: pages are run at the same time."""
    users = {}
    for page, blocks in runnable():
        for port in set(re.findall(r"127\.0\.0\.1:(\d+)", "".join(block.text for block in blocks))):
            users.setdefault(port, []).append(str(page.relative_to(pages.ROOT)))
    for port, names in users.items():
        if len(names) > 1:
            yield f"port {port} is used by {' and '.join(names)}"
