"""What a viewer or an owner of a film would notice, one check each."""

import math
import re
from dataclasses import dataclass, field

import media
import streams

# Frame times may differ by Matroska's unit; another hundredth is for printed decimals.
TIME = 0.00101
# Sound is placed in the units of two containers, on either side.
OFFSET = 0.0025
# Encoders of sound work in frames and fill the last one.
CODED = 0.06
LIKENESS = 33.0
COARSE_LIKENESS = 25.0
# What a message says when it leaves the user with something to do.
WAY_ON = re.compile(
    r"--\w|allowed|needed|needs|pass |use |choose|copy|empty|no video|not a (readable )?video|cut off"
    r"|unsupported|not the video|cannot be decoded|incomplete|download|record|again|make (a|it)",
    re.I,
)
OWN_PLACES = re.compile(r"\.parallax|/scratch/|/objects/|segments/[\w-]+/|\.partial")


@dataclass
class Report:
    """One film's checks. `checks` has True, False or None (not looked at) by name."""

    name: str
    outcome: str
    seconds: float
    frames: int | None = None
    reason: str = ""
    checks: dict[str, bool | None] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def say(self, check, good, fault=""):
        """Records a check; a name that failed once stays failed."""
        if self.checks.get(check) is not False:
            self.checks[check] = good
        if good is False:
            self.faults.append(f"{check}: {fault}")


NAMES = ("outcome", "frames", "times", "sound", "size", "shape", "colour", "streams", "told", "left")


def look(name, film, run, wanted):
    """Judges a conversion of `film` against the film itself and what was written down of it."""
    outcome = "hung" if run.hung else "converted" if run.code == 0 else "refused"
    report = Report(name, outcome, run.seconds, told=run.warnings())
    if panic := run.panicked():
        report.outcome = "panicked"
        report.say("outcome", False, panic)
    if run.hung:
        report.say("outcome", False, f"no end after {run.seconds:.0f} s; last event {_last(run)}")
    expected = wanted.get("outcome", outcome)
    if expected not in (report.outcome, "either") and not run.hung:
        why = wanted.get("why", "")
        detail = run.reason() if outcome == "refused" else "there is a result"
        report.say("outcome", False, f"{report.outcome}, should be {expected} ({why}): {detail}")
    # What is done stays where the message says how to go on from it.
    promised = run.code == 1 and "--resume" in run.reason()
    left = [name for name in run.leftovers if not (promised and "parallax" in name)]
    report.say("left", not left, ", ".join(left))
    if run.orphans:
        report.say("left", False, f"still running: {', '.join(run.orphans)}")
    if run.garbled:
        report.say("told", False, f"--json wrote what is not JSON: {run.garbled[0][:100]!r}")
    if report.outcome == "refused":
        report.reason = run.reason()
        _refusal(report, film, run, wanted)
    elif report.outcome == "converted":
        report.say("outcome", True)
        for pattern in wanted.get("told", []):
            said = any(re.search(pattern, text, re.I) for text in run.texts())
            report.say("told", said, f"nothing says /{pattern}/")
        if run.result is None:
            report.say("outcome", False, "exit code 0 without the file it promises")
        else:
            suffix = wanted.get("suffix", run.result.suffix)
            fault = f"the result is {run.result.suffix}, should be {suffix}"
            report.say("outcome", run.result.suffix == suffix, fault)
            _result(report, film, run, wanted)
    return report


def _last(run):
    return run.events[-1].get("event") if run.events else "none"


def _refusal(report, film, run, wanted):
    reason = report.reason
    shown = film.name.encode(errors="replace").decode()
    named = any(part in reason for part in (shown, shown[:80], film.stem[:40])) or not film.name.isprintable()
    report.say("told", named, f"the message does not name the film: {reason[:200]}")
    rest = reason.rsplit(shown, 1)[-1]
    report.say("told", len(rest) > 12 and not OWN_PLACES.search(rest), f"no reason a user knows: {reason[:200]}")
    report.say("told", bool(WAY_ON.search(rest)), f"no way on: {reason[:200]}")
    if run.code not in (1, 2, None):
        report.say("outcome", False, f"exit code {run.code}")
    if pattern := wanted.get("reason"):
        said = re.search(pattern, reason, re.I)
        report.say("outcome", bool(said), f"the reason is not /{pattern}/: {reason[:200]}")
    report.say("outcome", True)


