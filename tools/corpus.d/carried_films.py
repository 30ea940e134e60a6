"""Films that carry more than a picture and a sound: what is kept, or named when it is not."""

import surgery
from plain_films import AS_READ, AV1, NONE, VP9, X265
from studio import AAC, X264, Film, beside, edited, ffmpeg, film, shot

SRT = "1\n00:00:00,000 --> 00:00:00,400\nHello <i>there</i>\n\n2\n00:00:00,500 --> 00:00:00,900\nBye\n"
ASS = """[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.00,0:00:00.40,Default,,0,0,0,,{\\b1}Hello
"""
VTT = "WEBVTT\n\n00:00.000 --> 00:00.400\nHello\n\n00:00.500 --> 00:00.900\nBye\n"
SCC = "Scenarist_SCC V1.0\n\n00:00:00:00\t9420 9420 9440 9440 c845 4c4c 4f80 942f 942f\n\n00:00:00:20\t942c 942c\n"
CHAPTERS = (
    ";FFMETADATA1\ntitle=A film\nartist=Nobody\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=Beginning\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\ntitle=End\n"
)


def texts(name, kind, text, codec, count=1, options="", wanted=None, **how):
    """A film with `count` text streams."""

    def make(path):
        extra = beside(path, f"text.{kind}", text)
        more = f"-i '{extra}' " * count
        maps = "".join(f"-map {2 + n}:0 " for n in range(count))
        shot(path, frames=25, more=more, out=f"{maps} {codec} {options}", **how)
        extra.unlink()

    return Film(name, make, {"outcome": "converted", "frames": 25, **(wanted or {})})


def bitmaps(name, codec, wanted=None):
    """A film with pictures for subtitles, drawn by this project."""

    def make(path):
        extra = beside(path, "sub.mkv", b"")
        idx = beside(path, "text.srt", SRT)
        # ffmpeg draws no text as bitmaps: two grey boxes come from a stream of its own making.
        pictures = beside(path, "pgs.sup", display_sets())
        shot(path, frames=25, more=f"-f sup -i '{pictures}'", out=f"-map 2:0 {codec}")
        for scrap in (extra, idx, pictures):
            scrap.unlink()

    return Film(name, make, {"outcome": "converted", "frames": 25, **(wanted or {})})


def display_sets():
    """Two display sets of HDMV presentation graphics: a box of 8x4 for 0.4 s."""

    def segment(time, kind, body):
        stamp = round(time * 90000)
        return b"PG" + stamp.to_bytes(4, "big") + bytes(4) + bytes([kind]) + len(body).to_bytes(2, "big") + body

    size = (96).to_bytes(2, "big") + (64).to_bytes(2, "big")
    place = b"\0\0\0\0" + (10).to_bytes(2, "big") + (10).to_bytes(2, "big")
    window = b"\x01\0" + (10).to_bytes(2, "big") + (10).to_bytes(2, "big") + b"\0\x08\0\x04"
    palette = b"\0\0" + b"\x01\xc0\x80\x80\xff"
    rows = (b"\0\x88\x01" + b"\0\0") * 4
    picture = b"\0\0\0\xc0" + (len(rows) + 4).to_bytes(3, "big") + b"\0\x08\0\x04" + rows
    shown = segment(0, 0x16, size + b"\x10\0\0\x80\0\0\x01" + place) + segment(0, 0x17, window)
    shown += segment(0, 0x14, palette) + segment(0, 0x15, picture) + segment(0, 0x80, b"")
    gone = segment(0.4, 0x16, size + b"\x10\0\x01\0\0\0\0") + segment(0.4, 0x17, window) + segment(0.4, 0x80, b"")
    return shown + gone


def attached(name, count, **wanted):
    def make(path):
        font = beside(path, "font.ttf", b"\0\1\0\0" + b"not really a font" * 8)
        more = " ".join(
            f"-attach '{font}' -metadata:s:{2 + n} mimetype=font/ttf -metadata:s:{2 + n} filename=f{n}.ttf"
            for n in range(count)
        )
        shot(path, out=more)
        font.unlink()

    return Film(name, make, {"outcome": "converted", "frames": 12, **wanted})


def covered(name, **how):
    def make(path):
        picture = beside(path, "cover.png", b"")
        ffmpeg("-f lavfi -i testsrc2=s=32x32 -frames:v 1 -c:v png -update 1", picture)
        shot(path, more=f"-i '{picture}'", out="-map 2:v -c:v:1 copy -disposition:v:1 attached_pic", **how)
        picture.unlink()

    return Film(name, make, {"outcome": "converted", "frames": 12})


