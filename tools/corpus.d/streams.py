"""Silent loss: whatever a film carries is in the result, or an event names it."""

import re

import media

# Tags that describe the file that was, or that a container writes by itself.
OF_THE_FILE = re.compile(
    r"encoder|major_brand|minor_version|compatible_brands|duration|_statistics|bps|number_of|vendor_id"
    r"|handler_name|wm|device|software|isvbr|creation_time|service_|alpha_mode|stereo_mode|language"
    r"|filename|mimetype|rotate|uid|modification_date|product_|company_name|toolkit|material_|generation_"
    r"|operational_pattern|package_|file_package|reel_|track_name|data_type|timecode",
    re.I,
)
ALPHA = re.compile(r"yuva|rgba|bgra|argb|abgr|gbrap|ya8|ya16")
CAPTIONS = "ATSC A53 Part 4 Closed Captions"
MASTERING = ("Mastering display metadata", "Content light level metadata")


def named(run, stream):
    """Whether an event names the stream as left out."""
    return _event(run, stream, "left_out") or _says(run, stream, r"left out|dropped|not kept|lost")


def encoded(run, stream):
    """Whether an event says that the stream is encoded anew."""
    return _event(run, stream, "converted") or _says(run, stream, r"converted|encoded")


def _event(run, stream, name):
    return any(e.get("event") == name and e.get("stream") == stream["index"] for e in run.events)


def _says(run, stream, words):
    index = stream["index"]
    pattern = re.compile(rf"\bstreams? (?:[\d, and-]*\b)?{index}\b|\bstream #?(?:0:)?{index}\b", re.I)
    texts = [event.get("message", "") for event in run.events]
    return any(pattern.search(text) and re.search(words, text) for text in texts)


def compare(report, run, source, result, main, shots):
    """Streams, dispositions, languages, tags, chapters and what rides inside the pictures."""
    _streams(report, run, source, result, main)
    _tags(report, run, source.get("format", {}), result.get("format", {}), "the file")
    _chapters(report, run, source, result)
    _inside(report, run, main, source, result, shots)


def _streams(report, run, source, result, main):
    kinds = ("video", "audio", "subtitle", "attachment")
    there = {kind: [] for kind in kinds}
    for stream in result["streams"]:
        there.setdefault(_kind(stream), []).append(stream)
    primary = media.main_video(result)
    there["video"] = [s for s in there["video"] if s is not primary]
    _flags(report, run, main, primary)
    lost = []
    for stream in source["streams"]:
        if stream is main or stream["index"] == main["index"] or named(run, stream):
            continue
        kind = _kind(stream)
        what = f"stream {stream['index']} ({kind} {stream.get('codec_name', 'unknown')})"
        if kind == "timecode" and _timecode(result):
            continue
        if not there.get(kind):
            lost.append(what)
            continue
        _flags(report, run, stream, there[kind].pop(0))
    fault = f"{', '.join(lost)} {'is' if len(lost) == 1 else 'are'} lost in silence"
    report.say("streams", not lost, fault)


def _kind(stream):
    if media.is_still(stream):
        return "still"
    if stream.get("codec_tag_string") == "tmcd":
        return "timecode"
    kind = stream.get("codec_type", "data")
    # Fonts and covers in Matroska are pictures to some versions of ffmpeg.
    return kind


def _flags(report, run, was, now):
    what = f"stream {was['index']} ({was.get('codec_name')})"
    language = was.get("tags", {}).get("language", "und")
    found = now.get("tags", {}).get("language", "und")
    if language not in ("und", found) and not _mentions(run, "language"):
        report.say("streams", False, f"{what}: language was {language}, is {found}")
    flags = {k for k, v in was.get("disposition", {}).items() if v and k != "default"}
    kept = {k for k, v in now.get("disposition", {}).items() if v}
    for flag in sorted(flags - kept):
        if not _mentions(run, flag.replace("_", ".")) and not _mentions(run, "disposition"):
            report.say("streams", False, f"{what}: disposition {flag} is lost in silence")
    _tags(report, run, was, now, what)


def _tags(report, run, was, now, what):
    kept = {key.lower(): value for key, value in now.get("tags", {}).items()}
    values = set(kept.values())
    for key, value in was.get("tags", {}).items():
        if OF_THE_FILE.search(key) or not value.strip():
            continue
        if kept.get(key.lower()) == value or value in values or _mentions(run, re.escape(key)):
            continue
        report.say("streams", False, f"{what}: tag {key} is lost in silence")


def _chapters(report, run, source, result):
    def listed(answer):
        rows = answer.get("chapters", [])
        return [(round(float(c["start_time"]), 2), c.get("tags", {}).get("title", "")) for c in rows]

    was, now = listed(source), listed(result)
    if was != now and not _mentions(run, "chapter"):
        report.say("streams", False, f"chapters were {was[:3]}, are {now[:3]}")


def _timecode(answer):
    tags = [answer.get("format", {}).get("tags", {})] + [s.get("tags", {}) for s in answer["streams"]]
    # Matroska writes names in capitals.
    return next((value for t in tags for key, value in t.items() if key.lower() == "timecode"), None)


def _inside(report, run, main, source, result, shots):
    shown, made = shots
    alpha = ALPHA.search(main.get("pix_fmt", "")) or main.get("tags", {}).get("alpha_mode") == "1"
    if alpha and not _mentions(run, "alpha|transparen"):
        report.say("streams", False, "the alpha plane is lost in silence")
    if CAPTIONS in shown.side_data and CAPTIONS not in made.side_data:
        texts = [s for s in result["streams"] if s.get("codec_type") == "subtitle"]
        had = [s for s in source["streams"] if s.get("codec_type") == "subtitle"]
        if len(texts) <= len(had) and not _mentions(run, "caption"):
            report.say("streams", False, "captions inside the pictures are lost in silence")
    for kind in MASTERING:
        if kind in shown.side_data and kind not in made.side_data:
            report.say("colour", False, f"{kind} is lost")
    if _timecode(source) and _timecode(source) != _timecode(result) and not _mentions(run, "timecode|tmcd"):
        report.say("streams", False, f"timecode {_timecode(source)} is lost in silence")


def _mentions(run, pattern):
    return any(re.search(pattern, text, re.I) for text in run.texts())
