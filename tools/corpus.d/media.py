"""What a file holds, by ffprobe and ffmpeg alone: nothing of the converter is used to judge it."""

import hashlib
import json
import subprocess
from dataclasses import dataclass, field
from fractions import Fraction

# The longest that one look at a file may take, in seconds.
PATIENCE = 300


class Unreadable(Exception):
    """ffprobe or ffmpeg could not read the file."""


@dataclass
class Pictures:
    """The decoded pictures of one stream, in the order shown."""

    times: list[float] = field(default_factory=list)
    sizes: set[tuple[int, int]] = field(default_factory=set)
    side_data: set[str] = field(default_factory=set)
    last_seconds: float | None = None
    complaints: list[str] = field(default_factory=list)


@dataclass
class Sound:
    """One decoded audio stream: seconds on the file's clock, and a hash of its samples."""

    start: float | None
    end: float | None
    samples: int
    rate: int
    digest: str


def _run(command):
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unreadable(f"{command[0]} took more than {PATIENCE} s") from error
    if done.returncode != 0 and not done.stdout.strip(b"{} \n"):
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Unreadable(said[-1] if said else f"{command[0]} failed with {done.returncode}")
    return done.stdout, done.stderr.decode(errors="replace")


def url(path):
    """A name that ffmpeg takes for a file whatever is in it."""
    return b"file:" + bytes(path)


def probe(path):
    """Streams, format and chapters."""
    command = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-show_chapters"]
    out, _ = _run([*command, "-of", "json", "-i", url(path)])
    answer = json.loads(out.decode(errors="replace"))
    if not answer.get("streams"):
        raise Unreadable("no streams")
    return answer


def is_still(stream):
    """Cover art and thumbnails: no moving picture."""
    flags = stream.get("disposition", {})
    return any(flags.get(flag) for flag in ("attached_pic", "timed_thumbnails", "still_image"))


def main_video(answer):
    """The stream that players show: the first that is marked as default, else the first."""
    videos = [s for s in answer["streams"] if s.get("codec_type") == "video" and not is_still(s)]
    marked = [s for s in videos if s.get("disposition", {}).get("default")]
    return next(iter(marked or videos), None)


def decode(path, answer, video):
    """Decodes the pictures of one stream, and every sound to see when each begins and ends."""
    # One at a time: ffprobe 5 has no other way to leave out subtitles, some of which it decodes without end.
    shots, _ = _frames(path, answer, str(video))
    _, spans = _frames(path, answer, "a") if _sounds(answer) else (None, {})
    return shots.get(video, Pictures()), spans


def _sounds(answer):
    return [s for s in answer["streams"] if s.get("codec_type") == "audio"]


def _frames(path, answer, select):
    entries = "frame=media_type,stream_index,best_effort_timestamp_time,pkt_duration_time,duration_time,width"
    command = ["ffprobe", "-v", "error", "-select_streams", select, "-show_frames", "-show_entries"]
    command += [entries + ",height,nb_samples:frame_side_data=side_data_type", "-of", "compact"]
    out, said = _run([*command, "-i", url(path)])
    rates = {s["index"]: int(s.get("sample_rate") or 0) for s in answer["streams"]}
    shots, spans, shot = {}, {}, Pictures()
    for line in out.decode(errors="replace").splitlines():
        values = dict(word.split("=", 1) for word in line.split("|") if "=" in word)
        index, time = int(values.get("stream_index", -1)), _number(values.get("best_effort_timestamp_time"))
        if values.get("media_type") == "video":
            shot = shots.setdefault(index, Pictures())
            shot.times.append(time if time is not None else float("nan"))
            shot.sizes.add((int(values["width"]), int(values["height"])))
            shot.last_seconds = _number(values.get("duration_time") or values.get("pkt_duration_time"))
        elif values.get("media_type") == "audio" and time is not None and rates.get(index):
            begin, _ = spans.get(index, (time, time))
            spans[index] = (begin, time + int(values.get("nb_samples", 0)) / rates[index])
        if "side_data_type" in values:
            shot.side_data.add(values["side_data_type"])
    for shot in shots.values():
        shot.complaints = _of_pictures(said.strip().splitlines(), answer)
    return shots, spans