def described(name, text, out="", **how):
    def make(path):
        notes = beside(path, "notes.txt", text)
        # Not the tags' own option: STEADY clears what inputs bring along.
        bare = path.with_name(f".{path.name}.bare{path.suffix}")
        shot(bare, frames=25, **how)
        ffmpeg("-i", bare, "-f ffmetadata -i", notes, f"-map 0 -c copy -map_metadata 1 -map_chapters 1 {out} -fflags +bitexact", path)
        for scrap in (notes, bare):
            scrap.unlink()

    return Film(name, make, {"outcome": "converted", "frames": 25})


def captions_inside(name, codec="-c copy"):
    """Captions as television carries them: in user data of every picture."""

    def make(path):
        bare, units = path.with_name(f".{path.name}.bare.h264"), path.with_name(f".{path.name}.units.h264")
        shot(bare, X264 + " -bf 0", NONE, frames=25)
        pairs = [b"\x94\x20", b"\x94\x20", b"\x94\x40", b"\x94\x40", b"\xc8\x45", b"\x4c\x4c", b"\x4f\x80",
                 b"\x94\x2f", b"\x94\x2f"]
        units.write_bytes(surgery.captioned(bare.read_bytes(), pairs))
        ffmpeg("-r 25 -i", units, codec, "-fflags +bitexact", path)
        for scrap in (bare, units):
            scrap.unlink()

    return Film(name, make, {"outcome": "converted", "frames": 25})


def dead_sound(data):
    """Announces a sound of which no packet ever comes."""
    lost = surgery.VIDEO_PID + 2
    return surgery.without(data, lambda _, packet: surgery.pid(packet) == lost)


def packed(name, declare, **wanted):
    return edited(name, declare, ".mp4", wanted={"outcome": "refused", "reason": "stereo|two views|side.by.side|sbs", **wanted})


TWO = "-metadata:s:a:0 language=ger -metadata:s:a:1 language=fra -disposition:a:1 default -disposition:a:0 0"
PHONE = (
    "-movflags use_metadata_tags -metadata com.apple.quicktime.make=Maker -metadata com.apple.quicktime.model=Model "
    "-metadata com.apple.quicktime.location.ISO6709=+48.1371+011.5754+520/ "
    "-metadata com.apple.quicktime.creationdate=2024-05-01T12:00:00+0200"
)
STEREO = {"outcome": "refused", "reason": "stereo|two views|side.by.side|sbs|top"}

TEXTS = [
    texts("mkv-subtitle-srt.mkv", "srt", SRT, "-c:s srt"),
    texts("mkv-subtitle-ass.mkv", "ass", ASS, "-c:s ass"),
    texts("mkv-subtitle-webvtt.mkv", "vtt", VTT, "-c:s webvtt"),
    texts("webm-subtitle-webvtt.webm", "vtt", VTT, "-c:s webvtt", video=VP9, audio="-c:a libopus", hertz=48000),
    texts("mp4-subtitle-mov-text.mp4", "srt", SRT, "-c:s mov_text"),
    texts("mp4-subtitle-ttml.mp4", "srt", SRT, "-c:s ttml"),
    texts("mkv-subtitles-flags.mkv", "srt", SRT, "-c:s srt", 3,
          "-metadata:s:s:0 language=ger -metadata:s:s:1 language=fra -metadata:s:s:2 title=Signs -disposition:s:0 default "
          "-disposition:s:1 forced -disposition:s:2 hearing_impaired"),
    texts("mkv-subtitle-asked-mp4.mkv", "ass", ASS, "-c:s ass", wanted={"arguments": ["--layout", "half-sbs"], "changed": True,
                                                                          "size": [48, 64], "shape": "2:1"}),
    texts("mov-captions-eia608.mov", "scc", SCC, "-c:s copy"),
    bitmaps("mkv-subtitle-pgs.mkv", "-c:s copy"),
    bitmaps("ts-subtitle-pgs.m2ts", "-c:s copy"),
    bitmaps("ts-subtitle-dvb.ts", "-c:s dvbsub"),
    bitmaps("mkv-subtitle-dvd.mkv", "-c:s dvdsub"),
    captions_inside("ts-captions-inside.ts"),
    captions_inside("mkv-captions-inside.mkv"),
]

