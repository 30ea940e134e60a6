//! Pictures that `tools/golden/export_animate.py` made with Pillow.

use std::path::Path;

/// Width and height, and red, green and blue; grey three times.
pub(crate) fn rgb(name: &str) -> ((usize, usize), Vec<u8>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.png"));
    let mut reader =
        png::Decoder::new(std::io::Cursor::new(std::fs::read(path).unwrap())).read_info().unwrap();
    let mut samples = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut samples).unwrap();
    let samples = match info.color_type {
        png::ColorType::Grayscale => samples.iter().flat_map(|&level| [level; 3]).collect(),
        _ => samples,
    };
    ((info.width as usize, info.height as usize), samples)
}