def _of_pictures(lines, answer):
    """What ffprobe complains of, apart from what decoders of sound do."""
    sounds = {s.get("codec_name", "?")[:3] for s in _sounds(answer)}
    return [line for line in lines if not any(line.startswith(f"[{name}") for name in sounds)]


def sound(path, stream, span):
    """Hears an audio stream that begins and ends at the times of `span`."""
    index, rate = str(stream["index"]), int(stream.get("sample_rate") or 0)
    digest, size = hashlib.sha256(), 0
    for block in _samples(path, index, []):
        digest.update(block)
        size += len(block)
    width = 4 * max(1, int(stream.get("channels") or 1))
    start, end = span
    return Sound(start, end, size // width, rate, digest.hexdigest()[:16])


def murmur(path, index, seconds):
    """The first seconds of an audio stream as 8000 samples of 16 bits a second, one channel."""
    filters = ["-ac", "1", "-ar", "8000", "-t", str(seconds)]
    data = b"".join(_samples(path, str(index), filters, "s16le"))
    return memoryview(data[: len(data) // 2 * 2]).cast("h")


def samples(path, index):
    """All samples of an audio stream, 32 bits each."""
    return b"".join(_samples(path, str(index), []))


def samples_unedited(path, index):
    """The same of an MP4 without its edit lists."""
    return b"".join(_samples(path, str(index), [], before=["-ignore_editlist", "1"]))


def _samples(path, index, options, form="s32le", before=()):
    command = ["ffmpeg", "-v", "error", "-nostdin", *before, "-i", url(path), "-map", f"0:{index}"]
    command += [*options, "-c:a", f"pcm_{form}", "-f", form, "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        while block := child.stdout.read(1 << 20):
            yield block


def likeness(result, result_index, source, source_index, eye, form):
    """PSNR in dB of every picture of the left eye against the source's, in order.

    `eye` is the eye's size in the result; `form` a filter that brings both to one kind of samples.
    """
    width, height = eye
    count = "settb=1/1000,setpts=N"
    left = f"[0:{result_index}]crop={width}:{height}:0:0,{form},{count}[left]"
    whole = f"[1:{source_index}]crop={width}:{height}:0:0,{form},{count}[whole]"
    compare = "[left][whole]psnr=stats_file=-:shortest=1"
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", url(result), "-i", url(source)]
    command += ["-lavfi", f"{left};{whole};{compare}", "-vsync", "passthrough", "-f", "null", "/dev/null"]
    out, said = _run(command)
    values = []
    for line in out.decode().splitlines():
        found = [word[9:] for word in line.split() if word.startswith("psnr_avg:")]
        values += [100.0 if word == "inf" else float(word) for word in found]
    if not values:
        raise Unreadable((said.strip().splitlines() or ["no picture to compare"])[-1])
    return values


def ratio(text):
    """`4:3` or `30000/1001` as a fraction; None when it says nothing."""
    try:
        above, below = str(text).replace("/", ":").split(":")
        value = Fraction(int(above), int(below))
    except (ValueError, ZeroDivisionError):
        return None
    return value if value > 0 else None


def first_shown(times):
    """When the first picture is on the screen. Times below zero are before an MP4's edit: ffmpeg gives those
    pictures out, but players show of them at most the last, where none begins with the edit."""
    before = sum(time < 0 for time in times)
    if before in (0, len(times)):
        return times[0]
    return times[before] if times[before] < 1e-6 else times[before - 1]


def rotation(stream):
    """Degrees by which a player turns the picture, 0 to 359."""
    for data in stream.get("side_data_list", []):
        if "rotation" in data:
            return round(float(data["rotation"])) % 360
    return 0


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
