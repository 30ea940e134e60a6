//! The console over ports in memory, asked as browsers, programs and others ask.

#![allow(clippy::unwrap_used)]

mod access;
mod acts;
mod events;
mod served;
mod views;
