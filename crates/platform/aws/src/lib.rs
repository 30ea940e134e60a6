//! The ports over AWS: SQS, S3, DynamoDB, SageMaker asynchronous endpoints, Secrets Manager.
//!
//! Every adapter translates errors with one table, sets every
//! timeout that the SDK leaves open, and holds no state that another replica would have to know.

mod clock;
mod compatible;
mod config;
mod conversion;
mod error;
mod ledger;
mod numbers;
mod objects;
mod queue;
mod sagemaker;
mod secret;

pub use compatible::{Compatible, Resolver};
pub use config::{Aws, Clocks, Settings};
pub use conversion::ConversionMetrics;
pub use ledger::{DynamoLedger, Tables};
pub use numbers::{CLOUDWATCH, From, Numbers, Reported};
pub use objects::S3Objects;
pub use queue::SqsQueue;
pub use sagemaker::{RequestBy, SageMakerAsync, SageMakerSettings};
pub use secret::fetch_token;
