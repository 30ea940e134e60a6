"""Films as the world leaves them: turned, cut, joined, damaged, mistimed, misnamed, or no films at all."""

import broken_films
import carried_films
import surgery
from plain_films import AV1, NONE, VP8, VP9, X265
from studio import X264, edited, film, joined

QUARTER = (0, 1, 0, -1, 0, 0, 64, 0, 1)
HALF = (-1, 0, 0, 0, -1, 0, 96, 64, 1)
BACK = (0, -1, 0, 1, 0, 0, 0, 96, 1)


def turned(name, matrix, **how):
    return edited(name, lambda data: surgery.turned(data, matrix), ".mp4", wanted={"frames": 12}, **how)


def shape(name, aspect, video=X264, **how):
    return film(name, video, picture=f"setsar=sar={aspect}:max=65535", wanted={"shape": aspect.replace("/", ":")}, **how)


SHAPES = [
    turned("mp4-turned-90.mp4", QUARTER),
    turned("mp4-turned-180.mp4", HALF),
    turned("mp4-turned-270.mov", BACK),
    edited("mp4-turned-90-anamorphic.mp4", lambda d: surgery.turned(d, QUARTER), ".mp4", picture="setsar=4/3",
           wanted={"frames": 12, "shape": "3:4"}),
    film("mkv-odd-both.mkv", "-c:v ffv1 -pix_fmt yuv420p", size="97x65"),
    film("mp4-odd-height-vp9.mp4", VP9, NONE, size="96x65"),
    film("mp4-odd-444.mp4", X264.replace("-pix_fmt yuv420p", "-pix_fmt yuv444p"), size="97x65"),
    film("avi-odd-mpeg4.avi", "-c:v mpeg4 -q:v 2", NONE, size="97x65"),
    film("mkv-tiny-16x16.mkv", "-c:v ffv1", NONE, size="16x16"),
    film("mkv-tiny-2x2.mkv", "-c:v ffv1", NONE, size="2x2", wanted={"outcome": "either"}),
    film("mkv-tall.mkv", "-c:v ffv1", NONE, size="16x640"),
    shape("mp4-anamorphic-32-27.mp4", "32/27"),
    shape("mkv-anamorphic-16-11.mkv", "16/11"),
    shape("mp4-anamorphic-110-109.mp4", "110/109"),
    shape("mov-anamorphic-1001-1000.mov", "1001/1000"),
    film("mkv-anamorphic-vr180.mkv", picture="setsar=4/3",
         wanted={"arguments": ["--layout", "vr180"], "shape": "1:1", "changed": True, "size": None}),
    film("mpg-anamorphic-dvd.mpg", "-c:v mpeg2video -q:v 2 -aspect 16:9", "-c:a mp2", size="144x96", frames=12),
    joined("ts-size-changes.ts", ".ts", [{"frames": 12}, {"frames": 12, "size": "128x96", "out": "-output_ts_offset 0.48"}],
           wanted={"frames": 24, "size": [96, 64], "changed": True, "told": ["size|shape"]}),
    joined("ts-size-changes-segments.ts", ".ts",
           [{"frames": 30}, {"frames": 30, "size": "64x96", "out": "-output_ts_offset 1.2"}],
           wanted={"frames": 60, "size": [96, 64], "changed": True, "told": ["size|shape"],
                   "arguments": ["--segment-seconds", "1"]}),
    joined("ts-shape-changes.ts", ".ts",
           [{"frames": 12}, {"frames": 12, "picture": "setsar=4/3", "out": "-output_ts_offset 0.48"}],
           wanted={"frames": 24, "size": [96, 64], "changed": True, "told": ["size|shape"], "shape": "1:1"}),
]


def uneven(place, time):
    """A clock that a phone would keep."""
    return time + (7 if place % 3 == 1 else -9 if place % 3 == 2 else 0)


def same_time(place, time):
    return time - 40 if place == 5 else time


