//! Sources that no job can convert.

use std::path::PathBuf;
use std::sync::Arc;

use parallax_conversion::{ChunkSettings, EngineBackend, MediaChunker};
use parallax_job::{Mode, ObjectKey, Segment};
use parallax_ports::{Chunker, InferenceBackend, Invocation, Invoked, Kind, MediaError};
use parallax_stereo::Copy;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::clips::{ENCODE, PICTURES, make, workplace};

#[tokio::test]
async fn a_source_that_is_no_video_fails_the_job_and_a_missing_one_does_not() {
    let scratch = tempfile::tempdir().unwrap();
    let workplace = workplace(&scratch);
    let job: parallax_job::JobId = "job".parse().unwrap();
    let chunker = MediaChunker::new(workplace.clone(), ChunkSettings::default());
    let cancel = CancellationToken::new();
    let missing = chunker.plan(&job, Mode::Sbs, &cancel).await.err().unwrap();
    assert!(matches!(&missing, MediaError::Port(error) if error.kind() == Kind::NotFound));
    let uri = workplace.buckets.input.uri(&ObjectKey::Source(job.clone())).unwrap();
    workplace.objects.write(&uri, b"#EXTM3U\nhttp://127.0.0.1/\n").await.unwrap();
    let refused = chunker.plan(&job, Mode::Sbs, &cancel).await.err().unwrap();
    assert!(matches!(&refused, MediaError::Input(_)), "{refused}");
    cancel.cancel();
    let cancelled = chunker.plan(&job, Mode::Sbs, &cancel).await.err().unwrap();
    assert!(matches!(&cancelled, MediaError::Port(error) if error.kind() == Kind::Cancelled));
}

/// A film that says that it has Dolby Vision of `profile` on a base layer of `compatibility`.
fn dolby_vision(dir: &TempDir, profile: u8, compatibility: u8) -> PathBuf {
    let film = make(dir, &format!("vision-{profile}.mp4"), &[PICTURES], ENCODE);
    let mut bytes = std::fs::read(&film).unwrap();
    let mut record = b"\0\0\0\x20dvcC\x01\0".to_vec();
    // Profile, level 1, metadata and base layer present.
    record.extend([profile << 1, 0b0000_1101, compatibility << 4]);
    record.resize(32, 0);
    // The header is at the file's end, so nothing but the boxes around it moves.
    let (mut at, mut end) = (0, 0);
    for kind in [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"] {
        at += bytes[at..].windows(4).position(|four| four == kind).unwrap();
        let size = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap());
        end = at - 4 + size as usize;
        bytes[at - 4..at].copy_from_slice(&(size + 32).to_be_bytes());
    }
    bytes.splice(end..end, record);
    std::fs::write(&film, bytes).unwrap();
    film
}

#[tokio::test]
async fn what_is_wrong_without_dynamic_hdr_is_refused_on_every_way() {
    let (media, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let workplace = workplace(&scratch);
    let cancel = CancellationToken::new();
    let chunker = MediaChunker::new(workplace.clone(), ChunkSettings::default());
    let backend = EngineBackend::new(workplace.clone(), Arc::new(Copy));
    for (profile, compatibility, refused) in [(5, 0, true), (8, 1, false)] {
        let film = dolby_vision(&media, profile, compatibility);
        let job: parallax_job::JobId = format!("job-{profile}").parse().unwrap();
        let segment = Segment::new(job.clone(), 0, 1, Mode::Sbs).unwrap();
        let source = workplace.buckets.input.uri(&ObjectKey::Source(job.clone())).unwrap();
        let input = workplace.buckets.input.uri(&ObjectKey::Segment(segment.clone())).unwrap();
        for uri in [&source, &input] {
            workplace.objects.upload(&film, uri).await.unwrap();
        }
        let result = ObjectKey::Result { job_id: job.clone(), index: 0 };
        let output = workplace.buckets.output.uri(&result).unwrap();
        let invocation = Invocation { input, output, segment, attempt: 1 };
        let cut = chunker.plan(&job, Mode::Sbs, &cancel).await;
        let made = backend.invoke(&invocation, &cancel).await;
        if refused {
            let error = cut.err().unwrap();
            assert!(
                matches!(&error, MediaError::Input(why) if why.contains("profile 5")),
                "{error}"
            );
            let error = made.unwrap_err();
            assert!(error.kind() == Kind::Rejected, "{error}");
            assert!(error.to_string().contains("allowed are Dolby Vision on HDR10"), "{error}");
        } else {
            assert_eq!(cut.unwrap().total(), 1);
            assert_eq!(made.unwrap(), Invoked::Finished);
        }
    }
}
