//! One record, one line of compact JSON with a fixed order of fields.
//!
//! ```text
//! {"seq":7,"time":"2026-11-23T09:30:00.000Z","action":"secret.reveal","actor":{…},…}
//! {"seq":8,"time":"2026-11-23T09:30:00.003Z","outcome":7,"action":"secret.reveal","status":"success",…}
//! ```

use std::io::Write as _;

use serde::{Deserialize, Serialize};

use super::{Action, Event, Outcome, Recorded};
use crate::clock::Timestamp;
use crate::id::OrgId;

/// The most bytes one line may have.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// What an outcome repeats of its intent, so that it can be read on its own.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Intent {
    #[serde(rename = "outcome")]
    pub(super) seq: u64,
    pub(super) action: Action,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) org: Option<OrgId>,
}

/// An outcome that waits for the next group.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) intent: Intent,
    pub(super) outcome: Outcome,
}

impl Late {
    pub(super) fn of(recorded: &Recorded, outcome: Outcome) -> Self {
        Self {
            intent: recorded.intent(),
            outcome,
        }
    }
}

/// The time as it stands in lines. A clock beyond the year 9999 shows the epoch instead.
pub(super) fn time_text(time: Timestamp) -> String {
    let mut text = String::with_capacity(24);
    if std::fmt::write(&mut text, format_args!("{time}")).is_err() || text.len() != 24 {
        "1970-01-01T00:00:00.000Z".clone_into(&mut text);
    }
    text
}

/// Appends an event's line, with its line break.
pub(super) fn write_event(out: &mut Vec<u8>, seq: u64, time: &str, event: &Event) -> Option<()> {
    write(out, seq, time, |out| append(out, event))
}

/// Appends an outcome's line, with its line break.
pub(super) fn write_outcome(out: &mut Vec<u8>, seq: u64, time: &str, late: &Late) -> Option<()> {
    write(out, seq, time, |out| {
        append(out, &late.intent)?;
        // The closing brace of the first part makes room for the comma of the second.
        out.pop();
        append(out, &late.outcome)
    })
}

/// Appends `value`'s fields to an object that is open: its opening brace becomes a comma.
fn append(out: &mut Vec<u8>, value: &impl Serialize) -> Option<()> {
    let start = out.len();
    serde_json::to_writer(&mut *out, value).ok()?;
    *out.get_mut(start)? = b',';
    Some(())
}

/// On failure, and when the line is too long, `out` is as it was.
fn write(
    out: &mut Vec<u8>,
    seq: u64,
    time: &str,
    rest: impl FnOnce(&mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    let start = out.len();
    let written = write!(out, r#"{{"seq":{seq},"time":"{time}""#).ok();
    let sound = written.and_then(|()| rest(out)).is_some() && out.len() - start <= MAX_LINE;
    if sound {
        out.push(b'\n');
        return Some(());
    }
    out.truncate(start);
    None
}

/// The fixed beginning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start<'a> {
    pub(super) seq: u64,
    /// 24 characters, so that comparing bytes compares times.
    pub(super) time: &'a [u8],
    pub(super) is_outcome: bool,
    /// Whether it says who signs next.
    pub(super) is_handover: bool,
}

impl<'a> Start<'a> {
    /// Reads the beginning of a line, without parsing the rest.
    pub(super) fn of(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(br#"{"seq":"#)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = rest.split_at_checked(digits)?;
        let sound = (1..=20).contains(&digits) && number.first() != Some(&b'0');
        let seq = std::str::from_utf8(number).ok()?.parse().ok()?;
        let (time, rest) = rest.strip_prefix(br#","time":""#)?.split_at_checked(24)?;
        let rest = rest.strip_prefix(br#"",""#)?;
        let is_outcome = rest.starts_with(br#"outcome":"#);
        let known = is_outcome || rest.starts_with(br#"action":"#);
        let is_handover = rest.starts_with(br#"action":"audit.hand_over""#);
        (sound && known && line.last() == Some(&b'}')).then_some(Self {
            seq,
            time,
            is_outcome,
            is_handover,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Intent, Late, Start, time_text, write_event, write_outcome};
    use crate::audit::{Action, Actor, Event, Outcome, Target, TargetKind};
    use crate::clock::Timestamp;

    #[test]
    fn lines_have_a_fixed_form() {
        let mut out = Vec::new();
        let time = time_text(Timestamp::from_millis(0));
        let target = Target::new(TargetKind::Secret).name("A\n\"B").version(3);
        let event = Event::new(Action::SecretReveal, Actor::System).target(target);
        write_event(&mut out, 7, &time, &event.allowed()).unwrap();
        let intent = Intent {
            seq: 7,
            action: Action::SecretReveal,
            org: None,
        };
        let late = Late {
            intent,
            outcome: Outcome::success().duration_ms(3),
        };
        write_outcome(&mut out, 8, &time, &late).unwrap();
        let expected = concat!(
            r#"{"seq":7,"time":"1970-01-01T00:00:00.000Z","action":"secret.reveal","actor":{"type":"system"},"#,
            r#""targets":[{"kind":"secret","name":"A\n\"B","version":3}],"decision":"allowed"}"#,
            "\n",
            r#"{"seq":8,"time":"1970-01-01T00:00:00.000Z","outcome":7,"action":"secret.reveal","#,
            r#""status":"success","duration_ms":3}"#,
            "\n",
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        for (line, is_outcome) in expected.lines().zip([false, true]) {
            assert_eq!(Start::of(line.as_bytes()).unwrap().is_outcome, is_outcome);
        }
    }

    #[test]
    fn a_line_that_is_too_long_leaves_nothing_behind() {
        let mut out = b"before".to_vec();
        let mut event = Event::new(Action::SecretReveal, Actor::System);
        for _ in 0..400 {
            event = event.target(Target::new(TargetKind::Secret).name("N".repeat(300)));
        }
        assert!(write_event(&mut out, 1, &time_text(Timestamp::default()), &event).is_none());
        assert_eq!(out, b"before");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut line = br#"{"seq":"#.to_vec();
            line.extend_from_slice(&bytes);
            prop_assert_eq!(Start::of(&bytes), None);
            prop_assert!(Start::of(&line).is_none_or(|start| start.time.len() == 24));
        }
    }
}
