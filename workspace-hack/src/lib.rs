//! Unifies features across the workspace.
