//! What turns a segment into its stereo result.

use std::fmt::Debug;

use async_trait::async_trait;
use parallax_job::{Segment, Uri};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::Result;

/// One attempt at one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The segment.
    pub segment: Segment,
    /// Counts from 1.
    pub attempt: u32,
    /// Where to read it.
    pub input: Uri,
    /// Where to write the result.
    pub output: Uri,
}

impl Invocation {
    /// The name of this attempt, the same whenever it is asked for, and no other's: not that of one
    /// at another cut's segment of this index either.
    pub fn request_id(&self) -> String {
        let Segment { job_id, total, index, .. } = &self.segment;
        format!("{job_id}/{total}/{index}/{}", self.attempt)
    }
}

/// Where the outcome of an accepted invocation will be written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Locations {
    /// Exists once the invocation succeeded.
    pub response: Option<Uri>,
    /// Exists once the invocation failed.
    pub failure: Option<Uri>,
}

/// How an invocation was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invoked {
    /// The result is at the output address.
    Finished,
    /// The same, and this process has the object store's own word for it: nobody need look.
    Written,
    /// The result follows, and its event.
    Accepted(Locations),
}

/// Who keeps an attempt alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Custody {
    /// The caller: it renews a short lease while `invoke` runs, and the attempt ends with it.
    Caller,
    /// The backend: `invoke` hands the work over, and only evidence or a deadline ends it.
    Backend,
}

/// Runs attempts. Methods with defaults are for backends that have nothing to say there; a wrapper passes
/// every one of them on, and denies `clippy::missing_trait_methods` so as to forget none.
///
/// # Example
/// A backend that works inside its call, and so leaves everything else as it is:
///
/// ```
/// use async_trait::async_trait;
/// use parallax_job::{Mode, Segment};
/// use parallax_ports::{Custody, Error, InferenceBackend, Invocation, Invoked, Kind, Result};
/// use tokio_util::sync::CancellationToken;
///
/// /// Has nothing to do, and does it.
/// #[derive(Debug)]
/// struct Idle;
///
/// #[async_trait]
/// impl InferenceBackend for Idle {
///     fn custody(&self) -> Custody {
///         Custody::Caller
///     }
///
///     async fn invoke(&self, _invocation: &Invocation, cancel: &CancellationToken) -> Result<Invoked> {
///         match cancel.is_cancelled() {
///             true => Err(Error::new(Kind::Cancelled, "cancelled")),
///             false => Ok(Invoked::Finished),
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
/// let attempt = Invocation {
///     segment: Segment::new("a-job".parse()?, 0, 2, Mode::Sbs)?,
///     attempt: 1,
///     input: "s3://films/in.mp4".parse()?,
///     output: "s3://films/out.mp4".parse()?,
/// };
/// let cancel = CancellationToken::new();
/// Idle.prepare(&attempt, &cancel).await?;
/// assert_eq!(Idle.invoke(&attempt, &cancel).await?, Invoked::Finished);
///
/// cancel.cancel();
/// let stopped = Idle.invoke(&attempt, &cancel).await.map_err(|error| error.kind());
/// assert_eq!(stopped, Err(Kind::Cancelled));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait InferenceBackend: Debug + Send + Sync {
    /// Who keeps attempts alive.
    fn custody(&self) -> Custody;

    /// The name under which an attempt is known where it runs, when it has one.
    fn attempt_name(&self, _segment: &Segment, _attempt: u32) -> Option<String> {
        None
    }

    /// Where the request of a segment's attempts is written before the backend is asked, marked
    /// with the attempt as [`crate::request`] says; `None` where nothing is left behind by which
    /// it could be told later whether the backend may have been asked.
    fn request_at(&self, _segment: &Segment) -> Option<Uri> {
        None
    }

    /// Writes that request. From its end on, and not before, the backend may be asked.
    ///
    /// # Errors
    /// As [`InferenceBackend::invoke`] where nothing was started.
    async fn prepare(&self, _invocation: &Invocation, _cancel: &CancellationToken) -> Result<()> {
        Ok(())
    }

    /// Runs or hands over one attempt that was prepared. Never repeats a request whose fate is unknown.
    ///
    /// # Errors
    /// By kind: `Throttled`, `Unavailable` and `Unauthorized` mean that nothing was started;
    /// `Timeout` means that it may be running; `NotFound` and `Rejected` blame the input;
    /// `Internal` is a failed attempt; `Cancelled` answers the token.
    ///
    /// # Cancel safety
    /// Under `Custody::Caller`, cancelling the token or dropping the future ends the work soon.
    async fn invoke(&self, invocation: &Invocation, cancel: &CancellationToken) -> Result<Invoked>;
}
