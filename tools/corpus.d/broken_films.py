"""Damaged films, films under a wrong name, and files that are no films."""

import os

import surgery
from plain_films import NONE, VP9
from studio import X264, Film, edited, ffmpeg, film, shot

# Repaired and counted; what is left out at the start or the end stays within the range.
REPAIRED = {"damaged": True}
LONG = {"frames": 50}
MPEG2 = "-c:v mpeg2video -q:v 4 -bf 2 -g 12"
GARBAGE = bytes((n * 89 + n // 7 * 31) % 256 for n in range(3000)).replace(b"\x47", b"\x48")


def ts(name, change, low, high=50, video=X264, audio="-c:a aac", **wanted):
    hope = {"damaged": True, "frames": [low, high], **wanted}
    return edited(name, change, ".ts", video, audio, frames=50, wanted=hope)


def share(part):
    return lambda data: data[: int(len(data) * part)]


def without_header(data):
    """Cut before the end, where the index would have been."""
    return data[: data.rindex(b"moov") - 4]


def scattered(data):
    """Noise between packets, as a bad disk leaves it."""
    whole = surgery.packets(data)
    middle = len(whole) // 2
    return b"".join(whole[:middle]) + GARBAGE[:1001] + b"".join(whole[middle:])


def without_sound_packet(data):
    places = surgery.of_pid(data, surgery.SOUND_PID)
    return surgery.without(data, lambda i, _: i == places[len(places) // 2])


def duration_of_ones(data):
    """A movie header that says nothing of its length in the way of streams that have no end."""
    return surgery.rewrite(data, "moov/mvhd", lambda b: b[:16] + b"\xff" * 4 + b[20:])


def track_duration_of_ones(data):
    data = duration_of_ones(data)
    return surgery.rewrite(data, "moov/trak:0/mdia/mdhd", lambda b: b[:16] + b"\xff" * 4 + b[20:])


DAMAGED = [
    ts("ts-one-lost-packet.ts", lambda d: surgery.drop_one(d, 0.5), 49),
    ts("ts-lost-packet-at-the-end.ts", lambda d: surgery.drop_one(d, 0.97), 48),
    ts("ts-every-40th-packet-lost.ts", lambda d: surgery.without(d, lambda i, _: i % 40 == 39), 40,
       outcome="either"),
    ts("ts-lost-sound-packet.ts", without_sound_packet, 50),
    ts("ts-bit-flips.ts", lambda d: surgery.flip_pictures(d, (0.3, 0.5, 0.8)), 46),
    ts("ts-cut-inside-a-packet.ts", lambda d: d[: len(d) // 188 * 188 - 100], 48),
    ts("ts-cut-in-the-middle.ts", share(0.6), 25),
    ts("ts-garbage-first.ts", lambda d: GARBAGE[:701] + d, 50, damaged=False),
    ts("ts-garbage-between.ts", scattered, 47),
    ts("ts-starts-mid-gop.ts", lambda d: surgery.from_the_middle(d, 0.12), 35, 49),
    ts("ts-starts-mid-gop-bframes.ts", lambda d: surgery.from_the_middle(d, 0.12), 35, 49, X264 + " -bf 2"),
    ts("ts-mpeg2-starts-mid-gop.ts", lambda d: surgery.from_the_middle(d, 0.12), 35, 49, MPEG2, "-c:a mp2"),
    ts("ts-mpeg2-lost-packet.ts", lambda d: surgery.drop_one(d, 0.5), 49, 50, MPEG2, "-c:a mp2"),
    ts("ts-lost-packet-refused.ts", lambda d: surgery.drop_one(d, 0.5), 49, outcome="refused",
       reason="damaged", arguments=["--damaged", "refuse"]),
    edited("mpg-cut.mpg", share(0.7), ".mpg", MPEG2, "-c:a mp2", frames=50,
           wanted={"damaged": True, "frames": [25, 49]}),
    edited("mp4-cut-index-first.mp4", share(0.7), ".mp4", frames=50, out="-movflags +faststart",
           wanted={"damaged": True, "frames": [25, 50]}),
    edited("mp4-cut-index-lost.mp4", without_header, ".mp4", frames=50,
           wanted={"outcome": "refused", "reason": "moov|index|cut off|incomplete|whole"}),
    edited("mp4-fragmented-cut.mp4", share(0.7), ".mp4", frames=50, out="-movflags +frag_keyframe+empty_moov",
           wanted={"damaged": True, "frames": [20, 45]}),
    edited("mkv-cut.mkv", share(0.7), ".mkv", frames=50, wanted={"damaged": True, "frames": [25, 45]}),
    edited("webm-cut.webm", share(0.7), ".webm", VP9, "-c:a libopus", hertz=48000, frames=50,
           wanted={"damaged": True, "frames": [20, 45]}),
    edited("avi-cut.avi", share(0.7), ".avi", "-c:v mpeg4 -q:v 3", "-c:a libmp3lame", frames=50,
           wanted={"damaged": True, "frames": [20, 45]}),
    edited("flv-cut.flv", share(0.7), ".flv", frames=50, wanted={"damaged": True, "frames": [20, 45]}),
    edited("ogv-cut.ogv", share(0.7), ".ogv", "-c:v libtheora -q:v 6", "-c:a libvorbis", frames=50,
           wanted={"damaged": True, "frames": [15, 49]}),
    edited("mp4-bit-flips.mp4", lambda d: surgery.flipped(d, (0.3, 0.5, 0.7)), ".mp4", frames=50, audio=NONE,
           wanted={"damaged": True, "frames": [48, 50]}),
    edited("mkv-bit-flips.mkv", lambda d: surgery.flipped(d, (0.41, 0.55, 0.73)), ".mkv", frames=50, audio=NONE,
           wanted={"damaged": True, "frames": [40, 50]}),
    edited("mp4-zeros-in-the-middle.mp4", lambda d: d[: len(d) // 2] + bytes(600) + d[len(d) // 2 + 600 :], ".mp4",
           frames=50, audio=NONE, wanted={"damaged": True, "frames": [45, 50]}),
    edited("mp4-mostly-damage.mp4", lambda d: d[:20000] + GARBAGE * 8 + d[44000:], ".mp4", frames=50, audio=NONE,
           wanted={"outcome": "either", "damaged": True}),
    edited("mp4-no-length.mp4", duration_of_ones, ".mp4", wanted={"frames": 12}),
    edited("mp4-no-length-at-all.mp4", track_duration_of_ones, ".mp4", wanted={"frames": 12}),
    edited("mp4-something-after-the-end.mp4", lambda d: d + GARBAGE[:500], ".mp4", wanted={"frames": 12}),
]


def locked(name, scheme="cenc-aes-ctr"):
    keys = "-encryption_key 76a6c65c5ea762046bd749a2e632ccbb -encryption_kid a7e61c373e219033c21091fa607bf3b8"
    return film(name, out=f"-encryption_scheme {scheme} {keys}", frames=25,
                wanted={"outcome": "refused", "reason": "encrypted"})


def renamed(name, suffix, video=X264, audio="-c:a aac", wanted=None):
    return edited(name, lambda data: data, suffix, video, audio, wanted={"frames": 12, **(wanted or {})})


def written(name, data, reason, outcome="refused"):
    """A file that is no film."""
    return Film(name, lambda path: path.write_bytes(data), {"outcome": outcome, "reason": reason})


def still(name, codec, **wanted):
    def make(path):
        ffmpeg("-f lavfi -i testsrc2=s=96x64 -frames:v 1", codec, "-fflags +bitexact", path)

    return Film(name, make, {"outcome": "either", **wanted})


def only(name, words, reason):
    return Film(name, lambda path: ffmpeg(words, "-fflags +bitexact -flags:a +bitexact", path),
                {"outcome": "refused", "reason": reason})


NO_VIDEO = "no video|not a (readable )?video"
NAMES = [
    renamed("wrong-name-mp4-as.avi", ".mp4"),
    renamed("wrong-name-ts-as.mp4", ".ts"),
    renamed("wrong-name-mkv-as.mov", ".mkv"),
    renamed("no-suffix", ".mp4"),
    renamed("UPPER.MP4", ".mp4"),
    renamed("name with spaces and 'quotes' & \"more\".mp4", ".mp4"),
    renamed("name-%d-%03d-$HOME-`x`.mp4", ".mp4"),
    renamed("name-with-a-colon: and, comma;[x].mp4", ".mp4"),
    renamed("-name-like-an-option.mp4", ".mp4"),
    renamed("name-\u540d\u524d-\u0938-\U0001f3ac.mp4", ".mp4"),
    renamed("name-of-\n-two-lines.mp4", ".mp4"),
    renamed(os.fsdecode(b"name-not-utf8-\xff\xfe\xe9.mp4"), ".mp4"),
    renamed("name-" + "very-" * 45 + "long.mp4", ".mp4"),
    renamed("name-" + "x" * 246 + ".mp4", ".mp4", wanted={"outcome": "either"}),
    renamed(".".join(["name"] + ["dots"] * 10) + ".mp4", ".mp4"),
]

NOT_FILMS = [
    locked("mp4-encrypted.mp4"),
    written("empty.mp4", b"", "empty"),
    written("one-byte.mkv", b"\x1a", NO_VIDEO),
    written("a-text.mp4", b"This is a text that somebody renamed.\n" * 30, NO_VIDEO),
    written("noise.ts", GARBAGE * 20, NO_VIDEO),
    written("noise.mp4", GARBAGE * 20, NO_VIDEO),
    written("a-playlist.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n", NO_VIDEO),
    written("a-list.mp4", b"ffconcat version 1.0\nfile /etc/hostname\n", NO_VIDEO),
    written("a-zip.mkv", b"PK\x03\x04" + GARBAGE, NO_VIDEO),
    only("only-sound.m4a", "-f lavfi -i sine=d=0.5 -c:a aac", NO_VIDEO),
    only("only-sound.mp4", "-f lavfi -i sine=d=0.5 -c:a aac", NO_VIDEO),
    still("still.png", "-c:v png"),
    still("still.jpg", "-c:v mjpeg"),
    # Of WebP with losses ffmpeg takes the colours otherwise than it writes them, which the check does not know.
    still("still.webp", "-c:v libwebp -lossless 1 -pix_fmt bgra"),
    still("still-in.mp4", "-c:v libx264 -pix_fmt yuv420p", outcome="converted", frames=1),
    Film("animated.webp", lambda path: ffmpeg("-f lavfi -i testsrc2=s=96x64:r=10 -frames:v 5 -c:v libwebp_anim", path),
         {"outcome": "either"}),
    Film("animated.png", lambda path: ffmpeg("-f lavfi -i testsrc2=s=96x64:r=10 -frames:v 5 -f apng", path),
         {"outcome": "either"}),
    Film("gif-delays.gif", lambda path: shot(path, "-c:v gif", NONE, frames=4, rate="10", source="rgbtestsrc",
                                              picture="setpts='N*(N+1)/20/TB'", out="-vsync passthrough"),
         {"outcome": "converted", "frames": 4}),
    Film("gif-one-picture.gif", lambda path: shot(path, "-c:v gif", NONE, frames=1, source="rgbtestsrc"),
         {"outcome": "either"}),
    Film("raw-stream.h264", lambda path: shot(path, X264, NONE, out="-f h264"), {"outcome": "either", "frames": 12}),
    Film("raw-stream.m2v", lambda path: shot(path, MPEG2, NONE, out="-f mpeg2video"), {"outcome": "either", "frames": 12}),
]

FILMS = DAMAGED + NAMES + NOT_FILMS
