//! Two eyes into one picture.

use std::f32::consts::PI;
use std::sync::Arc;

use parallax_frame::{Frame, VideoFormat};
use rayon::prelude::*;

use super::layout::{Layout, output_format};
use super::{anaglyph, vr180};
use crate::{Error, StereoPair};

/// Packs `pair` as `layout`, in the format that [`output_format`] gives, at the left eye's time.
/// Layouts at full size copy the samples of both eyes untouched.
///
/// # Errors
/// `Unsupported` when the eyes differ in format, or for an anaglyph in a colour matrix that is not
/// a matrix of R'G'B'.
///
/// # Example
/// ```
/// use std::sync::Arc;
///
/// use parallax_stereo::{Layout, StereoPair, compose};
/// # use parallax_frame::{Chroma, Colour, Frame, PixelFormat, VideoFormat};
/// # let pixels = PixelFormat::new(Chroma::Yuv420, 8)?;
/// # let format = Arc::new(VideoFormat { width: 8, height: 4, pixels, colour: Colour::default() });
///
/// let eye = |luma| {
///     let mut frame = Frame::zeroed(format.clone(), 7);
///     frame.plane_mut(0).fill(luma);
///     frame
/// };
/// let packed = compose(&StereoPair { left: eye(50), right: eye(200) }, "full-sbs".parse()?)?;
/// assert_eq!((packed.format().width, packed.format().height, packed.pts), (16, 4, 7));
/// assert_eq!((packed.plane(0)[7], packed.plane(0)[8]), (50, 200));
/// assert_eq!("full-sbs".parse(), Ok(Layout::FullSbs));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn compose(pair: &StereoPair, layout: Layout) -> Result<Frame, Error> {
    let (format, _) = output_format(layout, pair.left.format());
    compose_as(pair, layout, Arc::new(format), (1, 1))
}

/// As [`compose`], in a format that the caller made of [`output_format`], of
/// [`crate::shaped_format`] or, for an anaglyph only, of [`crate::full_chroma_format`]. `aspect` is
/// the shape of the eyes' samples, which only a sphere asks for.
///
/// # Errors
/// As [`compose`].
pub fn compose_as(
    pair: &StereoPair,
    layout: Layout,
    format: Arc<VideoFormat>,
    aspect: (u32, u32),
) -> Result<Frame, Error> {
    if pair.left.format() != pair.right.format() {
        return Err(Error::Unsupported("left and right eye differ in format".to_owned()));
    }
    let mut out = Frame::zeroed(format, pair.left.pts);
    let StereoPair { left, right } = pair;
    match layout {
        Layout::FullSbs | Layout::Rgbd => side_by_side(left, right, &mut out),
        Layout::CrossEyed => side_by_side(right, left, &mut out),
        Layout::HalfSbs => half_side_by_side(pair, &mut out),
        Layout::FullTb => top_bottom(left, right, &mut out),
        Layout::HalfTb => half_top_bottom(pair, &mut out),
        Layout::RightOnly => place(right, (0, 1), &mut out),
        Layout::Vr180 => {
            vr180::project(left, aspect, 0, &mut out);
            vr180::project(right, aspect, 1, &mut out);
        }
        Layout::Anaglyph
        | Layout::AnaglyphHalfColour
        | Layout::AnaglyphOptimised
        | Layout::AnaglyphDubois => anaglyph::compose(pair, layout, &mut out)?,
    }
    Ok(out)
}

fn top_bottom(above: &Frame, below: &Frame, out: &mut Frame) {
    place(above, (0, 2), out);
    place(below, (1, 2), out);
}

/// Copies `eye` to the full width of `out`, as the `nth` of so many `pictures` above one another.
fn place(eye: &Frame, (nth, pictures): (usize, usize), out: &mut Frame) {
    let format = out.format().clone();
    let bytes = format.pixels.sample_bytes();
    for index in 0..format.pixels.chroma().planes() {
        let (source, target) = (eye.format().plane(index), format.plane(index));
        let rows = target.height / pictures;
        let (samples, row_bytes) = (eye.plane(index), source.width * bytes);
        let lines = out.plane_mut(index).chunks_exact_mut(target.width * bytes);
        for (y, line) in lines.skip(nth * rows).take(rows).enumerate() {
            let start = y.min(source.height - 1) * row_bytes;
            copy_padded(line, &samples[start..start + row_bytes], bytes);
        }
    }
}

