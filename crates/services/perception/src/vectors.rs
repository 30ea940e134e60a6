//! The mathematics of vectors that networks make of pictures: pure, in double precision inside.

/// `v` at unit length; one of zeros stays as it is.
pub fn unit(v: &[f32]) -> Vec<f32> {
    let length = dot(v, v).sqrt();
    if length == 0.0 {
        return v.to_vec();
    }
    v.iter().map(|&x| (f64::from(x) / length) as f32).collect()
}

/// The unit mean of vectors at unit length, so that none counts more for being long; `None` of none, and of
/// vectors of different widths.
pub fn unit_mean<'a>(vectors: impl IntoIterator<Item = &'a [f32]>) -> Option<Vec<f32>> {
    let mut vectors = vectors.into_iter();
    let mut sum: Vec<f64> = unit(vectors.next()?).into_iter().map(f64::from).collect();
    for v in vectors {
        if v.len() != sum.len() {
            return None;
        }
        sum.iter_mut().zip(unit(v)).for_each(|(sum, x)| *sum += f64::from(x));
    }
    let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
    let scale = if length == 0.0 { 0.0 } else { 1.0 / length };
    Some(sum.into_iter().map(|x| (x * scale) as f32).collect())
}

/// The cosine of the angle between two vectors, -1 to 1; `None` where widths differ or one is of zeros: they
/// cannot be compared.
pub fn cosine(a: &[f32], b: &[f32]) -> Option<f64> {
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if a.len() != b.len() || lengths == 0.0 {
        return None;
    }
    Some((dot(a, b) / lengths).clamp(-1.0, 1.0))
}

/// The cosines of vectors of `width` at the same places of two grids of one shape; `None` where the grids differ.
/// A place where a vector is of zeros counts as 0.
pub fn cosines(a: &[f32], b: &[f32], width: usize) -> Option<Vec<f64>> {
    if a.len() != b.len() || width == 0 || !a.len().is_multiple_of(width) {
        return None;
    }
    let pairs = a.chunks_exact(width).zip(b.chunks_exact(width));
    Some(pairs.map(|(a, b)| cosine(a, b).unwrap_or(0.0)).collect())
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_unit_mean_does_not_ask_how_long_its_vectors_are() {
        let (right, up) = ([5.0f32, 0.0], [0.0f32, 0.1]);
        let mean = unit_mean([&right[..], &up[..]]).unwrap();
        assert!((mean[0] - 0.5f32.sqrt()).abs() < 1e-6 && (mean[1] - 0.5f32.sqrt()).abs() < 1e-6);
        assert_eq!(unit_mean([&right[..]]).unwrap(), [1.0, 0.0]);
        assert_eq!(unit_mean([]), None);
        assert_eq!(unit_mean([&right[..], &[1.0][..]]), None);
        // Those that cancel out have no direction.
        assert_eq!(unit_mean([&[1.0f32][..], &[-1.0][..]]).unwrap(), [0.0]);
        assert_eq!(unit(&[0.0, 0.0]), [0.0, 0.0]);
        assert_eq!(unit(&[3.0, -4.0]), [0.6, -0.8]);
    }

    #[test]
    fn what_cannot_be_compared_is_not() {
        assert_eq!(cosine(&[1.0, 2.0], &[1.0, 2.0, 3.0]), None);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 2.0]), None);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), Some(0.0));
        assert_eq!(cosine(&[1.0, 1.0], &[-3.0, -3.0]), Some(-1.0));
        let (a, b) = ([1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0]);
        assert_eq!(cosines(&a, &b, 2), Some(vec![1.0, 0.0]));
        assert_eq!(cosines(&a, &b[..2], 2), None);
        assert_eq!(cosines(&a, &b, 3), None);
    }

    proptest! {
        #[test]
        fn a_cosine_is_of_directions(
            v in prop::collection::vec(-10f32..10.0, 2..40), by in 0.1f32..50.0, other in any::<u64>(),
        ) {
            let w: Vec<f32> = (0..v.len()).map(|i| ((other >> (i % 60)) & 7) as f32 - 3.3).collect();
            let longer: Vec<f32> = v.iter().map(|x| x * by).collect();
            if let (Some(one), Some(many)) = (cosine(&v, &w), cosine(&longer, &w)) {
                prop_assert!((one - many).abs() < 1e-5);
                prop_assert_eq!(cosine(&w, &v), Some(one));
                prop_assert!((cosine(&unit(&v), &unit(&w)).unwrap() - one).abs() < 1e-5);
            }
        }
    }
}
