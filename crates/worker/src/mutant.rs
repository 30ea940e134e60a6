//! Deliberate protocol bugs. Each must be caught by the simulator, which shows that it can fail.

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}
