//! Commands of operators: `explain`, `redrive`, `retry-now`, `release` and `healthy`.

use std::fmt::Display;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use parallax_job::JobId;
use parallax_job::Timestamp;
use parallax_worker::{Done, Explanation, Operator, Redrive, Release, SegmentExplanation, Step};
use serde_json::json;

use crate::command::{ExplainArgs, RedriveArgs, ReleaseArgs, RetryNowArgs};
use crate::config::Settings;
use crate::platform;

/// Longest time for a health check's answer.
const HEALTH: Duration = Duration::from_secs(3);

/// Prints what a job and its segments wait for.
///
/// # Errors
/// When there is no such job or the ledger cannot be read.
pub(crate) async fn explain(settings: &Settings, args: &ExplainArgs) -> Result<()> {
    let (operator, _state) = platform::operator(settings).await?;
    let now = Timestamp::from_system_clock();
    let Some(found) = parallax_worker::explain(&operator, &args.job_id, now).await? else {
        bail!("job {}: there is none of this id", args.job_id);
    };
    if args.json {
        say(&serde_json::to_string(&found)?);
    } else {
        say(&text(&found).trim_end());
    }
    Ok(())
}

fn text(found: &Explanation) -> String {
    let job = &found.job;
    let mut out = format!("job {} is {}", job.job_id, job.status);
    if let Some(total) = job.total_segments {
        out += &format!(", {} of {total} segments completed", found.completed);
    }
    out += &format!("\n  waits for {}\n", found.waits_for);
    if !job.status.is_terminal() {
        for role in &found.paused {
            out += &format!(
                "  the role {role} is paused: nothing is received for it until it is resumed\n"
            );
        }
    }
    if let Some(reason) = &job.reason {
        out += &format!("  failed because {reason}\n");
    }
    for segment in &found.segments {
        out += &line(segment);
    }
    if found.rows_of_other_cuts > 0 {
        out += &format!("  {} rows of earlier cuts do not matter\n", found.rows_of_other_cuts);
    }
    out
}

fn line(segment: &SegmentExplanation) -> String {
    let mut out = format!("  segment {}: {}", segment.index, segment.state);
    if segment.attempt > 0 {
        out += &format!(", attempt {}", segment.attempt);
    }
    if segment.failures > 0 {
        out += &format!(", {} failed", segment.failures);
    }
    if let Some(holder) = &segment.holder {
        out += &format!(", holds permit {holder}");
    }
    if segment.waits_for != "nothing" {
        out += &format!("; waits for {}", segment.waits_for);
    }
    out.push('\n');
    for (what, place) in
        [("response", &segment.locations.response), ("failure", &segment.locations.failure)]
    {
        if let Some(place) = place {
            out += &format!("    {what} expected at {place}\n");
        }
    }
    if let Some(error) = &segment.last_error {
        out += &format!("    last error, {}: {}\n", error.class, error.message);
    }
    out
}

/// Sets dead letters and failed segments going again and prints what was done.
///
/// # Errors
/// When the ledger or a queue cannot be used; what was printed before was done, and is counted. Also
/// when nothing was set going although something was named or found.
pub(crate) async fn redrive(settings: &Settings, args: &RedriveArgs) -> Result<()> {
    let (operator, _state) = platform::redriver(settings).await?;
    if operator.dead_letters.is_empty() && args.job.is_none() {
        bail!(
            "there are no dead letters to redrive: DEAD_LETTER_QUEUE_URL is not set, and no queue has a \
             redrive policy"
        );
    }
    let asked = Redrive {
        job: args.job.clone(),
        queue: args.queue,
        limit: args.limit as usize,
        dry_run: args.dry_run,
    };
    let mut counts = [0usize; 4];
    let mut tell = |step: Step| {
        let which = match step.done {
            Done::Moved => 0,
            Done::Reopened => 1,
            Done::Unsettled => 3,
            _ => 2,
        };
        counts[which] += 1;
        if args.json {
            say(&json!({"step": step, "dry_run": args.dry_run}));
        } else {
            say(&step.told(args.dry_run));
        }
    };
    let now = Timestamp::from_system_clock();
    let ended = parallax_worker::redrive(&operator, &asked, now, &mut tell).await;
    let [moved, reopened, refused, unsettled] = counts;
    let would = if args.dry_run { "would be " } else { "" };
    if !args.json {
        let unsettled =
            if unsettled > 0 { format!(", unsettled {unsettled}") } else { String::new() };
        say(&format_args!(
            "{would}moved {moved}, {would}reopened {reopened}, refused {refused}{unsettled}"
        ));
    }
    ended.context("not all could be looked at; what is told above was done")?;
    if unsettled > 0 {
        bail!("{unsettled} dead letters could not be tidied up after");
    }
    if moved + reopened > 0 {
        return Ok(());
    }
    match &args.job {
        _ if refused > 0 => {
            bail!("nothing was set going: what was found was refused, as told above")
        }
        Some(job_id) => bail!("{}", nothing_to_redrive(&operator, job_id).await?),
        None => Ok(()),
    }
}

