//! What a job, segment, key, event and completion are: names and shapes, no I/O.
//!
//! Every parser here is total: any bytes in, a typed result out, never a panic. What is built is
//! parsed back to the same value. The shapes are wire contracts shared with deployed systems.

mod bucket;
mod completion;
mod event;
mod id;
mod inference;
mod key;
mod message;
mod mode;
mod segment;
mod status;
mod time;
mod uri;

pub use bucket::{Bucket, Buckets};
pub use completion::SegmentCompletion;
pub use event::{
    Notification, ObjectEvent, Record, Timed, parse_notification, parse_timed_notification,
    s3_notification, s3_notification_at,
};
pub use id::{IdError, JobId};
pub use inference::InferenceResult;
pub use key::{KeyError, ObjectKey};
pub use message::{MessageError, ReassemblyMessage};
pub use mode::{Mode, ModeError};
pub use segment::{MAX_SEGMENTS, Segment, SegmentError};
pub use status::{JobStatus, StatusError};
pub use time::Timestamp;
pub use uri::{Scheme, Uri, UriError};
