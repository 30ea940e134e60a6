//! What the source demands: fields, bars, dynamic range, and an encoder that takes all of it.

use anyhow::{Context, Result, bail, ensure};
use parallax_conversion::{Views, one_view};
use parallax_frame::VideoFormat;
use parallax_media::{
    Codec, DecodeOptions, EncodeSettings, Hdr, Media, Scaled, Tools, choose_encoder, detect_bars,
};
use parallax_stereo::Layout;
use tokio_util::sync::CancellationToken;

use super::options::{CodecChoice, Interlaced, PictureArgs};
use super::part::SizeArgs;

/// Rows and columns that every encoder needs: one sample of colour stands for two of each.
const LEAST_SIDE: u32 = 2;

/// What happens to the pictures first.
///
/// # Errors
/// When the source is interlaced, or already stereoscopic, and nobody said what to do about it.
pub(crate) fn pictures(
    tools: &Tools,
    media: &Media,
    args: &PictureArgs,
    cancel: &CancellationToken,
) -> Result<Views> {
    let interlaced = media.video.field_order.is_some();
    if interlaced && args.interlaced == Interlaced::Refuse {
        bail!(
            "{}: interlaced ({}); pass --interlaced deinterlace to make whole pictures of its \
             fields, or --interlaced as-is if they are whole already",
            media.path.display(),
            media.video.field_order.as_deref().unwrap_or_default()
        );
    }
    let Views { pictures: view, warning } = one_view(tools, media, args.source_layout, cancel)?;
    ensure!(
        view.crop.is_none() || !args.crop_bars,
        "--crop-bars looks for the bars of a flat picture: leave it out with --source-layout"
    );
    let bars = if args.crop_bars { detect_bars(tools, media, cancel)? } else { None };
    let crop = view.crop.or(bars);
    let deinterlace = interlaced && args.interlaced == Interlaced::Deinterlace;
    Ok(Views { pictures: DecodeOptions { deinterlace, crop, ..view }, warning })
}

/// What is to be encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoding {
    pub(crate) layout: Layout,
    pub(crate) full_chroma: bool,
    pub(crate) pictures: DecodeOptions,
    pub(crate) choice: CodecChoice,
    pub(crate) size: SizeArgs,
}

impl Encoding {
    /// The pictures of the result, and how they are scaled to that.
    pub(crate) fn format(self, media: &Media) -> (VideoFormat, Option<Scaled>) {
        let mut source = (*media.video.format).clone();
        (source.width, source.height) = self.pictures.size(media);
        let aspect = self.pictures.sample_aspect(media);
        self.size.of(self.layout, &source, (aspect, self.full_chroma))
    }

    /// The encoder that works for it, tried at the result's size.
    ///
    /// # Errors
    /// When none does, or when H.264 was asked for and would lose the source's HDR metadata.
    pub(crate) fn codec(
        self,
        tools: &Tools,
        media: &Media,
        settings: &EncodeSettings,
        warnings: &mut Vec<String>,
        cancel: &CancellationToken,
    ) -> Result<Codec> {
        let (format, _) = self.format(media);
        let shown = media.path.display();
        let (width, height) = self.pictures.size(media);
        ensure!(
            format.width.min(format.height) >= LEAST_SIDE,
            "{shown}: a picture of {width}x{height} is too small: {} makes {}x{} of it, and at least \
             {LEAST_SIDE}x{LEAST_SIDE} can be encoded",
            self.layout,
            format.width,
            format.height
        );
        let transfer = media.video.format.colour.transfer.as_deref();
        let hdr = settings.hdr != Hdr::default()
            || matches!(transfer, Some("smpte2084" | "arib-std-b67"));
        let h264 = matches!(self.choice, CodecChoice::H264 | CodecChoice::H264Nvenc);
        ensure!(
            !(hdr && h264),
            "{}: HDR ({}), which players do not find in H.264; pass --codec hevc or --codec av1",
            shown,
            transfer.unwrap_or("with mastering metadata")
        );
        let large = hdr || format.pixels.bits() > 8 || format.width.max(format.height) > 4096;
        let candidates = self.choice.candidates(large).iter().copied();
        // Nothing that cannot say HDR stands in for what can.
        let candidates: Vec<Codec> = candidates.filter(|c| !hdr || *c != Codec::X264).collect();
        let chosen = choose_encoder(tools, &format, settings, &candidates, cancel)
            .with_context(|| format!("{shown}: of {width}x{height}"))?;
        for (codec, why) in &chosen.passed_over {
            let (from, to) = (codec.encoder_name(), chosen.codec.encoder_name());
            warnings.push(format!("{to} is used instead of {from}: {why}"));
        }
        if chosen.codec == Codec::SvtAv1 && format.pixels.bits() > 10 {
            warnings.push("AV1 is encoded with 10 bits; the source has more".to_owned());
        }
        Ok(chosen.codec)
    }
}
