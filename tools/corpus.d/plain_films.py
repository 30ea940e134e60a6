"""Films as programs write them: containers, codecs, sample formats and kinds of sound."""

from studio import AAC, X264, film

NONE = ""
X265 = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params log-level=error:pools=1:frame-threads=1:keyint=12"
AV1 = "-c:v libaom-av1 -cpu-used 8 -row-mt 0 -g 12 -crf 20 -b:v 0"
VP9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -crf 10 -b:v 0 -g 12"
VP8 = "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 2M -g 12"
BARE = X264.replace("-pix_fmt yuv420p ", "")
TAGGED = "-color_range {0} -colorspace {1} -color_primaries {2} -color_trc {3}"
PARAMS = "-x265-params log-level=error:pools=1:frame-threads=1:keyint=12"
HDR10 = (
    "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le " + PARAMS
    + ":colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:hdr10=1:max-cll=1000,400"
    ":master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
)
HLG = (
    "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le " + PARAMS
    + ":colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"
)
ALPHA = {"told": ["alpha|transparen"]}
YUVA = "format=yuva420p,colorchannelmixer=aa=0.5"
RGBA = "format=rgba,colorchannelmixer=aa=0.5"
# Where a muxer leaves out frames of its own accord, the film has those that ffprobe finds.
AS_READ = {"frames": None}
REFUSED_FIELDS = {"outcome": "refused", "reason": "--interlaced deinterlace"}

H264 = [
    film("mp4-h264-aac.mp4"),
    film("mp4-h264-bframes.mp4", X264.replace("ultrafast", "fast") + " -bf 3", frames=25),
    film("mp4-h264-bframes-no-editlist.mp4", X264 + " -bf 2", frames=25, out="-use_editlist 0"),
    film("mp4-h264-open-gop-segments.mp4", X264.replace("ultrafast", "veryfast") + " -bf 3 -x264-params open-gop=1",
         frames=60, wanted={"arguments": ["--segment-seconds", "1"]}),
    film("mp4-h264-segments.mp4", frames=80, wanted={"arguments": ["--segment-seconds", "1"]}),
    film("mp4-h264-one-keyframe.mp4", X264.replace("-g 12", "-g 999"), frames=60,
         wanted={"arguments": ["--segment-seconds", "1"]}),
    film("mp4-h264-all-intra.mp4", X264.replace("-g 12", "-g 1")),
    film("mp4-h264-interlaced.mp4", X264 + " -flags +ilme+ildct -x264-params tff=1", wanted=REFUSED_FIELDS),
    film("mp4-h264-interlaced-deinterlaced.mp4", X264 + " -flags +ilme+ildct -x264-params tff=1",
         wanted={"arguments": ["--interlaced", "deinterlace"], "changed": True}),
    film("mp4-h264-interlaced-as-is.mp4", X264 + " -flags +ilme+ildct -x264-params bff=1",
         wanted={"arguments": ["--interlaced", "as-is"]}),
    film("mp4-h264-10bit.mp4", BARE + " -pix_fmt yuv420p10le"),
    film("mp4-h264-422.mp4", BARE + " -pix_fmt yuv422p"),
    film("mp4-h264-444.mp4", BARE + " -pix_fmt yuv444p"),
    film("mp4-h264-444-10bit.mkv", BARE + " -pix_fmt yuv444p10le"),
    film("mp4-h264-grey.mp4", BARE + " -pix_fmt gray"),
    film("mp4-h264-rgb.mp4", "-c:v libx264rgb -preset ultrafast -g 12"),
    film("mp4-h264-full-range.mp4", BARE + " -pix_fmt yuvj420p"),
    film("mp4-h264-bt709.mp4", X264 + " " + TAGGED.format("tv", "bt709", "bt709", "bt709")),
    film("mp4-h264-bt601-pal.mp4", X264 + " " + TAGGED.format("tv", "bt470bg", "bt470bg", "gamma28")),
    film("mp4-h264-fragmented.mp4", out="-movflags +frag_keyframe+empty_moov", frames=36),
    film("mp4-h264-fragmented-default-base.mp4", out="-movflags +frag_every_frame+empty_moov+default_base_moof",
         wanted=AS_READ),
    film("mov-h264-pcm.mov", audio="-c:a pcm_s16le"),
    film("mkv-h264-aac.mkv"),
    film("mkv-h264-no-cues-live.mkv", out="-live 1"),
    film("ts-h264-aac.ts", frames=25),
    film("ts-h264-bframes-aac.ts", X264 + " -bf 2", frames=25),
    film("m2ts-h264-aac.m2ts", frames=25),
    film("avi-h264-mp3.avi", X264 + " -bf 0", "-c:a libmp3lame"),
    film("flv-h264-aac.flv"),
    film("3gp-h264-aac.3gp", size="176x144"),
    film("nut-h264-aac.nut"),
]

