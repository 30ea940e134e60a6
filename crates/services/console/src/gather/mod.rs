//! What there is to see, read from the stores. How many calls of these that takes depends on the topic, and for one
//! job on its segments; never on how many jobs there are.

mod jobs;
mod overview;
mod permits;
mod queues;
mod records;

pub(crate) use jobs::{JobPage, JobsPage, job, page};
pub(crate) use overview::{Group, Overview, overview};
pub(crate) use permits::{Permit, Permits, permits};
pub(crate) use queues::{DeadQueue, Letter, Queues, RoleState, queues};
pub(crate) use records::{ActsPage, ReplicaState, ReplicasPage, acts, replicas};
