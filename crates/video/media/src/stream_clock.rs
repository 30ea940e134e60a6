//! The clock of a stream that goes on where the main video's jumps.

/// How the clock of a stream other than the main video is continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// Index of the stream in the file.
    pub stream: u32,
    /// From the packet with this number on, times rise by so many microseconds; ascending.
    pub shifts: Vec<(u64, i64)>,
    /// Length of most of its packets in microseconds; 0 when unknown.
    pub packet_us: i64,
}

impl Clock {
    /// ffmpeg's bitstream filter that continues it, for a muxer whose unit of sound is `unit`.
    pub(crate) fn filter(&self, unit: &str) -> String {
        let mut before = 0;
        let mut terms = Vec::new();
        for &(packet, shift) in &self.shifts {
            terms.push(format!("gte(N\\,{packet})*({})", shift - before));
            before = shift;
        }
        // Some versions name the demuxer's unit where packets have the muxer's already.
        let (length, near) = (self.packet_us, self.packet_us / 10);
        let is_named = format!("lt(abs(DURATION*TB*1000000-{length})\\,{near})");
        let unit = if near > 0 { format!("if({is_named}\\,TB\\,{unit})") } else { "TB".to_owned() };
        let rise = format!("round(({})/1000000/{unit})", terms.join("+"));
        format!("setts=pts=PTS+{rise}:dts=DTS+{rise}")
    }
}
