//! Whole-system tests over the real binaries: what they share.
//!
//! The tests run `parallax` and `video-worker` as a user would, as processes of their own over
//! generated clips, and judge results with ffmpeg rather than with our own media code. Helpers
//! panic: they fail like the tests that call them.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

mod clips;
pub mod cloud;
mod daemon;
mod disk;
mod http;
mod hub;
mod measure;
mod moto;
mod process;
mod proxy;
mod seed;
mod server;

pub use clips::{Clip, clip};
pub use daemon::{COMPLETED, Daemon, completions_told};
pub use disk::SmallDisk;
pub use hub::{Asked, COMMIT, Fault, Hub, TOKEN};
pub use measure::{audio_md5, frame_md5s, left_eye_psnr, probe, video_seconds};
pub use moto::Moto;
pub use process::{Finished, Running, Usage, convert, finish, instead, program, state_folder};
pub use proxy::{Twist, proxy};
pub use seed::{number, seed};
pub use server::{Answer, Server, tell};