OTHER_CODECS = [
    film("mp4-hevc.mp4", X265),
    film("mp4-hevc-hvc1.mp4", X265 + " -tag:v hvc1"),
    film("mp4-hevc-open-gop-segments.mp4", X265 + ":open-gop=1:bframes=3", frames=60,
         wanted={"arguments": ["--segment-seconds", "1"]}),
    film("mp4-hevc-10bit.mp4", X265.replace("yuv420p", "yuv420p10le")),
    film("mkv-hevc-444-12bit.mkv", X265.replace("yuv420p", "yuv444p12le")),
    film("ts-hevc-aac.ts", X265, frames=25),
    film("mp4-hevc-hdr10.mp4", HDR10),
    film("mkv-hevc-hdr10.mkv", HDR10),
    film("mp4-hevc-hlg.mp4", HLG),
    film("mp4-hevc-hdr10-asked-h264.mp4", HDR10,
         wanted={"outcome": "refused", "reason": "--codec", "arguments": ["--codec", "h264"]}),
    film("mp4-av1-aac.mp4", AV1),
    film("webm-av1-opus.webm", AV1, "-c:a libopus", hertz=48000),
    film("webm-vp9-opus.webm", VP9, "-c:a libopus", hertz=48000),
    film("webm-vp9-10bit.webm", VP9 + " -pix_fmt yuv420p10le", NONE),
    film("webm-vp9-altref.webm", VP9.replace("realtime -cpu-used 8", "good -cpu-used 8") + " -auto-alt-ref 1 -lag-in-frames 12",
         NONE, frames=25),
    film("webm-vp9-alpha.webm", VP9 + " -pix_fmt yuva420p -auto-alt-ref 0", NONE, picture=YUVA, wanted=ALPHA),
    film("webm-vp8-vorbis.webm", VP8, "-c:a libvorbis"),
    film("webm-vp8-alpha.webm", VP8 + " -pix_fmt yuva420p -auto-alt-ref 0", NONE, picture=YUVA, wanted=ALPHA),
    film("ogv-theora-vorbis.ogv", "-c:v libtheora -q:v 9", "-c:a libvorbis"),
    film("ogv-theora-flac.ogv", "-c:v libtheora -q:v 9", "-c:a flac"),
    film("ivf-vp8.ivf", VP8, NONE),
    film("ivf-av1.ivf", AV1, NONE),
    film("y4m-raw.y4m", "-c:v wrapped_avframe -pix_fmt yuv420p", NONE),
    film("mpg-mpeg1-bframes.mpg", "-c:v mpeg1video -q:v 2 -bf 2 -g 12", "-c:a mp2", frames=25),
    film("mpg-mpeg2-ac3.mpg", "-c:v mpeg2video -q:v 2 -bf 2 -g 12", "-c:a ac3", hertz=48000, frames=25, out="-f vob"),
    film("vob-mpeg2-pcm-dvd.vob", "-c:v mpeg2video -q:v 2", "-c:a pcm_dvd", hertz=48000),
    film("vob-mpeg2-dts.vob", "-c:v mpeg2video -q:v 2", "-c:a dca -strict -2", hertz=48000),
    film("ts-mpeg2-mp2.ts", "-c:v mpeg2video -q:v 2 -bf 2 -g 12", "-c:a mp2", hertz=48000, frames=25),
    film("avi-mpeg4-mp3.avi", "-c:v mpeg4 -q:v 2", "-c:a libmp3lame"),
    film("avi-xvid-packed.avi", "-c:v libxvid -q:v 2", "-c:a libmp3lame"),
    film("avi-mpeg4-bframes.avi", "-c:v mpeg4 -q:v 2 -bf 2", "-c:a libmp3lame", frames=25),
    film("mp4-mpeg4-aac.mp4", "-c:v mpeg4 -q:v 2"),
    film("avi-mjpeg-pcm.avi", "-c:v mjpeg -q:v 2", "-c:a pcm_s16le"),
    film("mov-mjpeg-pcm.mov", "-c:v mjpeg -q:v 2 -pix_fmt yuvj422p", "-c:a pcm_s16be"),
    film("avi-huffyuv-pcm.avi", "-c:v huffyuv -pix_fmt yuv422p", "-c:a pcm_s16le"),
    film("avi-huffyuv-rgb.avi", "-c:v huffyuv -pix_fmt rgb24", "-c:a pcm_s16le"),
    film("avi-raw-bgr.avi", "-c:v rawvideo -pix_fmt bgr24", "-c:a pcm_u8"),
    film("avi-raw-palette.avi", "-c:v rawvideo -pix_fmt pal8", NONE,
         picture="split[a][b],[a]palettegen[p],[b][p]paletteuse", wanted={"told": []}),
    film("avi-cinepak.avi", "-c:v cinepak", NONE, frames=4),
    film("avi-ffv1-pcm.avi", "-c:v ffv1", "-c:a pcm_s24le"),
    film("mkv-ffv1-flac.mkv", "-c:v ffv1 -level 3", "-c:a flac"),
    film("mkv-ffv1-16bit-grey.mkv", "-c:v ffv1 -level 3 -pix_fmt gray16le", NONE),
    film("mkv-ffv1-alpha.mkv", "-c:v ffv1 -level 3 -pix_fmt yuva444p", NONE, picture=YUVA, wanted=ALPHA),
    film("mkv-magicyuv-alpha.mkv", "-c:v magicyuv -pix_fmt gbrap", NONE, picture=RGBA, wanted=ALPHA),
    film("mkv-mjpeg-opus.mkv", "-c:v mjpeg -q:v 2", "-c:a libopus", hertz=48000),
    film("mov-prores-pcm.mov", "-c:v prores_ks -profile:v 3", "-c:a pcm_s24le"),
    film("mov-prores-4444-alpha.mov", "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le", NONE,
         picture=RGBA, wanted=ALPHA),
    film("mov-dnxhr.mov", "-c:v dnxhd -profile:v dnxhr_lb -pix_fmt yuv422p", "-c:a pcm_s16le", size="256x120", frames=4),
    film("mxf-dnxhr-pcm.mxf", "-c:v dnxhd -profile:v dnxhr_lb -pix_fmt yuv422p", "-c:a pcm_s16le", size="256x120",
         frames=4, hertz=48000, wanted=AS_READ),
    film("mxf-mpeg2-pcm.mxf", "-c:v mpeg2video -q:v 2 -g 12 -bf 0", "-c:a pcm_s16le", hertz=48000, wanted=AS_READ),
    film("mov-animation-rgb.mov", "-c:v qtrle -pix_fmt rgb24", NONE),
    film("mov-animation-alpha.mov", "-c:v qtrle -pix_fmt argb", NONE, picture=RGBA, wanted=ALPHA),
    film("mov-v210.mov", "-c:v v210 -pix_fmt yuv422p10le", NONE),
    film("flv-flv1-mp3.flv", "-c:v flv -q:v 2", "-c:a libmp3lame"),
    film("3gp-h263-aac.3gp", "-c:v h263 -q:v 2", size="176x144"),
    film("wmv-wmv2-wma.wmv", "-c:v wmv2 -q:v 2", "-c:a wmav2"),
    film("asf-msmpeg4-mp3.asf", "-c:v msmpeg4 -q:v 2", "-c:a libmp3lame"),
    film("nut-ffv1-pcm.nut", "-c:v ffv1", "-c:a pcm_s16le"),
    film("gif-animation.gif", "-c:v gif", NONE, source="rgbtestsrc", frames=5, rate="10"),
]

