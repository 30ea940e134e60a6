"""Makes small films: by ffmpeg's own sources, and by what the byte editors do to them."""

import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

X264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 12"
AAC = "-c:a aac -b:a 64k"
# The same bytes on every run and machine with the same ffmpeg.
STEADY = "-threads 1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata:g -1"


class Unavailable(Exception):
    """This machine's ffmpeg cannot make the film."""


@dataclass
class Film:
    """One film: its name says what it is, `wanted` what should come of it."""

    name: str
    make: object
    wanted: dict = field(default_factory=dict)


def ffmpeg(*words):
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y"]
    for word in words:
        command += shlex.split(word) if isinstance(word, str) else [bytes(word)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Unavailable(said[-1] if said else f"exit code {done.returncode}")


def shot(path, video=X264, audio=AAC, *, size="96x64", frames=12, rate="25", source="testsrc2",
         picture="", tones=1, hertz=44100, more="", out="", before="", head=""):
    """Encodes a moving picture and `tones` tones as long as the picture.

    `picture` is a filter, `more` further inputs, `before` goes before the first input, `head` before
    the sound's, and `out` holds options of the muxer.
    """
    above, _, below = rate.partition("/")
    seconds = frames * int(below or 1) / int(above)
    # The source ends by itself: a limit on frames would end the sound with the last one encoded.
    shown = seconds * (1 - 0.2 / frames)
    words = [before, f"-f lavfi -i {source}=s={size}:r={rate}:d={shown:.6f}"]
    count = tones if audio else 0
    for place in range(count):
        words.append(f"{head} -f lavfi -i sine=f={440 + 220 * place}:r={hertz}:d={seconds}")
    words += [more, "-map 0:v"] + [f"-map {n + 1}:a" for n in range(count)]
    words += [f"-vf {shlex.quote(picture)}" if picture else "", video, audio, STEADY, out, path]
    ffmpeg(*words)


def film(name, video=X264, audio=AAC, wanted=None, **how):
    """A film that ffmpeg alone makes; every frame of it must arrive."""
    hope = {"outcome": "converted", "frames": how.get("frames", 12)}
    hope.update(wanted or {})
    return Film(name, lambda path: shot(path, video, audio, **how), hope)


def edited(name, change, base_suffix, video=X264, audio=AAC, wanted=None, **how):
    """A film whose bytes were changed after ffmpeg made it; `change` takes and gives bytes."""

    def make(path):
        first = path.with_name(f".{path.name[:60]}.base{base_suffix}")
        try:
            shot(first, video, audio, **how)
            path.write_bytes(change(first.read_bytes()))
        finally:
            first.unlink(missing_ok=True)

    return Film(name, make, {"outcome": "converted", **(wanted or {})})


def joined(name, suffix, shots, change=b"".join, wanted=None):
    """A film of several recordings: `change` takes their bytes and gives the film's."""

    def make(path):
        parts = [path.with_name(f".{path.name[:60]}.{n}{suffix}") for n in range(len(shots))]
        try:
            for part, how in zip(parts, shots):
                shot(part, **how)
            path.write_bytes(change([part.read_bytes() for part in parts]))
        finally:
            for part in parts:
                part.unlink(missing_ok=True)

    return Film(name, make, {"outcome": "converted", **(wanted or {})})


def beside(path, name, text):
    """A file that an encode needs, removed by the caller's folder at the end."""
    extra = Path(path).with_name(f".{Path(path).name[:60]}.{name}")
    extra.write_bytes(text if isinstance(text, bytes) else text.encode())
    return extra
