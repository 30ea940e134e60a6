//! Networks that give no numbers.

use parallax_tiny_weights::{File, rewrite};

use super::*;

const F16_MOST: f32 = 65504.0;

/// An engine in `dtype` on models of its own, in which `change` was made before or after it was opened.
fn damaged(
    (reference, dtype): (bool, DType),
    opened_first: bool,
    change: impl Fn(&Path),
) -> (tempfile::TempDir, Result<StereoCrafter, parallax_weights::Error>) {
    let folder = tempfile::tempdir().unwrap();
    parallax_tiny_weights::write(folder.path(), 11).unwrap();
    let options = Options { reference, steps: 1, dtype: Some(dtype), ..Options::default() };
    let open = || StereoCrafter::within(folder.path(), &Device::Cpu, options.clone());
    if opened_first {
        let engine = open();
        change(folder.path());
        return (folder, engine);
    }
    change(folder.path());
    let engine = open();
    (folder, engine)
}

/// Makes values of a tensor what they are told to be.
fn filled(root: &Path, file: File, tensor: &str, value: f32) {
    rewrite(root, file, tensor, |_, _| value).unwrap();
}

fn told(engine: &StereoCrafter, frames: &[Frame]) -> (Result<Vec<StereoPair>, Error>, Vec<Retry>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&told);
    let watch =
        Watch::default().with_retries(move |retry| kept.lock().unwrap().push(retry.clone()));
    let pairs = convert(engine, frames, &Run { watch, ..run(1) });
    let told = told.lock().unwrap().clone();
    (pairs, told)
}

/// No larger than has to be: the reference takes no smaller ones.
fn frames(reference: bool) -> Vec<Frame> {
    let (width, height) = if reference { (128, 128) } else { (70, 46) };
    film(&format(width, height), 0, 0..4)
}

#[test]
fn one_value_that_is_no_number_is_found_before_anything_is_made() {
    for value in [f32::NAN, f32::INFINITY] {
        for (file, tensor) in [
            (File::ImageEncoder, "vision_model.post_layernorm.weight"),
            (File::Vae, "decoder.conv_in.weight"),
            (File::Depth, "conv_in.weight"),
            (File::Inpainting, "conv_out.bias"),
        ] {
            let one = |root: &Path| {
                rewrite(root, file, tensor, |i, old| if i == 1 { value } else { old }).unwrap();
            };
            let (_folder, engine) = damaged((false, DType::F32), false, one);
            let error = engine.unwrap_err().to_string();
            let count = if value.is_nan() { "(1 NaN of" } else { "(1 infinite of" };
            assert!(error.contains(&format!("{tensor} {count}")), "{error}");
        }
    }
}

#[test]
fn networks_that_give_no_numbers_in_f32_are_named_with_their_frames_in_every_mode() {
    // What happens when the files change under a running program.
    for (file, tensor, says) in [
        (File::Depth, "conv_in.weight", "depth: the denoiser in f32 gave"),
        (File::Inpainting, "conv_in.weight", "inpaint: the denoiser in f32 gave"),
    ] {
        for mode in [(false, DType::F32), (true, DType::F32), (false, DType::F16)] {
            let broken = |root: &Path| filled(root, file, tensor, f32::NAN);
            let (_folder, engine) = damaged(mode, true, broken);
            let (pairs, retries) = told(&engine.unwrap(), &frames(mode.0));
            let error = pairs.unwrap_err();
            assert!(matches!(error, Error::NotFinite { .. }), "{mode:?}: {error:?}");
            let error = error.to_string();
            for part in [says, "NaN of", "for frames 0 to 3", "weights check --values"] {
                assert!(error.contains(part), "{mode:?}: {error}");
            }
            assert_eq!(retries.len(), usize::from(mode.1 == DType::F16), "f32 is tried once");
        }
    }
}

#[test]
fn a_decoder_that_gives_no_numbers_is_named() {
    for reference in [false, true] {
        // Latents are divided by it.
        let zero = |root: &Path| {
            let file = root.join("stable-video-diffusion-img2vid-xt-1-1/vae/config.json");
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, text.replace("0.18215", "0.0")).unwrap();
        };
        let (_folder, engine) = damaged((reference, DType::F32), false, zero);
        let (pairs, retries) = told(&engine.unwrap(), &frames(reference));
        let error = pairs.unwrap_err().to_string();
        assert!(error.contains("depth: the VAE's decoder in f32 gave"), "{error}");
        assert!(error.contains("for frames 0 to 3"), "{error}");
        assert_eq!(retries, []);
    }
}

#[test]
fn what_overflows_f16_is_done_again_in_f32_and_told() {
    for (file, tensor, network, stages) in [
        (File::Depth, "conv_in.weight", "the denoiser in f16", vec![Stage::Depth]),
        (File::Inpainting, "conv_in.weight", "the denoiser in f16", vec![Stage::Inpaint]),
        (
            File::Vae,
            "decoder.conv_in.weight",
            "the VAE's decoder in f16",
            vec![Stage::Depth, Stage::Inpaint],
        ),
    ] {
        for reference in [false, true] {
            // The largest values that f16 has: their sums are beyond it.
            let large = |root: &Path| filled(root, file, tensor, F16_MOST);
            let (_folder, half) = damaged((reference, DType::F16), false, large);
            let half = half.unwrap();
            let (pairs, retries) = told(&half, &frames(reference));
            let pairs = pairs.unwrap();
            assert_eq!(pairs.len(), 4);
            let found: Vec<Stage> = retries
                .iter()
                .map(|retry| match retry {
                    Retry::Wider(found) => {
                        assert!(found.source.contains(network), "{found}");
                        found.stage
                    }
                    Retry::OutOfMemory(_) => panic!("{retry}"),
                })
                .collect();
            assert_eq!(found, stages, "{reference}: {tensor}");
            if stages.len() == 2 {
                let (again, _) = told(&half, &frames(reference));
                assert!(rights(&again.unwrap()) == rights(&pairs), "{reference}: {tensor}");
            }
        }
    }
}

#[test]
fn the_frames_that_are_named_are_those_of_the_clip() {
    let broken = |root: &Path| filled(root, File::Inpainting, "conv_in.weight", f32::NAN);
    let (_folder, engine) = damaged((false, DType::F32), true, broken);
    let engine = engine.unwrap();
    let format = format(70, 46);
    let frames = [film(&format, 0, 0..3), film(&format, 3, 0..8)].concat();
    // The first shot lies before the clip, and is not inpainted.
    let mut session = engine.start(&clip(&format), &run(1)).unwrap();
    frames[..3].iter().for_each(|frame| session.lead_in(frame.clone()).unwrap());
    session.lead_in(frames[3].clone()).unwrap();
    for frame in &frames[4..] {
        session.push(frame.clone()).unwrap();
    }
    let error = session.finish().unwrap_err().to_string();
    assert!(error.contains("for frames 0 to 6"), "{error}");
}
