//! The two places that objects live in, and the addresses of objects inside them.

use std::path::PathBuf;

use crate::{JobId, ObjectKey, Scheme, Uri, UriError};

/// One bucket: a cloud bucket, or a folder that plays one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bucket {
    /// A cloud bucket.
    Cloud {
        /// Which store.
        scheme: Scheme,
        /// Its name.
        name: String,
    },
    /// A folder; keys are paths below `root/name`.
    Folder {
        /// The object store's root, absolute.
        root: PathBuf,
        /// The bucket's name, one path part.
        name: String,
    },
}

impl Bucket {
    /// The bucket's name, as events give it.
    pub fn name(&self) -> &str {
        match self {
            Bucket::Cloud { name, .. } | Bucket::Folder { name, .. } => name,
        }
    }

    /// The address of `key` in this bucket.
    ///
    /// # Errors
    /// When a folder bucket's root is not an absolute, plain path.
    pub fn uri(&self, key: &ObjectKey) -> Result<Uri, UriError> {
        self.at(&key.to_string())
    }

    fn at(&self, key: &str) -> Result<Uri, UriError> {
        match self {
            Bucket::Cloud { scheme, name } => {
                format!("{}://{name}/{key}", if *scheme == Scheme::S3 { "s3" } else { "gs" })
                    .parse()
            }
            Bucket::Folder { root, name } => Uri::file(root.join(name).join(key)),
        }
    }
}

/// The input and the output bucket of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    /// Sources and segments.
    pub input: Bucket,
    /// Results, finals and backend bookkeeping.
    pub output: Bucket,
}

impl Buckets {
    /// The folders that hold all objects of a job whose keys the pipeline chooses.
    ///
    /// # Errors
    /// When a folder bucket's root is not an absolute, plain path.
    pub fn folders_of(&self, job_id: &JobId) -> Result<Vec<Uri>, UriError> {
        let input = ["input", "segments"].map(|folder| (&self.input, folder));
        let output = ["jobs", "sagemaker-invocation-requests"].map(|folder| (&self.output, folder));
        let all = input.into_iter().chain(output);
        all.map(|(bucket, folder)| bucket.at(&format!("{folder}/{job_id}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mode, Segment};

    #[test]
    fn every_object_of_a_job_lies_in_its_folders_and_nobody_elses() {
        let bucket = |name: &str| Bucket::Cloud { scheme: Scheme::S3, name: name.to_owned() };
        let buckets = Buckets { input: bucket("in-bucket"), output: bucket("out-bucket") };
        let keys = |job: &str| {
            let job_id: JobId = job.parse().unwrap();
            let segment = Segment::new(job_id.clone(), 0, 2, Mode::Sbs).unwrap();
            let request = ObjectKey::InvocationRequest { job_id: job_id.clone(), index: 1 };
            [
                buckets.input.uri(&ObjectKey::Source(job_id.clone())),
                buckets.input.uri(&ObjectKey::Segment(segment)),
                buckets.output.uri(&ObjectKey::Result { job_id: job_id.clone(), index: 1 }),
                buckets.output.uri(&ObjectKey::Final(job_id.clone())),
                buckets.output.uri(&ObjectKey::ReassemblyDone(job_id)),
                buckets.output.uri(&request),
            ]
            .map(|uri| uri.unwrap().to_string())
        };
        let folders = buckets.folders_of(&"job".parse().unwrap()).unwrap();
        let inside = |uri: &String| folders.iter().any(|at| uri.starts_with(&format!("{at}/")));
        assert!(keys("job").iter().all(inside), "{folders:?}");
        assert!(!keys("job-2").iter().any(inside), "{folders:?}");
    }
}
