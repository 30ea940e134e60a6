//! Video in and out through the ffmpeg programs.