def _result(report, film, run, wanted):
    try:
        source, result = media.probe(film), media.probe(run.result)
        before, after = media.main_video(source), media.main_video(result)
        if before is None or after is None:
            raise media.Unreadable("no moving picture")
        index = wanted.get("video", before["index"])
        before = next(s for s in source["streams"] if s["index"] == index)
        shown, heard = media.decode(film, source, index)
        made, kept = media.decode(run.result, result, after["index"])
        spans = heard, kept
    except media.Unreadable as error:
        report.say("frames", False, f"cannot be compared: {error}")
        return
    damaged = wanted.get("damaged", bool(shown.complaints))
    if damaged:
        report.say("told", bool(run.texts()), "the film is damaged and nobody says so")
    report.frames = len(made.times)
    count = wanted.get("frames") or (None if damaged else len(shown.times))
    if count is not None:
        low, high = count if isinstance(count, list) else (count, count)
        report.say("frames", low <= len(made.times) <= high, f"{len(made.times)} of {count}")
    _times(report, shown, made, wanted, damaged)
    _shape(report, before, after, shown, made, wanted)
    same = len(shown.times) == len(made.times) and not wanted.get("changed")
    _colour(report, film, run.result, before, after, shown, same and len(shown.sizes) == 1, damaged)
    streams.compare(report, run, source, result, before, (shown, made))
    _sound(report, film, run, (source, result), (shown, made), spans, damaged, wanted)


def _times(report, shown, made, wanted, damaged):
    if "seconds" in wanted and made.times:
        length = made.times[-1] - made.times[0] + (made.last_seconds or 0)
        fault = f"{length:.4f} s of pictures; should be {wanted['seconds']:.4f}"
        report.say("times", abs(length - wanted["seconds"]) <= 2 * TIME, fault)
    source = wanted.get("times") or shown.times
    if len(source) != len(made.times) or not source:
        return
    if "times" not in wanted and (damaged or wanted.get("changed")):
        return
    moves = [(b - made.times[0]) - (a - source[0]) for a, b in zip(source, made.times)]
    worst = max(range(len(moves)), key=lambda i: abs(moves[i]))
    if any(math.isnan(move) for move in moves):
        report.say("times", None)
        return
    moved = sum(abs(move) > TIME for move in moves)
    fault = f"{moved} frames, by up to {moves[worst] * 1000:.2f} ms (frame {worst})"
    report.say("times", moved == 0, fault)


def _shape(report, before, after, shown, made, wanted):
    if len(made.sizes) != 1:
        report.say("size", False, f"sizes {sorted(made.sizes)}")
        return
    turned = media.rotation(before) % 180 == 90
    _upright(report, before, after, turned, wanted)
    if wanted.get("size", ()) is None:
        return
    (across, down), = made.sizes
    width, height = wanted.get("size") or next(iter(shown.sizes), (before["width"], before["height"]))
    if len(shown.sizes) > 1 and "size" not in wanted:
        width, height = before["width"], before["height"]
    if turned and "size" not in wanted:
        width, height = height, width
    good = across in (2 * width, 2 * width + 2) and down in (height, height + 1)
    report.say("size", good, f"{across}x{down}; eyes should be {width}x{height}")


def _upright(report, before, after, turned, wanted):
    if media.rotation(after):
        report.say("shape", False, "the result is not upright")
    aspect = media.ratio(before.get("sample_aspect_ratio")) or 1
    aspect = media.ratio(wanted.get("shape")) or (1 / aspect if turned else aspect)
    found = media.ratio(after.get("sample_aspect_ratio")) or 1
    report.say("shape", found == aspect, f"pixels are {found}; should be {aspect}")


