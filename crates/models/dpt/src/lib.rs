//! Dense prediction transformers on candle: DINOv2 (Oquab et al. 2023, arXiv:2304.07193) under a DPT head
//! (Ranftl et al. 2021, arXiv:2103.13413), as the Depth Anything family has them.
//!
//! One network, told by a [`Config`]: *Depth Anything* V1 and V2 (Yang et al. 2024, arXiv:2401.10891 and
//! arXiv:2406.09414), *Distill Any Depth* (He et al. 2025, arXiv:2502.19204), *Video Depth Anything* (Chen
//! et al. 2025, arXiv:2501.12375) with attention over time in the head, and the monocular networks of
//! *Depth Anything 3* (Lin et al. 2025, arXiv:2511.10647) with a sky branch. Numbers follow the published
//! PyTorch classes, stage by stage in `tests/`.

mod config;
mod encoder;
mod head;
mod layout;
pub mod manifest;
mod motion;
mod network;
mod past;
mod positions;
mod preprocess;
mod settings;
mod shapes;
mod stream;
mod windows;

pub use config::{Config, Output, Positions, Temporal, Transformer};
pub use layout::Layout;
pub use network::{Depth, DepthNetwork, Features};
pub use positions::on_grid as positions_on_grid;
pub use preprocess::{Resampling, SizeRule, network_input};
pub use stream::Stream;
pub use windows::{DepthMap, WindowOptions, Windows};