PASS = "-vsync passthrough"
GAP = "setpts='if(lt(N,6),N,N+60)/25/TB'"
JUMPS = {"frames": 50, "told": ["clock|join|restart|jump"], "changed": True, "clock_jumps": True}
RESTART = [{"frames": 25}, {"frames": 25, "source": "testsrc"}]

TIMES = [
    edited("mkv-uneven-times.mkv", lambda d: surgery.retimed(d, 1, uneven), ".mkv", wanted={"frames": 12}),
    film("mp4-gap-in-the-middle.mp4", audio=NONE, picture=GAP, out=PASS),
    film("mkv-gap-in-the-middle.mkv", audio=NONE, picture=GAP, out=PASS),
    film("mp4-slowing-down.mp4", audio=NONE, picture="setpts='N*N/25/TB'", out=PASS),
    film("webm-slowing-down.webm", VP9, NONE, picture="settb=1/1000,setpts='N*N/50/TB'", out=PASS + " -enc_time_base 1/1000"),
    edited("mp4-long-last-frame.mp4", lambda d: surgery.last_lasts(surgery.longer(d, 3440, 44032), 38400), ".mp4",
           audio=NONE, out="-use_editlist 0", wanted={"frames": 12, "seconds": 3.44}),
    edited("mkv-two-frames-at-one-time.mkv", lambda d: surgery.retimed(d, 1, same_time), ".mkv",
           wanted={"frames": 12, "told": ["time"], "changed": True}),
    edited("mkv-all-frames-at-two-times.mkv", lambda d: surgery.retimed(d, 1, lambda n, t: t - 40 * (n % 2)), ".mkv",
           wanted={"frames": 12, "told": ["time"], "changed": True}),
    joined("ts-clock-restarts.ts", ".ts", RESTART, wanted=JUMPS),
    joined("ts-clock-restarts-segments.ts", ".ts", RESTART,
           wanted={**JUMPS, "arguments": ["--segment-seconds", "1"]}),
    joined("ts-clock-jumps-an-hour.ts", ".ts", [RESTART[0], {**RESTART[1], "out": "-output_ts_offset 3600"}],
           wanted=JUMPS),
    joined("ts-clock-jumps-back.ts", ".ts", [{"frames": 25, "out": "-output_ts_offset 3600"}, {"frames": 25}],
           wanted=JUMPS),
    joined("mpg-two-joined.mpg", ".mpg", [{"video": "-c:v mpeg2video -q:v 2 -bf 0", "audio": "-c:a mp2"}] * 2,
           wanted={"frames": 24, "told": ["clock|join|restart|jump"], "changed": True, "clock_jumps": True}),
    film("ts-clock-near-its-end.ts", frames=50, out="-output_ts_offset 95441.7 -muxdelay 0"),
    film("mp4-late-sound.mp4", head="-itsoffset 0.3", frames=25),
    film("mp4-late-picture.mp4", before="-itsoffset 0.3", frames=25, out=PASS),
    film("mkv-late-sound.mkv", head="-itsoffset 0.3", frames=25),
    film("mkv-late-picture.mkv", before="-itsoffset 0.3", frames=25),
    film("mkv-starts-at-ten.mkv", frames=25, out="-output_ts_offset 10"),
    film("mp4-starts-below-zero.mp4", frames=25, out="-output_ts_offset -0.2 -avoid_negative_ts disabled",
         wanted={"frames": 20}),
    film("mp4-short-sound.mp4", audio="-c:a aac -af atrim=end=0.5", frames=25),
    film("mp4-long-sound.mp4", audio="-c:a aac -af apad=whole_dur=2", frames=25),
    film("mkv-rate-23.976.mkv", rate="24000/1001", frames=24),
    film("mp4-rate-1.mp4", rate="1", frames=3),
    film("mp4-rate-240.mp4", rate="240", frames=48),
    film("mkv-rate-1000.mkv", audio=NONE, rate="1000", frames=20),
    film("mp4-timescale-10000000.mp4", audio=NONE, out="-video_track_timescale 10000000"),
    film("mp4-one-frame.mp4", audio=NONE, frames=1),
    film("ts-one-frame.ts", audio=NONE, frames=1),
]


