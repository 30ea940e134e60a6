//! What is told of the input's other streams: before the first frame, and again where the end turned
//! out otherwise.

use parallax_media::{Assembled, Dropped, Kept, Loss, MuxPlan};
use serde_json::json;

use super::progress::Reporter;

/// Tells what the result will not have, or not as it is.
pub(crate) fn announce(plan: &MuxPlan, reporter: &Reporter) {
    if !plan.because.is_empty() {
        let shown = plan.because.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
        let more = match plan.because.len().saturating_sub(4) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let why = format!("MP4 does not hold as much of stream {shown}{more}");
        reporter.warning(&format!("the result is Matroska: {why}"));
    }
    plan.dropped.iter().for_each(|dropped| left_out(dropped, reporter));
    plan.kept.iter().for_each(|kept| converted(kept, reporter));
    plan.losses.iter().for_each(|loss| lost(loss, reporter));
    if plan.captions {
        let message = "captions inside the pictures are kept as a subtitle track";
        reporter.told(message, &json!({"event": "captions", "kept_as": "subtitles"}));
    }
}

/// Tells what `plan` did not announce.
pub(crate) fn conclude(plan: &MuxPlan, found: &Assembled, reporter: &Reporter) {
    let dropped = found.dropped.iter().filter(|dropped| !plan.dropped.contains(dropped));
    dropped.for_each(|dropped| left_out(dropped, reporter));
    let kept = found.kept.iter().filter(|kept| !plan.kept.iter().any(|told| told.is_as(kept)));
    kept.for_each(|kept| converted(kept, reporter));
    let losses = found.losses.iter().filter(|loss| !plan.losses.contains(loss));
    losses.for_each(|loss| lost(loss, reporter));
    found.warnings.iter().for_each(|warning| reporter.warning(warning));
}

fn left_out(dropped: &Dropped, reporter: &Reporter) {
    let Dropped { index, codec, reason } = dropped;
    reporter.told(
        &format!("stream {index} ({codec}) is left out: {reason}"),
        &json!({"event": "left_out", "stream": index, "codec": codec, "reason": reason}),
    );
}

fn converted(kept: &Kept, reporter: &Reporter) {
    let Kept { index, codec, converted_to: Some(to), cut, refused } = kept else { return };
    let mut event = json!({"event": "converted", "stream": index, "codec": codec, "to": to});
    if !cut {
        let mut message = format!("stream {index} is converted from {codec} to {to}");
        if let Some(said) = refused {
            message += &format!(": its packets cannot be copied ({said})");
            event["reason"] = said.as_str().into();
        }
        return reporter.told(&message, &event);
    }
    let reason = "its edit list plays other than what is stored";
    event["reason"] = reason.into();
    let message =
        format!("stream {index} ({codec}) is cut as its edit list says and encoded again as {to}");
    reporter.told(&message, &event);
}

fn lost(loss: &Loss, reporter: &Reporter) {
    let Loss { what, reason } = loss;
    reporter.told(
        &format!("left out: {what} ({reason})"),
        &json!({"event": "left_out", "what": what, "reason": reason}),
    );
}
