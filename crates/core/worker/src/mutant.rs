//! Deliberate protocol bugs, each a deviation of one line or two. Every one must be caught by the
//! simulator, which shows that it can fail; most have been real bugs of such systems. Those that are
//! another use of a port or another setting are not here but around the ports that the simulator gives:
//! `tests/sim/bugs.rs`.

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// An ambiguous invocation is invoked again, as an SDK's own retry would.
    RepeatAmbiguousInvoke,
    /// An ambiguous invocation gives its permit back at once.
    ReleaseAmbiguousInvoke,
    /// The reassembly message counts as sent before it is, and what was sent is never sent again:
    /// that would heal it.
    ConfirmBeforeSend,
    /// A completion is written without looking at the output.
    TrustFinished,
    /// Nothing reconciles.
    NoReconcile,
    /// An open attempt is taken over whatever its deadline says.
    TakeOverOpenIntent,
    /// The work is begun first and recorded after.
    InvokeBeforeIntent,
    /// Every attempt goes by the name of the first.
    ReuseAttempt,
    /// An attempt starts however long ago it was decided.
    StaleStart,
    /// A lease is not renewed while the work runs.
    NoHeartbeat,
    /// Work on a short lease may start as late as on a long one.
    LateStart,
    /// Renewals that are refused at once, time after time, do not end the work.
    DeafKeeper,
    /// A backend that is busy fails the segment.
    FailOnRefusal,
    /// A refusal uses up an attempt.
    CountRefusals,
    /// Evidence is taken from events without looking at the objects.
    TrustEvent,
    /// A completion frees the permit although the backend has not said that it is done.
    ReleaseOnCompletion,
    /// A passed deadline ends an attempt even if its owner has moved it since.
    StaleVerdict,
    /// Reassembly is asked for after completions only.
    TriggerOnEdge,
    /// A sender that was chosen and never confirmed is trusted for ever.
    TriggerOnce,
    /// Whoever sees that a job is complete sends its reassembly message.
    TriggerUnclaimed,
    /// Every reassembler locks under the same name.
    SharedLockName,
    /// A reassembly's lock does not end by time.
    LockForever,
    /// A reassembly starts however long ago its lock was asked for.
    StaleReassembly,
    /// Each process counts its own permits.
    CountOwnPermits,
    /// A message is deleted before what it asks for is recorded.
    DeleteFirst,
    /// Only the first record of a message is handled.
    FirstRecordOnly,
    /// A receive under way is dropped when the process stops.
    DropOnDrain,
    /// A message whose handling met an error is done.
    AckOnError,
    /// A message that makes no sense is deleted without a copy.
    DropPoison,
    /// A message that fails comes back at the same short intervals.
    HastyRetry,
    /// The sweep does not look for segments that nobody has started.
    NoMissingScan,
    /// A lease is renewed only once the queue has answered that the message stays hidden.
    RenewAfterHiding,
    /// An attempt whose owner's time is over counts as never begun, whatever was left behind.
    GuessAbandoned,
    /// Nobody looks whether an attempt reached its backend.
    IgnoreAbandoned,
    /// The backend is asked however long the request took to be written.
    AskLate,
    /// The backend is asked before the request is written that tells of it.
    AskBeforeRequest,
    /// An attempt that was accepted ends as early as one of which nothing is known.
    AcceptedAsUnanswered,
    /// An attempt whose answer nobody knows is waited for as long as one that was accepted.
    WaitOutUnanswered,
    /// A result's age is told by comparing the store's clock with the worker's own.
    CompareOwnClock,
    /// A machine's own clock is believed however far it is from the ledger's: what the simulator
    /// gives a process is that clock.
    TrustOwnClock,
    /// A result counts for whatever cut its address is asked for.
    TakeAnyCut,
    /// Whoever joins a cut goes on, and completes the job, when it was cut anew.
    JoinAnyCut,
    /// A message that waits on purpose is hidden again and again, whatever its queue counts.
    NeverRenew,
    /// What a service's silence costs is counted against the message.
    SpendDeliveries,
    /// A topic's word for a success counts without a look at the result.
    TrustTopic,
    /// A topic's word counts for whatever attempt of the segment runs now.
    TakeAnyAttempt,
    /// An attempt of the previous release, which left neither a lease nor a mark, counts as one that
    /// reached nobody.
    ForgetPrevious,
    /// Messages are received as ever while the backend refuses all work.
    IgnoreRefusals,
}

impl Mutant {
    /// Every bug.
    pub const ALL: [Mutant; 48] = [
        Self::RepeatAmbiguousInvoke,
        Self::ReleaseAmbiguousInvoke,
        Self::ConfirmBeforeSend,
        Self::TrustFinished,
        Self::NoReconcile,
        Self::TakeOverOpenIntent,
        Self::InvokeBeforeIntent,
        Self::ReuseAttempt,
        Self::StaleStart,
        Self::NoHeartbeat,
        Self::LateStart,
        Self::DeafKeeper,
        Self::FailOnRefusal,
        Self::CountRefusals,
        Self::TrustEvent,
        Self::ReleaseOnCompletion,
        Self::StaleVerdict,
        Self::TriggerOnEdge,
        Self::TriggerOnce,
        Self::TriggerUnclaimed,
        Self::SharedLockName,
        Self::LockForever,
        Self::StaleReassembly,
        Self::CountOwnPermits,
        Self::DeleteFirst,
        Self::FirstRecordOnly,
        Self::DropOnDrain,
        Self::AckOnError,
        Self::DropPoison,
        Self::HastyRetry,
        Self::NoMissingScan,
        Self::RenewAfterHiding,
        Self::GuessAbandoned,
        Self::IgnoreAbandoned,
        Self::AskLate,
        Self::AskBeforeRequest,
        Self::AcceptedAsUnanswered,
        Self::WaitOutUnanswered,
        Self::CompareOwnClock,
        Self::TrustOwnClock,
        Self::TakeAnyCut,
        Self::JoinAnyCut,
        Self::NeverRenew,
        Self::SpendDeliveries,
        Self::TrustTopic,
        Self::TakeAnyAttempt,
        Self::ForgetPrevious,
        Self::IgnoreRefusals,
    ];
}

/// Whether a deliberate bug is in force; never without the feature `mutants`.
macro_rules! buggify {
    ($context:expr, $bug:ident) => {
        $context.config.is($crate::Mutant::$bug)
    };
}
pub(crate) use buggify;