# In the container that programs put such sound in.
SOUNDS = [
    ("mp4", "ac3", "-c:a ac3"), ("mp4", "eac3", "-c:a eac3"), ("mp4", "alac", "-c:a alac"),
    ("mp4", "flac", "-c:a flac -strict -2"), ("mp4", "opus", "-c:a libopus"), ("mp4", "dts", "-c:a dca -strict -2"),
    ("mp4", "truehd", "-c:a truehd -strict -2"), ("mp4", "aac-mono-22k", AAC + " -ac 1 -ar 22050"),
    ("mkv", "vorbis", "-c:a libvorbis"), ("mkv", "dts", "-c:a dca -strict -2"),
    ("mkv", "truehd", "-c:a truehd -strict -2"), ("mkv", "pcm-24", "-c:a pcm_s24le"),
    ("mkv", "pcm-s16be", "-c:a pcm_s16be"), ("mkv", "pcm-f32", "-c:a pcm_f32le"), ("mkv", "tta", "-c:a tta"),
    ("mkv", "wma", "-c:a wmav2"), ("mkv", "adpcm-ms", "-c:a adpcm_ms"), ("mov", "pcm-s8", "-c:a pcm_s8"),
    ("mov", "pcm-f32be", "-c:a pcm_f32be"), ("mov", "pcm-f64be", "-c:a pcm_f64be"),
    ("mov", "adpcm-ima-qt", "-c:a adpcm_ima_qt"), ("m2ts", "pcm-bluray", "-c:a pcm_bluray"),
    ("m2ts", "ac3", "-c:a ac3"), ("m2ts", "truehd", "-c:a truehd -strict -2"), ("ts", "ac3", "-c:a ac3"),
    ("ts", "mp3", "-c:a libmp3lame"), ("ts", "opus", "-c:a libopus"), ("ts", "latm", "-c:a aac -mpegts_flags +latm"),
    ("ts", "s302m", "-c:a s302m -strict -2"), ("flv", "nellymoser", "-c:a nellymoser -ar 22050 -ac 1"),
    ("flv", "adpcm-swf", "-c:a adpcm_swf -ar 22050 -ac 1"), ("flv", "speex", "-c:a libspeex -ar 16000 -ac 1"),
]
STEREO = {"s302m": " -ac 2", "pcm-bluray": " -ac 2"}

FILMS = H264 + OTHER_CODECS + [
    film(f"sound-{kind}.{suffix}", X264 + (" -bf 0" if suffix in ("avi", "flv") else ""),
         sound + STEREO.get(kind, ""), hertz=48000, frames=25)
    for suffix, kind, sound in SOUNDS
]
