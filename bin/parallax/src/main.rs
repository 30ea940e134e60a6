//! Convert video to stereoscopic 3D on one machine.
fn main() {}