/// Halves both eyes' heights. Chroma sits between two rows, as their mean does, so every plane
/// moves alike.
fn half_top_bottom(pair: &StereoPair, out: &mut Frame) {
    let format = out.format().clone();
    let bytes = format.pixels.sample_bytes();
    let max = f32::from(format.pixels.max_value());
    let taps = reduction(0.5);
    for index in 0..format.pixels.chroma().planes() {
        let source = pair.left.format().plane(index);
        let target = format.plane(index);
        let half = target.height / 2;
        let eyes = [pair.left.plane_f32(index), pair.right.plane_f32(index)];
        out.plane_mut(index).par_chunks_mut(target.width * bytes).enumerate().for_each_init(
            || vec![0.0f32; target.width],
            |sums, (y, line)| {
                let samples = &eyes[usize::from(y >= half)];
                let first = 2 * (y % half) as i64 - 5;
                sums.fill(0.0);
                for (k, tap) in taps.iter().enumerate() {
                    let row = (first + k as i64).clamp(0, source.height as i64 - 1) as usize;
                    let row = &samples[row * source.width..(row + 1) * source.width];
                    for (x, sum) in sums.iter_mut().enumerate() {
                        *sum += tap * row[x.min(source.width - 1)];
                    }
                }
                for (sample, sum) in line.chunks_exact_mut(bytes).zip(sums.iter()) {
                    let code = (sum.clamp(0.0, max) + 0.5) as u16;
                    sample.copy_from_slice(&code.to_le_bytes()[..bytes]);
                }
            },
        );
    }
}

fn side_by_side(left: &Frame, right: &Frame, out: &mut Frame) {
    let format = out.format().clone();
    let bytes = format.pixels.sample_bytes();
    for index in 0..format.pixels.chroma().planes() {
        let source = left.format().plane(index);
        let row_bytes = source.width * bytes;
        let (left, right) = (left.plane(index), right.plane(index));
        let half = format.plane(index).width / 2 * bytes;
        out.plane_mut(index).par_chunks_mut(2 * half).enumerate().for_each(|(y, row)| {
            let start = y.min(source.height - 1) * row_bytes;
            let (a, b) = row.split_at_mut(half);
            copy_padded(a, &left[start..start + row_bytes], bytes);
            copy_padded(b, &right[start..start + row_bytes], bytes);
        });
    }
}

/// Copies a row and repeats its last sample to the end of `out`.
fn copy_padded(out: &mut [u8], row: &[u8], bytes: usize) {
    let (body, rest) = out.split_at_mut(row.len());
    body.copy_from_slice(row);
    for sample in rest.chunks_exact_mut(bytes) {
        sample.copy_from_slice(&row[row.len() - bytes..]);
    }
}

/// Taps of the 2:1 reduction: Lanczos with three lobes at half the sampling rate.
const TAPS: usize = 12;

/// Lanczos-3 weights for output samples that lie `offset` samples after every second input sample;
/// tap `k` weighs the input `k - 5` samples after it.
fn reduction(offset: f32) -> [f32; TAPS] {
    let mut taps = [0.0; TAPS];
    for (k, tap) in taps.iter_mut().enumerate() {
        let x = (k as f32 - 5.0 - offset) / 2.0;
        *tap = match x {
            0.0 => 1.0,
            x if x.abs() >= 3.0 => 0.0,
            x => 3.0 * (PI * x).sin() * (PI * x / 3.0).sin() / (PI * x * PI * x),
        };
    }
    let sum: f32 = taps.iter().sum();
    taps.map(|tap| tap / sum)
}

fn half_side_by_side(pair: &StereoPair, out: &mut Frame) {
    let format = out.format().clone();
    let bytes = format.pixels.sample_bytes();
    let max = f32::from(format.pixels.max_value());
    for index in 0..format.pixels.chroma().planes() {
        let source = pair.left.format().plane(index);
        let row_bytes = source.width * bytes;
        // Luma halves between its samples. Subsampled chroma sits on even luma columns, before and
        // after, so it moves by half a luma sample, a quarter of its own.
        let chroma = index > 0 && format.pixels.chroma().shifts().0 == 1;
        let taps = reduction(if chroma { 0.25 } else { 0.5 });
        let half = format.plane(index).width / 2 * bytes;
        let (left, right) = (pair.left.plane(index), pair.right.plane(index));
        out.plane_mut(index).par_chunks_mut(2 * half).enumerate().for_each_init(
            Vec::new,
            |padded, (y, row)| {
                let start = y.min(source.height - 1) * row_bytes;
                let (a, b) = row.split_at_mut(half);
                halve(a, &left[start..start + row_bytes], bytes, max, &taps, padded);
                halve(b, &right[start..start + row_bytes], bytes, max, &taps, padded);
            },
        );
    }
}