/// Why nothing of a job that exists was moved or reopened.
async fn nothing_to_redrive(operator: &Operator, job_id: &JobId) -> Result<String> {
    let status = match operator.ledger.job(job_id).await? {
        Some(job) => job.status.to_string(),
        None => "gone".to_owned(),
    };
    let letters = match operator.dead_letters.is_empty() {
        false => "no dead letter that was asked for is of it",
        true => "no queue of dead letters is known, so that none was looked at",
    };
    Ok(format!(
        "job {job_id}: nothing to redrive: it is {status}, no segment of it was given up, and {letters}"
    ))
}

/// Ends the waits of a job's segments and prints which.
///
/// # Errors
/// When there is no such job, it has ended, none of its segments waits, or something cannot be used.
pub(crate) async fn retry_now(settings: &Settings, args: &RetryNowArgs) -> Result<()> {
    let (operator, _state) = platform::operator(settings).await?;
    let now = Timestamp::from_system_clock();
    let set_going = parallax_worker::retry_now(&operator, &args.job_id, now).await?;
    if set_going.is_empty() {
        bail!("job {}: none of its segments waits for another attempt", args.job_id);
    }
    for index in set_going {
        say(&format_args!("segment {index} may be attempted at once"));
    }
    Ok(())
}

/// Ends the open attempt at a segment on the operator's word and prints what was freed.
///
/// # Errors
/// When nothing was freed: there is no such job or segment, it holds no permit, or one of another pool.
pub(crate) async fn release(settings: &Settings, args: &ReleaseArgs) -> Result<()> {
    settings.may_end_attempts()?;
    let (operator, _state) = platform::operator(settings).await?;
    let ReleaseArgs { job, segment, because, json } = args;
    if operator.ledger.job(job).await?.is_none() {
        bail!("--job {job}: there is none of this id");
    }
    let asked = Release { job: job.clone(), segment: *segment, because: because.clone() };
    let now = Timestamp::from_system_clock();
    let found = parallax_worker::release(&operator, &asked, now).await?;
    for one in &found {
        if *json {
            say(&json!(one));
        } else {
            let verb = if one.released { "released" } else { "left" };
            say(&format_args!("{verb}: {} attempt {} ({})", one.segment, one.attempt, one.why));
        }
    }
    match found.iter().any(|one| one.released) {
        true => Ok(()),
        false if found.is_empty() => {
            bail!("--segment {segment}: no attempt at it was ever recorded for job {job}")
        }
        false => bail!("--segment {segment}: it holds no permit, so nothing was released"),
    }
}

/// A line on standard output. Work does not stop in the middle because nobody reads any more.
pub(crate) fn say(line: &dyn Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Asks the daemon beside this process whether it lives.
///
/// # Errors
/// When it does not answer, or answers that a loop is stuck.
pub(crate) fn healthy(settings: &Settings) -> Result<()> {
    let mut address = settings.health_address;
    match address {
        SocketAddr::V4(ref mut v4) if v4.ip().is_unspecified() => v4.set_ip(Ipv4Addr::LOCALHOST),
        SocketAddr::V6(ref mut v6) if v6.ip().is_unspecified() => v6.set_ip(Ipv6Addr::LOCALHOST),
        _ => {}
    }
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, HEALTH)?;
        stream.set_read_timeout(Some(HEALTH))?;
        stream.set_write_timeout(Some(HEALTH))?;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(64 << 10).read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = asked().with_context(|| format!("HEALTH_ADDRESS {address}: no answer"))?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("not alive: {}", answer.lines().last().unwrap_or_default());
    }
    Ok(())
}