STREAMS = [
    film("mkv-two-sounds-languages.mkv", tones=2, out=TWO),
    film("mp4-two-sounds-languages.mp4", tones=2, out=TWO),
    film("ts-two-sounds-languages.ts", tones=2, frames=25, out="-metadata:s:a:0 language=ger -metadata:s:a:1 language=fra"),
    film("mkv-sounds-flags.mkv", tones=3, out="-disposition:a:1 comment -disposition:a:2 visual_impaired "
         "-metadata:s:a:1 title=Commentary"),
    film("mkv-flac-and-pcm.mkv", audio="-c:a:0 flac -c:a:1 pcm_s24le", tones=2),
    film("mkv-video-language-title.mkv", out="-metadata:s:v language=jpn -metadata:s:v title=Pictures"),
    film("mp4-video-language-handler.mp4", out="-metadata:s:v language=jpn -metadata:s:v handler_name=Camera"),
    film("mkv-two-videos.mkv", more="-f lavfi -i testsrc=s=64x48:r=25:d=0.48", out="-map 2:v"),
    film("mp4-two-videos-second-default.mp4", more="-f lavfi -i testsrc=s=64x48:r=25:d=0.48",
         out="-map 2:v -disposition:v:0 0 -disposition:v:1 default", wanted=AS_READ),
    attached("mkv-attachment.mkv", 1),
    attached("mkv-attachments-70.mkv", 70),
    covered("mkv-cover.mkv"),
    film("mp4-timecode.mp4", out="-timecode 01:02:03:04"),
    film("mxf-timecode.mxf", "-c:v mpeg2video -q:v 2 -bf 0", "-c:a pcm_s16le", hertz=48000, out="-timecode 01:02:03:04",
         wanted=AS_READ),
    described("mp4-chapters.mp4", CHAPTERS),
    described("mkv-chapters.mkv", CHAPTERS),
    described("mov-phone-tags.mov", ";FFMETADATA1\n", PHONE),
    described("mp4-tags.mp4", ";FFMETADATA1\ntitle=A film\nartist=Nobody\nalbum=None\ndate=2024\ncomment=Hello\ngenre=Test\n"
              "copyright=Free\ndescription=A test\nshow=Tests\nepisode_id=1\n"),
    described("mkv-tags.mkv", ";FFMETADATA1\ntitle=A film\nARTIST=Nobody\nMY_OWN_TAG=Something\nLOCATION=Here\nIMDB=tt0\n"),
    edited("ts-dead-sound.ts", dead_sound, ".ts", tones=2, frames=25, wanted={"frames": 25, "told": [r"stream\W+2\b"]}),
    film("mkv-sound-of-no-length.mkv", audio="-c:a aac -af atrim=end=0.001"),
    film("ts-programs-two.ts", frames=25, more="-f lavfi -i testsrc=s=64x48:r=25:d=1",
         out="-map 2:v -program title=One:st=0:st=1 -program title=Two:st=2"),
]

DECLARED = [
    film("mkv-stereo-side-by-side.mkv", out="-metadata:s:v stereo_mode=left_right", wanted=STEREO),
    film("webm-stereo-top-bottom.webm", VP9, NONE, out="-metadata:s:v stereo_mode=top_bottom", wanted=STEREO),
    film("mkv-stereo-one-eye.mkv", out="-metadata:s:v stereo_mode=left_right",
         wanted={"arguments": ["--source-layout", "full-sbs-left"], "size": [48, 64], "changed": True}),
    packed("mp4-stereo-st3d.mp4", lambda d: surgery.stereo_box(d, 2)),
    film("mp4-stereo-frame-packing.mp4", X264 + " -x264-params frame-packing=3", wanted=STEREO),
    film("ts-stereo-frame-packing.ts", X264 + " -x264-params frame-packing=4", frames=25, wanted=STEREO),
    film("own-result_LRF_Full_SBS.mp4", wanted=STEREO),
    film("own-result_TB.mkv", wanted=STEREO),
    film("mkv-av1-hdr10-tags.mkv", AV1 + " -pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084 "
         "-colorspace bt2020nc", NONE),
    film("webm-vp9-hlg-tags.webm", VP9 + " -pix_fmt yuv420p10le -color_primaries bt2020 -color_trc arib-std-b67 "
         "-colorspace bt2020nc", NONE),
    film("mkv-hevc-full-range.mkv", X265.replace("pools=1", "pools=1:range=full") + " -color_range pc"),
    film("mov-prores-bt709.mov", "-c:v prores_ks -color_primaries bt709 -color_trc bt709 -colorspace bt709", AAC),
]

FILMS = TEXTS + STREAMS + DECLARED