def _colour(report, film, result, before, after, shown, same, damaged):
    rgb = re.match(r"(gbr|rgb|bgr|argb|abgr|pal|0rgb|x2|mono|ya|gray)", before.get("pix_fmt", ""))
    for tag in ("color_range", "color_space", "color_primaries", "color_transfer"):
        was, now = before.get(tag), after.get(tag)
        if was in (None, "unknown", "reserved", "gbr") or (rgb and tag in ("color_range", "color_space")):
            continue
        # Limited range is what nothing said means.
        same_range = tag == "color_range" and {was, now} <= {"tv", None, "unknown"}
        report.say("colour", was == now or same_range, f"{tag} was {was}, is {now}")
    if not same or (len(shown.times) > 2000):
        return
    (across, _), = shown.sizes
    width, height = (before["width"], before["height"])
    if media.rotation(before) % 180 == 90:
        width, height = height, width
    form = "scale=iw/4:-1:flags=area,format=gbrp" if rgb else f"format={after['pix_fmt']}"
    if "yuvj" in before.get("pix_fmt", ""):
        form = "scale=out_range=full," + form
    try:
        values = media.likeness(result, after["index"], film, before["index"], (width, height), form)
    except media.Unreadable as error:
        report.say("colour", None if damaged else False, f"cannot be compared: {error}")
        return
    # The median of a damaged film: what replaces a bad picture is not what ffmpeg makes up.
    value = sorted(values)[len(values) // 2] if damaged else min(values)
    least = COARSE_LIKENESS if rgb else LIKENESS
    report.say("colour", value >= least, f"the left eye has {value:.1f} dB")


def _sound(report, film, run, answers, shots, spans, damaged, wanted):
    source, result = ([s for s in a["streams"] if s.get("codec_type") == "audio"] for a in answers)
    kept = [s for s in source if not streams.named(run, s)]
    if wanted.get("sound_changed") or not kept or len(kept) != len(result):
        report.say("sound", None)
        return
    # Where pictures have no times of their own there is nothing to measure from.
    timed = bool(shots[0].times and shots[1].times) and not any(map(math.isnan, shots[0].times))
    # What damage at the beginning leaves of the pictures is not what ffprobe shows first.
    starts = [shot.times[-1] if damaged else media.first_shown(shot.times) for shot in shots] if timed else None
    for was, now in zip(kept, result):
        place = f"stream {was['index']} ({was.get('codec_name')})"
        try:
            heard = media.sound(film, was, spans[0].get(was["index"], (None, None)))
            made = media.sound(run.result, now, spans[1].get(now["index"], (None, None)))
        except media.Unreadable as error:
            report.say("sound", False, f"{place} cannot be compared: {error}")
            continue
        if heard.samples == 0:
            report.say("sound", False, f"{place} carries nothing and is not named")
            continue
        if "sound_seconds" in wanted:
            _edited(report, place, made, starts, wanted["sound_seconds"])
            _cut(report, place, (film, was), (run.result, now), wanted.get("sound_from"))
            continue
        if starts:
            _heard(report, place, (heard, made), starts, damaged, wanted)
        same = heard.digest == made.digest
        if same:
            continue
        copied = was.get("codec_name") == now.get("codec_name") and not streams.encoded(run, was)
        if copied and not damaged:
            fault = f"{place} has {made.samples} other samples; the film {heard.samples}"
            report.say("sound", False, fault)
            continue
        clear = _resemblance(film, was["index"], run.result, now["index"])
        report.say("sound", clear >= 0.7 or damaged, f"{place} resembles the film's by {clear:.2f}")


def _heard(report, place, sounds, starts, damaged, wanted):
    """Whether sound begins and ends where it did, seen from the first picture."""
    heard, made = sounds
    if heard.start is None or made.start is None:
        report.say("sound", made.samples > 0 or heard.samples == 0, f"{place} is silent")
        return
    begin = (made.start - starts[1]) - (heard.start - starts[0])
    stop = (made.end - starts[1]) - (heard.end - starts[0])
    if wanted.get("clock_jumps"):
        # The film's own clock tells no end: what is played follows without a gap.
        stop = made.end - made.start - heard.samples / heard.rate
    coded = heard.digest != made.digest
    # Before a damaged film's first picture there is nothing to measure from.
    near = CODED if damaged else OFFSET
    report.say("sound", abs(begin) <= near, f"{place} begins {begin * 1000:+.1f} ms off")
    near = CODED if coded else OFFSET
    report.say("sound", abs(stop) <= near or damaged, f"{place} ends {stop * 1000:+.1f} ms off")


def _edited(report, place, made, starts, seconds):
    """What is written down counts: ffmpeg plays several edits of sound in whole packets only, and takes the units of
    a track's clock for samples where it hides some."""
    length = made.samples / made.rate
    report.say("sound", abs(length - seconds) <= OFFSET, f"{place} plays {length:.4f} s of {seconds}")
    begin = (made.start or 0.0) - (starts[1] if starts else 0.0)
    report.say("sound", abs(begin) <= OFFSET, f"{place} begins {begin * 1000:+.1f} ms from the picture")


def _cut(report, place, source, result, first):
    """Whether copied sound begins with sample `first` of what the film holds without its edits."""
    if first is None:
        return
    (film, was), (made, now) = source, result
    whole, heard = media.samples_unedited(film, was["index"]), media.samples(made, now["index"])
    width = 4 * max(1, int(was.get("channels") or 1))
    # A decoder that begins there needs a packet or two to come to the same samples.
    settled, count = 4096 * width, 4096 * width
    begin = first * width + settled
    same = len(heard) >= settled + count and whole[begin : begin + count] == heard[settled : settled + count]
    report.say("sound", same, f"{place} does not begin with the film's sample {first}")


def _resemblance(film, index, result, other):
    """Correlation of the first seconds, where two codecs' delays meet best."""
    a, b = media.murmur(film, index, 2), media.murmur(result, other, 2)
    best = 0.0
    for shift in range(-64, 65, 1):
        x, y = a[max(0, shift):], b[max(0, -shift):]
        length = min(len(x), len(y), 4000)
        if length < 200:
            return 1.0
        energy = math.sqrt(sum(v * v for v in x[:length]) * sum(v * v for v in y[:length]))
        product = sum(v * w for v, w in zip(x[:length], y[:length]))
        best = max(best, product / energy if energy else 1.0)
    return best