def cut(name, entries, frames, sound=None, video=X264, finer=1, **wanted):
    """A film of 50 frames, whose edits show `frames` of them; times are 12800 ticks a second, and of sound
    `finer` times its samples."""

    def change(data):
        data = surgery.finer(data, 1, finer) if finer > 1 else data
        data = surgery.edits(data, 0, entries)
        return surgery.edits(data, 1, sound) if sound else data

    return edited(name, change, ".mp4", video, frames=50, out="-use_editlist 0", wanted={"frames": frames, **wanted})


SOUND_EDIT = [(2000, 0, 1)]
EDITS = [
    cut("mp4-edit-late-picture.mp4", [(400, -1, 0), (2000, 0, 1)], 50, SOUND_EDIT),
    cut("mp4-edit-begins-at-keyframe.mp4", [(1520, 6144, 1)], 38, [(1520, 21168, 1)]),
    cut("mp4-edit-begins-between-keyframes.mp4", [(1600, 5120, 1)], 40, [(1600, 17640, 1)]),
    # ffmpeg plays the last packet whole: this one ends by 40 samples after the edit.
    cut("mp4-edit-sound-in-half-samples.mp4", [(1600, 5120, 1)], 40, [(1596, 35280, 1)], finer=2, sound_seconds=1.596,
        sound_from=17640),
    cut("mp4-edit-ends-early.mp4", [(1000, 0, 1)], 25, [(1000, 0, 1)]),
    cut("mp4-edit-bframes-begins-between.mp4", [(1600, 5120 + 1024, 1)], 40, [(1600, 17640, 1)], X264 + " -bf 2"),
    cut("mp4-edit-two.mp4", [(400, 0, 1), (800, 15360, 1)], 30, [(400, 0, 1), (800, 52920, 1)], sound_seconds=1.2),
    cut("mp4-edit-three-segments.mp4", [(400, 0, 1), (400, 10240, 1), (400, 20480, 1)], 30,
        [(400, 0, 1), (400, 35280, 1), (400, 70560, 1)], sound_seconds=1.2, arguments=["--segment-seconds", "1"]),
    cut("mp4-edit-reversed.mp4", [(800, 15360, 1), (400, 0, 1)], 30, [(800, 52920, 1), (400, 0, 1)], sound_seconds=1.2),
    cut("mp4-edit-repeated.mp4", [(400, 0, 1), (400, 0, 1)], 20, [(400, 0, 1), (400, 0, 1)], sound_seconds=0.8),
    # Players disagree on what an empty edit between others shows.
    cut("mp4-edit-gap-between.mp4", [(400, 0, 1), (400, -1, 0), (400, 5120, 1)], [20, 30],
        [(400, 0, 1), (400, -1, 0), (400, 17640, 1)], sound_changed=True, changed=True),
    cut("mp4-edit-only-sound.mp4", [(2000, 0, 1)], 50, [(400, 0, 1), (1200, 52920, 1)], sound_seconds=1.6),
    cut("mp4-edit-half-speed.mp4", [(2000, 0, 0.5)], 50, SOUND_EDIT, told=["speed"]),
    cut("mp4-edit-of-nothing.mp4", [(0, 0, 1)], 50, SOUND_EDIT, outcome="either"),
    cut("mp4-edit-beyond-the-end.mp4", [(9000, 0, 1)], 50, SOUND_EDIT, outcome="either"),
    edited("mp4-edit-hevc-between-keyframes.mp4", lambda d: surgery.edits(d, 0, [(1600, 5120, 1)]), ".mp4",
           X265 + ":bframes=0", NONE, frames=50, out="-use_editlist 0", wanted={"frames": 40}),
]

FILMS = SHAPES + TIMES + EDITS + carried_films.FILMS + broken_films.FILMS
