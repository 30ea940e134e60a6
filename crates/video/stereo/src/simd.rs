//! Row loops that the compiler vectorises.

use pulp::Arch;

/// Samples that a row loop treats alike when it can.
pub(crate) const BLOCK: usize = 8;

/// Runs `f` compiled for the widest instructions of this machine. What it calls must be inlined, or it
/// is not compiled for them.
pub(crate) fn over<R>(f: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(f)
}

/// A copy of the block of `values` that begins at `from`: nothing that is written can lie in it.
///
/// # Panics
/// When it does not lie inside.
#[inline(always)]
pub(crate) fn block(values: &[f32], from: usize) -> [f32; BLOCK] {
    let values = &values[from..from + BLOCK];
    std::array::from_fn(|k| values[k])
}

/// Whether `values` count up by ones.
#[inline(always)]
pub(crate) fn counts_up(values: &[f32; BLOCK]) -> bool {
    let first = values[0];
    // All bits of all differences: a sum of bits vectorises where a chain of comparisons does not.
    let differ = |(k, v): (usize, &f32)| (v - (first + k as f32)).to_bits();
    values.iter().enumerate().map(differ).fold(0, |all, bits| all | bits) == 0
}
