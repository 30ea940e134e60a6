//! Permits of this process: reserved, in hand, passed on, given back.

mod handoff;
mod intake;
mod pool;

pub(crate) use handoff::Permit;
pub(crate) use intake::PermitIntake;
pub(crate) use pool::PermitPool;
