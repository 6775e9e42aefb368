//! One request by right of a handle, with its answer read whole.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::HeaderMap;
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::audit::Event;
use crate::egress::{EgressError, Phase};
use crate::vault::Unsealed;
use crate::wire;

use super::BrokerError;
use super::answer::{Answer, MAX_ANSWER, NoAnswer};
use super::errand::{Errand, Used};
use super::execute::{Broker, millis};
use super::handle::{Ended, HandleFault};
use super::relay::{Cut, RelayError, Relayed};

/// How much of an answer is wanted, and when.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// How long it may take: at most as long as any call may.
    pub time: Option<Duration>,
    /// How many bytes the answer may have: at most 8 MiB.
    pub bytes: Option<usize>,
}

impl Broker {
    /// Sends a request by right of a handle, and reads the answer whole.
    ///
    /// # Errors
    /// As [`Broker::open`].
    pub async fn exchange(
        &self,
        vault: &Unsealed,
        used: Used<'_>,
        errand: Errand,
        patience: Patience,
        event: Event,
    ) -> Result<wire::Exchange, BrokerError> {
        let started = Instant::now();
        let time = patience
            .time
            .map_or(self.limits.whole, |time| time.min(self.limits.whole));
        let limit = patience.bytes.unwrap_or(MAX_ANSWER).min(MAX_ANSWER);
        let errand = errand.within(time);
        let arrived = self.arrived(vault, used, errand, event, Box::new(()));
        let relayed = arrived.await?.relayed()?;
        let patterns = relayed.patterns.clone();
        let answer = whole(relayed, limit).await?;
        let result = answer.result(&patterns, None).await;
        Ok(wire::Exchange {
            status: answer.status,
            headers: shown(&answer.headers),
            result,
            duration_ms: millis(started),
        })
    }
}

async fn whole(mut relayed: Relayed, limit: usize) -> Result<Answer, BrokerError> {
    let announced = relayed.body.size_hint().lower();
    let fits = usize::try_from(announced).is_ok_and(|length| length <= limit);
    let mut body = BytesMut::new();
    while fits && let Some(frame) = relayed.body.frame().await {
        let Ok(piece) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        if body.len() + piece.len() > limit {
            return Err(too_large(relayed));
        }
        body.extend_from_slice(&piece);
    }
    if !fits {
        return Err(too_large(relayed));
    }
    Ok(Answer {
        status: relayed.status,
        headers: relayed.headers,
        body: body.freeze(),
        hits: relayed.hits,
    })
}

fn too_large(relayed: Relayed) -> BrokerError {
    let error = EgressError::TooLarge;
    relayed.body.give_up(error.code());
    BrokerError::NoAnswer(error.into())
}

fn broken(error: RelayError) -> BrokerError {
    match error {
        RelayError::Scrub(error) => BrokerError::NoAnswer(NoAnswer::Scrub(error)),
        RelayError::Cut(cut) => cut_off(cut),
    }
}

/// What the caller hears of an exchange that was cut.
pub(super) fn cut_off(cut: Cut) -> BrokerError {
    match cut {
        Cut::Sealed => BrokerError::Sealed,
        Cut::Handle => BrokerError::Handle(HandleFault::Dead(Ended::Changed)),
        Cut::Late => {
            let phase = Phase::Body;
            BrokerError::NoAnswer(EgressError::Timeout { phase }.into())
        }
    }
}

/// Headers as JSON has them: several of one name in one text.
fn shown(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let text = shown.entry(name.to_string()).or_default();
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&value);
    }
    shown
}
