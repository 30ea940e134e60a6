//! Operations of our own on the processor, as candle's custom operations.
//!
//! candle asks for one trait by the number of arguments, each with a method that unpacks storages and
//! layouts; here an operation is one function of slices.

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, bail,
};

/// An operation of `N` f32 tensors on the processor.
///
/// ```
/// use candle_core::{Device, Result, Shape, Tensor};
/// use parallax_nn::ops::{F32Op, apply1};
///
/// struct Doubled;
///
/// impl F32Op<1> for Doubled {
///     fn name(&self) -> &'static str {
///         "doubled"
///     }
///
///     fn compute(&self, [x]: [&[f32]; 1], [shape]: [&Shape; 1]) -> Result<(Vec<f32>, Shape)> {
///         Ok((x.iter().map(|x| 2.0 * x).collect(), shape.clone()))
///     }
/// }
///
/// let x = Tensor::new(&[1f32, 2.0], &Device::Cpu)?;
/// assert_eq!(apply1(&Doubled, &x)?.to_vec1::<f32>()?, [2.0, 4.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub trait F32Op<const N: usize> {
    /// Its name in candle's errors.
    fn name(&self) -> &'static str;

    /// The elements and the shape of the result, from the elements and shapes of the arguments, which
    /// are contiguous.
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    fn compute(&self, args: [&[f32]; N], shapes: [&Shape; N]) -> Result<(Vec<f32>, Shape)>;
}

/// Whether such an operation applies to `x`.
pub fn is_cpu_f32(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// Applies an operation of one tensor.
///
/// # Errors
/// Those of the operation, and when the tensor is not f32 on the processor.
pub fn apply1(op: &impl F32Op<1>, x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&Custom(op))
}

/// Applies an operation of two tensors.
///
/// # Errors
/// As [`apply1`].
pub fn apply2(op: &impl F32Op<2>, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2_no_bwd(&y.contiguous()?, &Custom(op))
}

/// Applies an operation of three tensors.
///
/// # Errors
/// As [`apply1`].
pub fn apply3(op: &impl F32Op<3>, x: &Tensor, y: &Tensor, z: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3_no_bwd(&y.contiguous()?, &z.contiguous()?, &Custom(op))
}

/// The one adapter between the two.
struct Custom<'a, T>(&'a T);

impl<T> Custom<'_, T> {
    fn run<const N: usize>(
        &self,
        storages: [&CpuStorage; N],
        layouts: [&Layout; N],
    ) -> Result<(CpuStorage, Shape)>
    where
        T: F32Op<N>,
    {
        let mut args = [&[][..]; N];
        for ((arg, storage), layout) in args.iter_mut().zip(storages).zip(layouts) {
            *arg = elements(storage, layout)?;
        }
        let (data, shape) = self.0.compute(args, layouts.map(Layout::shape))?;
        Ok((CpuStorage::F32(data), shape))
    }
}

/// The elements of a contiguous f32 argument.
pub(super) fn elements<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let CpuStorage::F32(data) = storage else { bail!("expected f32, got {:?}", storage.dtype()) };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&data[start..end]),
        None => bail!("expected a contiguous tensor, got {layout:?}"),
    }
}

impl<T: F32Op<1>> CustomOp1 for Custom<'_, T> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run([s], [l])
    }
}

impl<T: F32Op<2>> CustomOp2 for Custom<'_, T> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.run([s1, s2], [l1, l2])
    }
}

impl<T: F32Op<3>> CustomOp3 for Custom<'_, T> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.run([s1, s2, s3], [l1, l2, l3])
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    struct Joined;

    impl F32Op<2> for Joined {
        fn name(&self) -> &'static str {
            "joined"
        }

        fn compute(&self, [a, b]: [&[f32]; 2], _: [&Shape; 2]) -> Result<(Vec<f32>, Shape)> {
            let joined = [a, b].concat();
            let shape = Shape::from(joined.len());
            Ok((joined, shape))
        }
    }

    #[test]
    fn arguments_are_the_elements_of_views_in_order() {
        let x = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap();
        let turned = x.reshape((2, 3)).unwrap().t().unwrap();
        let joined = apply2(&Joined, &turned, &x.narrow(0, 4, 2).unwrap()).unwrap();
        assert_eq!(joined.to_vec1::<f32>().unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 4.0, 5.0]);
    }

    #[test]
    fn other_types_are_refused() {
        let x = Tensor::new(&[1f64], &Device::Cpu).unwrap();
        assert!(!is_cpu_f32(&x));
        assert!(apply2(&Joined, &x, &x).unwrap_err().to_string().contains("expected f32"));
    }
}
