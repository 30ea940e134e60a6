//! Pages for a browser on the same machine: films are dropped, looked at, converted and watched.
//!
//! Everything is served from memory and from one folder, which holds films, results and the queue, so that
//! a restart goes on where the last one stopped. A conversion is a child process of the command that a person
//! would type: what the page shows to be copied is what runs. This crate knows no video: what a file is and
//! what a frame looks like it asks of a [`Viewer`].

mod access;
mod assets;
mod child;
mod events;
mod films;
mod folder;
mod job;
mod look;
mod names;
mod pages;
mod queue;
mod ranges;
mod routes;
mod runner;
mod upload;
mod viewer;
mod views;

pub use look::{EngineChoice, Look};
pub use pages::{Pages, Settings};
pub use viewer::{Description, Drawn, Kind, Moment, NotSeen, Viewer};
