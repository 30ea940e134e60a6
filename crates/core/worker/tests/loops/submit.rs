//! Films that are handed in.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parallax_conformance::fault::{Faults, Faulty, Outage, Rates};
use parallax_job::Mode;
use parallax_ports::{Clock, Kind, Ledger, ObjectStore};
use parallax_worker::{Operator, Submit, begin_submit, check_submit, upload};
use tokio::time::Instant;

use crate::stage::Stage;

/// Any file that is there.
const FILM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

fn film(file: &Path) -> Submit<'_> {
    Submit {
        job_id: "job".parse().unwrap(),
        mode: Mode::Sbs,
        title: None,
        file_name: Some("film.mp4".to_owned()),
        file,
        bytes: 4,
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_cannot_be_recorded_has_arrived() {
    let stage = Stage::new();
    let (from, until) = (Instant::now(), Instant::now() + Duration::from_secs(3600));
    let outage = Outage { calls: "ledger.uploaded", from, until, kind: Kind::Throttled };
    let faults = Faults::seeded(1, Rates::NONE, Arc::default()).with_outages(Arc::new([outage]));
    let ledger = Arc::new(Faulty::new(stage.ledger.clone(), Arc::new(faults)));
    let operator = Operator { ledger, ..stage.operator(Vec::new()) };
    let (asked, now) = (film(Path::new(FILM)), stage.clock.now());
    let to = begin_submit(&operator, &asked, now).await.unwrap();
    let unrecorded = upload(&operator, &asked, &to, now).await.unwrap().unwrap();
    assert_eq!(unrecorded.kind(), Kind::Throttled);
    assert!(stage.objects.head(&to).await.unwrap().is_some());
    let gone = film(Path::new("no such film.mp4"));
    assert!(upload(&operator, &gone, &to, now).await.is_err(), "nothing arrived");
}

#[tokio::test(start_paused = true)]
async fn an_earlier_try_is_gone_on_with_by_the_same_film_alone() {
    let stage = Stage::new();
    let (operator, now) = (stage.operator(Vec::new()), stage.clock.now());
    let titled = |title: &str, bytes| Submit {
        title: Some(title.to_owned()),
        bytes,
        ..film(Path::new("film.mp4"))
    };
    assert_eq!(check_submit(&operator, &titled("A film", 4)).await.unwrap(), None);
    begin_submit(&operator, &titled("A film", 4), now).await.unwrap();
    for (other, why) in [
        (titled("A film", 5), "its source has 4 bytes, not 5: submit this file under another id"),
        (titled("Another", 4), "the title \"A film\": repeat without a title"),
        (Submit { mode: Mode::Anaglyph, ..titled("A film", 4) }, "of the mode sbs"),
    ] {
        for error in [
            check_submit(&operator, &other).await.unwrap_err(),
            begin_submit(&operator, &other, now).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), Kind::Conflict);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
    for same in [titled("A film", 4), film(Path::new("film.mp4"))] {
        assert!(check_submit(&operator, &same).await.unwrap().is_some());
        begin_submit(&operator, &same, now).await.unwrap();
    }
    let job = stage.ledger.job(&film(Path::new("film.mp4")).job_id).await.unwrap().unwrap();
    assert_eq!(job.title.as_deref(), Some("A film"));
}