fn halve(
    out: &mut [u8],
    row: &[u8],
    bytes: usize,
    max: f32,
    taps: &[f32; TAPS],
    padded: &mut Vec<f32>,
) {
    let value = |b: &[u8]| match *b {
        [v] => f32::from(v),
        [low, high] => f32::from(u16::from_le_bytes([low, high])),
        _ => 0.0,
    };
    let first = value(&row[..bytes]);
    let last = value(&row[row.len() - bytes..]);
    padded.clear();
    padded.resize(5, first);
    padded.extend(row.chunks_exact(bytes).map(value));
    padded.resize(2 * (out.len() / bytes) + TAPS, last);
    for (window, sample) in padded.windows(TAPS).step_by(2).zip(out.chunks_exact_mut(bytes)) {
        let sum: f32 = window.iter().zip(taps).map(|(v, t)| v * t).sum();
        let code = (sum.clamp(0.0, max) + 0.5) as u16;
        sample.copy_from_slice(&code.to_le_bytes()[..bytes]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_frame::{Chroma, Colour, PixelFormat, Range, VideoFormat};

    fn eye(chroma: Chroma, bits: u8, (width, height): (u32, u32), seed: usize) -> Frame {
        let pixels = PixelFormat::new(chroma, bits).unwrap();
        let format = VideoFormat { width, height, pixels, colour: Colour::default() };
        let mut frame = Frame::zeroed(Arc::new(format), 42);
        let (black, white) = frame.format().colour.luma_limits(bits);
        let span = usize::from(white - black) / 4;
        for plane in 0..chroma.planes() {
            let count = frame.plane_f32(plane).len();
            let base = if plane == 0 { 2 * span } else { 2 * span - span / 4 };
            let values: Vec<f32> =
                (0..count).map(|i| (base + (i * seed + plane) % (span / 2)) as f32).collect();
            frame.set_plane_f32(plane, &values);
        }
        frame
    }

    const SHAPES: [(Chroma, u8); 5] = [
        (Chroma::Gray, 8),
        (Chroma::Yuv420, 8),
        (Chroma::Yuv420, 10),
        (Chroma::Yuv422, 12),
        (Chroma::Yuv444, 8),
    ];

    #[test]
    fn full_sbs_copies_both_eyes_and_repeats_their_last_samples() {
        for (chroma, bits) in SHAPES {
            for size in [(4, 2), (5, 3), (1, 1)] {
                let left = eye(chroma, bits, size, 7);
                let right = eye(chroma, bits, size, 13);
                let pair = StereoPair { left: left.clone(), right: right.clone() };
                let out = compose(&pair, Layout::FullSbs).unwrap();
                assert_eq!(out.pts, 42);
                for plane in 0..chroma.planes() {
                    let (to, from) = (out.format().plane(plane), left.format().plane(plane));
                    let (got, l, r) =
                        (out.plane_f32(plane), left.plane_f32(plane), right.plane_f32(plane));
                    for y in 0..to.height {
                        for x in 0..to.width {
                            let source = if x < to.width / 2 { &l } else { &r };
                            let column = (x % (to.width / 2)).min(from.width - 1);
                            let row = y.min(from.height - 1);
                            let want = source[row * from.width + column];
                            assert_eq!(got[y * to.width + x], want, "{chroma:?} {size:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn half_sbs_keeps_slopes_and_removes_what_half_the_samples_cannot_carry() {
        let format = VideoFormat {
            width: 64,
            height: 2,
            pixels: PixelFormat::new(Chroma::Yuv420, 10).unwrap(),
            colour: Colour::default(),
        };
        let mut left = Frame::zeroed(Arc::new(format), 0);
        let mut right = left.clone();
        let slope: Vec<f32> = (0..128).map(|i| 100.0 + 8.0 * (i % 64) as f32).collect();
        left.set_plane_f32(0, &slope);
        let chroma: Vec<f32> = (0..32).map(|i| 100.0 + 16.0 * i as f32).collect();
        left.set_plane_f32(1, &chroma);
        let finest: Vec<f32> = (0..128).map(|i| if i % 2 == 0 { 800.0 } else { 200.0 }).collect();
        right.set_plane_f32(0, &finest);
        let out = compose(&StereoPair { left, right }, Layout::HalfSbs).unwrap();
        assert_eq!((out.format().width, out.format().height), (64, 2));
        let luma = out.plane_f32(0);
        for x in 3..29 {
            // Halfway between the two samples that it replaces.
            let want = 100.0 + 8.0 * (2.0 * x as f32 + 0.5);
            assert!((luma[x] - want).abs() <= 1.0, "column {x}: {} for {want}", luma[x]);
            assert!((luma[32 + x] - 500.0).abs() <= 1.0, "column {x}: {}", luma[32 + x]);
        }
        let chroma = out.plane_f32(1);
        for (x, got) in chroma.iter().enumerate().take(13).skip(3) {
            let want = 100.0 + 16.0 * (2.0 * x as f32 + 0.25);
            assert!((got - want).abs() <= 1.0, "column {x}: {got} for {want}");
        }
    }

    #[test]
    fn half_sbs_of_constant_eyes_is_constant_at_any_size() {
        for (chroma, bits) in SHAPES {
            for size in [(1, 1), (2, 2), (5, 3), (30, 2)] {
                let mut left = eye(chroma, bits, size, 1);
                for plane in 0..chroma.planes() {
                    let count = left.plane_f32(plane).len();
                    left.set_plane_f32(plane, &vec![77.0; count]);
                }
                let pair = StereoPair { left: left.clone(), right: left };
                let out = compose(&pair, Layout::HalfSbs).unwrap();
                for plane in 0..chroma.planes() {
                    assert!(out.plane_f32(plane).iter().all(|&v| v == 77.0));
                }
            }
        }
    }

    #[test]
    fn an_anaglyph_of_equal_eyes_is_the_eye() {
        for (chroma, bits) in [(Chroma::Yuv444, 8), (Chroma::Yuv444, 10), (Chroma::Yuv444, 12)] {
            let left = eye(chroma, bits, (12, 5), 7);
            let pair = StereoPair { left: left.clone(), right: left.clone() };
            assert_eq!(compose(&pair, Layout::Anaglyph).unwrap(), left);
        }
    }

    #[test]
    fn an_anaglyph_takes_red_from_the_left_and_the_rest_from_the_right() {
        for chroma in [Chroma::Yuv420, Chroma::Yuv422, Chroma::Yuv444, Chroma::Gray] {
            for (bits, range) in [(8, Range::Limited), (10, Range::Full), (12, Range::Limited)] {
                let format = Arc::new(VideoFormat {
                    width: 5,
                    height: 3,
                    pixels: PixelFormat::new(chroma, bits).unwrap(),
                    colour: Colour {
                        range: Some(range),
                        matrix: Some("bt709".to_owned()),
                        ..Colour::default()
                    },
                });
                let flat = |luma: u16| {
                    let mut frame = Frame::zeroed(format.clone(), 0);
                    for plane in 0..chroma.planes() {
                        let count = frame.plane_f32(plane).len();
                        let value = if plane == 0 { luma } else { 128 << (bits - 8) };
                        frame.set_plane_f32(plane, &vec![f32::from(value); count]);
                    }
                    frame
                };
                let (black, white) = format.colour.luma_limits(bits);
                let pair = StereoPair { left: flat(white), right: flat(black) };
                let out = compose(&pair, Layout::Anaglyph).unwrap();
                let matrix = crate::matrix::Matrix::of(out.format()).unwrap();
                let code = |plane| out.plane_f32(plane)[0];
                let [r, g, b] = matrix.rgb(code(0), code(1), code(2));
                assert!(r > 0.98 && g < 0.02 && b < 0.02, "{chroma:?} {bits}: {r} {g} {b}");
            }
        }
    }

    #[test]
    fn top_bottom_and_crossed_views_are_where_they_belong() {
        for (chroma, bits) in SHAPES {
            for size in [(4, 2), (5, 3), (1, 1)] {
                let (left, right) = (eye(chroma, bits, size, 7), eye(chroma, bits, size, 13));
                let pair = StereoPair { left: left.clone(), right: right.clone() };
                let stacked = compose(&pair, Layout::FullTb).unwrap();
                let crossed = compose(&pair, Layout::CrossEyed).unwrap();
                let alone = compose(&pair, Layout::RightOnly).unwrap();
                for plane in 0..chroma.planes() {
                    let from = left.format().plane(plane);
                    let half = stacked.format().plane(plane).height / 2;
                    let at = |frame: &Frame, x: usize, y: usize| {
                        frame.plane_f32(plane)[y * frame.format().plane(plane).width + x]
                    };
                    for y in 0..half {
                        let (x, row) = (from.width - 1, y.min(from.height - 1));
                        assert_eq!(at(&stacked, x, y), at(&left, x, row), "{chroma:?} {size:?}");
                        assert_eq!(at(&stacked, x, half + y), at(&right, x, row));
                        assert_eq!(at(&crossed, x, y), at(&right, x, row));
                        assert_eq!(at(&alone, x, y), at(&right, x, row));
                    }
                }
            }
        }
    }

    #[test]
    fn half_top_bottom_keeps_slopes_and_the_order_of_the_eyes() {
        let format = VideoFormat {
            width: 2,
            height: 64,
            pixels: PixelFormat::new(Chroma::Yuv420, 10).unwrap(),
            colour: Colour::default(),
        };
        let mut left = Frame::zeroed(Arc::new(format), 0);
        let mut right = left.clone();
        left.set_plane_f32(0, &(0..128).map(|i| 100.0 + 8.0 * (i / 2) as f32).collect::<Vec<_>>());
        right.set_plane_f32(0, &[77.0; 128]);
        let out = compose(&StereoPair { left, right }, Layout::HalfTb).unwrap();
        let luma = out.plane_f32(0);
        for y in 3..29 {
            let want = 100.0 + 8.0 * (2.0 * y as f32 + 0.5);
            assert!((luma[2 * y] - want).abs() <= 1.0, "row {y}: {} for {want}", luma[2 * y]);
            assert_eq!(luma[2 * (32 + y)], 77.0);
        }
    }

    #[test]
    fn half_a_sphere_shows_the_picture_in_front_and_black_beside_it() {
        let format = Arc::new(VideoFormat {
            width: 64,
            height: 32,
            pixels: PixelFormat::YUV420P,
            colour: Colour::default(),
        });
        let flat = |luma: f32| {
            let mut frame = Frame::zeroed(format.clone(), 0);
            frame.set_plane_f32(0, &[luma; 64 * 32]);
            for plane in [1, 2] {
                frame.set_plane_f32(plane, &[128.0; 32 * 16]);
            }
            frame
        };
        let pair = StereoPair { left: flat(200.0), right: flat(100.0) };
        let out = compose(&pair, Layout::Vr180).unwrap();
        let side = 96;
        assert_eq!((out.format().width, out.format().height), (2 * side, side));
        let at = |x: u32, y: u32| out.plane(0)[(y * 2 * side + x) as usize];
        assert_eq!((at(48, 48), at(side + 48, 48)), (200, 100));
        // The picture spans 45 degrees to either side along its width, 26.6 along its height.
        let edge = |at: f32| (at / 90.0 * 48.0 + 48.0) as u32;
        assert_eq!((at(edge(44.0), 48), at(edge(46.0), 48)), (200, 16));
        assert_eq!((at(48, edge(25.0)), at(48, edge(28.5))), (200, 16));
        assert!(out.plane(1).iter().all(|&v| v == 128));
    }

    #[test]
    fn the_shape_of_samples_decides_the_angle_on_the_sphere() {
        let format = Arc::new(VideoFormat {
            width: 48,
            height: 32,
            pixels: PixelFormat::YUV420P,
            colour: Colour::default(),
        });
        let mut eye = Frame::zeroed(format.clone(), 0);
        eye.set_plane_f32(0, &[200.0; 48 * 32]);
        let pair = StereoPair { left: eye.clone(), right: eye };
        // 48 samples of 4:3 are 64 square ones: twice the height.
        let (sphere, aspect) = crate::shaped_format(Layout::Vr180, &format, (4, 3), false);
        assert_eq!((sphere.width, sphere.height, aspect), (192, 96, (1, 1)));
        let out = compose_as(&pair, Layout::Vr180, Arc::new(sphere), (4, 3)).unwrap();
        let at = |x: u32, y: u32| out.plane(0)[(y * 192 + x) as usize];
        let edge = |at: f32| (at / 90.0 * 48.0 + 48.0) as u32;
        assert_eq!((at(edge(44.0), 48), at(edge(46.5), 48)), (200, 16));
        assert_eq!((at(48, edge(25.0)), at(48, edge(28.5))), (200, 16));
    }

    #[test]
    fn eyes_of_different_formats_are_refused() {
        let pair = StereoPair {
            left: eye(Chroma::Yuv420, 8, (4, 2), 1),
            right: eye(Chroma::Yuv444, 8, (4, 2), 1),
        };
        assert!(matches!(compose(&pair, Layout::FullSbs), Err(Error::Unsupported(_))));
    }
}
