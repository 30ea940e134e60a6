//! The pages over HTTP, with a viewer and a converter that do nothing but answer.

mod access;
mod films;
mod jobs;
mod served;
