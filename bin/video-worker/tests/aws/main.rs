//! The daemon as a process against a moto server.

#![allow(clippy::unwrap_used)]

mod calls;
mod cloud;
mod console;
mod deployed;
mod http;
mod numbers;
mod operate;
mod start;
