//! Every delay and bound of time of the loops that is not a setting, in one table. What a deployment may
//! choose is in [`crate::config`].

use std::time::Duration;

// Messages.

/// The longest time a message is hidden in one go.
pub(crate) const LONGEST_HIDE: Duration = Duration::from_secs(900);
/// An event of a source whose job is not there yet: whoever uploads may create it a moment later.
pub(crate) const NO_JOB_YET: Duration = Duration::from_secs(30);
/// How often whoever writes a job's segments looks whether it was deleted meanwhile.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// An event that tells of an outcome which no open attempt announced: it may have come before the answer.
pub(crate) const EARLY_EVENT: Duration = Duration::from_secs(5);
/// How long a segment waits for the end of another cut.
pub(crate) const OTHER_CUT: Duration = Duration::from_secs(30);
/// A segment whose permit was given back in the meantime is tried again with another.
pub(crate) const NO_RESERVATION: Duration = Duration::from_secs(1);
/// How long a dead letter is hidden while all of them are looked at.
pub(crate) const LETTER_HIDDEN: Duration = Duration::from_secs(300);
/// How long one receive of dead letters waits.
pub(crate) const LETTER_WAIT: Duration = Duration::from_secs(1);

// Permits.

/// How long to wait for a permit when every one is held; doubled each time. One that becomes free in
/// this process ends the wait.
pub(crate) const FULL_WAIT: Duration = Duration::from_secs(1);
/// The longest of these waits.
pub(crate) const LONGEST_FULL_WAIT: Duration = Duration::from_secs(8);
/// How long whoever uses all that it is passed on asks for no other after it found every one held:
/// only other processes could free one.
pub(crate) const SATURATED_WAIT: Duration = Duration::from_secs(5);
/// How long a permit waits for others, those that one receive of events frees: nothing beside an attempt.
pub(crate) const TOGETHER: Duration = Duration::from_millis(20);
/// How much longer than a receive a permit should last.
pub(crate) const SPARE_TIME: Duration = Duration::from_secs(5);
/// How long events may gather after a receive that brought few, where a backend has custody: a permit may
/// wait for the next of them.
pub(crate) const GATHER: Duration = Duration::from_millis(50);
/// The same elsewhere, where events mostly repeat what is known.
pub(crate) const GATHER_AT_LEISURE: Duration = Duration::from_secs(2);

/// How long a loop rests whose role is paused, before it looks again.
pub(crate) const PAUSED: Duration = Duration::from_secs(2);
/// How long an answer to which roles are paused is waited for.
pub(crate) const SWITCHES_ANSWER: Duration = Duration::from_secs(5);
/// How long after a question without an answer it is asked again which roles are paused.
pub(crate) const SWITCHES_AGAIN: Duration = Duration::from_secs(5);

/// A receive that took longer found its queue empty at first.
pub(crate) const BUSY: Duration = Duration::from_secs(1);

// Attempts.

/// How long an attempt waits for its turn to be handed over: a call that is slow holds up others no
/// longer than this.
pub(crate) const TURN: Duration = Duration::from_secs(2);
/// Work is not started when more time than this has passed since its lease was asked for: a process
/// that was paused, or was answered late, must not act on an old decision.
pub(crate) const LATEST_START: Duration = Duration::from_secs(30);
/// The shortest wait for a time that may have come.
pub(crate) const SOON: Duration = Duration::from_millis(100);
/// How many times longer each wait after a failed attempt is than the one before it.
pub(crate) const RETRY_FACTOR: u32 = 4;
/// The longest wait after a failed attempt.
pub(crate) const LONGEST_RETRY: Duration = Duration::from_secs(3600);
/// The wait after the backend refused this deployment: somebody has to mend it.
pub(crate) const DEPLOYMENT_REFUSED: Duration = Duration::from_secs(60);

// Backends that refuse: see `breaker`.

/// First pause, doubled by each probe that is refused.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause of the breaker's own, so that work is taken up soon after the backend is back.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause because the backend asked for it: other segments may fare better, and an operator
/// who sets waiting ones going is not to wait for longer.
pub(crate) const LONGEST_PAUSE_ASKED: Duration = Duration::from_secs(60);
/// A refusal comes at once. An attempt that was not refused for this long runs.
pub(crate) const PROOF: Duration = Duration::from_secs(5);

/// How exact the times of objects are: stores keep them in whole seconds.
pub(crate) const GRAIN: Duration = Duration::from_secs(2);

// Calls of ports.

/// The longest pause between two tries of one call, whatever the service asks for: somebody waits.
pub(crate) const LONGEST_CALL_PAUSE: Duration = Duration::from_secs(30);
/// The first wait of a loop after an error, doubled each time.
pub(crate) const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// The longest of these waits.
pub(crate) const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// How long an answer may take before the process counts as not ready.
pub(crate) const SILENCE: Duration = Duration::from_secs(10);

/// How long no segment of a job must have completed before it is asked whether others completed the rest.
pub(crate) const QUIET: Duration = Duration::from_secs(10);

// Stopping.

/// How long the last questions about reassembly may take, all together. What is not asked by then
/// is left to the sweep of another process.
pub(crate) const LAST_ROUND: Duration = Duration::from_secs(5);
/// How long after the hard stop messages may be handed back, the receives that still run included:
/// a service that is silent by then is not waited for, and everything comes again by itself.
pub(crate) const HAND_BACK: Duration = Duration::from_secs(9);

// Sweeps, in units of the time between two.

/// How many times longer the pause after a sweep is that found nothing to do.
pub(crate) const IDLE_SWEEPS: u32 = 4;
/// After how many times that it is asked which roles are paused.
pub(crate) const SWITCHES_SWEEPS: u32 = 4;
/// Into how many slices of a pause a sweep is cut that is not over yet.
pub(crate) const SLICES: u32 = 6;
/// How many sweeps a permit may be past its deadline before that is told.
pub(crate) const OVERDUE_SWEEPS: u32 = 2;
