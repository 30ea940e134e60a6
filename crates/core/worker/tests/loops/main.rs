//! Single loops over ports in memory, for what the simulator does not reach or would not notice.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod deleted;
mod drain;
mod end;
mod handover;
mod inference;
mod leases;
mod permits;
mod redrive;
mod refusals;
mod slots;
mod stage;
mod statistics;
mod submit;
mod sweep;
mod switches;
