//! Hosts that the operator lists: what tool code sends there passes as it came.
//!
//! Package registries, say, whose certificates clients pin. The broker sees a name and counts bytes. So it
//! is never a host that the handle's tool is bound to, whatever for: there everything is read, and what is not
//! passed on unread cannot carry a placeholder out unseen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipnet::IpNet;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::time::{interval, sleep_until};
use tokio_util::io::{InspectReader, InspectWriter};

use super::tempo::LOOK;
use super::tunnel::Duplex;
use crate::audit::{Event, Outcome, Recorded};
use crate::broker::Holder;
use crate::egress::{Egress, EgressError, Origin, Passage, Private, Scheme, Url};
use crate::name::HostPattern;

/// One entry of the operator's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pattern: HostPattern,
    port: u16,
}

impl Listed {
    /// Reads `pypi.org`, `*.npmjs.org` or `mirror.example.com:8443`; without a port it is 443. `None` for
    /// anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let in_brackets = text.ends_with(']');
        let (host, port) = match text.rsplit_once(':').filter(|_| !in_brackets) {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
            None => (text, Scheme::Https.default_port()),
        };
        let pattern = HostPattern::parse(host).ok()?;
        Some(Self { pattern, port })
    }

    fn admits(&self, origin: &Origin) -> bool {
        self.port == origin.port && self.pattern.matches(&origin.host)
    }
}

/// The list.
#[derive(Debug)]
pub struct Passing {
    listed: Vec<Listed>,
    private: Private,
}

impl Passing {
    /// Passes on to what is `listed`, also where that is in the ranges of `private`.
    #[must_use]
    pub fn new(listed: Vec<Listed>, private: &[IpNet]) -> Self {
        let private = if private.is_empty() {
            Private::Nowhere
        } else {
            Private::Granted(private.to_vec())
        };
        Self { listed, private }
    }

    /// Whether the holder's traffic may pass to `origin` unread.
    pub(super) fn admits(&self, holder: &Holder, origin: &Origin) -> bool {
        let listed = self.listed.iter().any(|listed| listed.admits(origin));
        listed && !holder.is_bound(&origin.host)
    }

    /// Checks where that is. Nothing is dialled.
    pub(super) async fn passage(
        &self,
        egress: &Egress,
        holder: &Holder,
        origin: &Origin,
    ) -> Result<Passage, EgressError> {
        let url = Url::parse(&format!("{origin}/"))?;
        let egress = egress.for_org(holder.principal().org());
        egress.passage(&url, &self.private).await
    }
}

/// Passes on what `client` says after its `hello`, both ways, until either side is done, or the passage has
/// had its time or was silent for too long. `recorded` is that it may.
pub(super) async fn pass(
    client: impl Duplex,
    hello: Bytes,
    (passage, (ends, idle)): (Passage, (Instant, Duration)),
    recorded: Recorded,
) {
    let mut ledger = Ledger {
        recorded: Some(recorded),
        started: Instant::now(),
        received: Arc::default(),
        sent: Arc::default(),
    };
    let upstream = match passage.open().await {
        Ok(upstream) => upstream,
        Err(error) => return ledger.close(Outcome::failed(error.code())),
    };
    let (received, sent) = (Arc::clone(&ledger.received), Arc::clone(&ledger.sent));
    let upstream = InspectReader::new(upstream, move |bytes| add(&received, bytes));
    let mut upstream = InspectWriter::new(upstream, move |bytes| add(&sent, bytes));
    let mut client = client;
    let passing = async {
        upstream.write_all(&hello).await?;
        copy_bidirectional(&mut client, &mut upstream).await
    };
    let (received, sent) = (Arc::clone(&ledger.received), Arc::clone(&ledger.sent));
    let moved = move || received.load(Ordering::Relaxed) + sent.load(Ordering::Relaxed);
    let outcome = tokio::select! {
        biased;
        // A side that breaks off is how many a TLS connection ends.
        _ = passing => Outcome::success(),
        why = over(moved, ends, idle) => Outcome::failed(why),
    };
    ledger.close(outcome);
}

/// Completes when a passage has had its time; with why.
async fn over(moved: impl Fn() -> u64, ends: Instant, idle: Duration) -> &'static str {
    tokio::select! {
        biased;
        () = sleep_until(ends.into()) => "handle_expired",
        () = silence(moved, idle) => "idle",
    }
}

fn add(count: &AtomicU64, bytes: &[u8]) {
    let bytes = u64::try_from(bytes.len()).unwrap_or_default();
    count.fetch_add(bytes, Ordering::Relaxed);
}

/// Completes when nothing has moved for so long.
async fn silence(moved: impl Fn() -> u64, idle: Duration) {
    let (mut known, mut since) = (moved(), Instant::now());
    let mut look = interval(LOOK);
    loop {
        look.tick().await;
        let now = moved();
        if now != known {
            (known, since) = (now, Instant::now());
        } else if since.elapsed() >= idle {
            return;
        }
    }
}

/// What the journal is told before anything passes.
pub(super) fn intent(holder: &Holder, event: Event, origin: &Origin) -> Event {
    holder.stated(event).host(origin.host.clone()).allowed()
}

/// What is known of a passage when it is over, however it ends.
struct Ledger {
    recorded: Option<Recorded>,
    started: Instant,
    received: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

impl Ledger {
    fn close(&mut self, outcome: Outcome) {
        if let Some(recorded) = self.recorded.take() {
            let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let received = self.received.load(Ordering::Relaxed);
            let sent = self.sent.load(Ordering::Relaxed);
            recorded.outcome(outcome.duration_ms(millis).bytes(received, sent));
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // The handle died, or the broker is sealed or ends.
        self.close(Outcome::failed("cut"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use super::{Listed, over};
    use crate::egress::Url;

    #[tokio::test]
    async fn a_passage_ends_with_the_time_of_its_handle_however_much_moves() {
        let (bytes, began) = (AtomicU64::new(0), Instant::now());
        let ends = began + Duration::from_millis(1_500);
        let idle = Duration::from_mins(2);
        let why = over(|| bytes.fetch_add(1, Ordering::Relaxed), ends, idle).await;
        assert_eq!(why, "handle_expired");
        assert!(began.elapsed() >= Duration::from_millis(1_500));
    }

    #[test]
    fn an_entry_is_a_host_and_a_port() {
        let admits = |entry: &str, url: &str| {
            let url = Url::parse(url).unwrap();
            Listed::parse(entry).unwrap().admits(url.origin())
        };
        assert!(admits("pypi.org", "https://pypi.org/"));
        assert!(admits("PyPI.org:443", "https://pypi.org/"));
        assert!(admits(
            "*.npmjs.org:8443",
            "https://registry.npmjs.org:8443/"
        ));
        assert!(admits("[::1]:8443", "https://[::1]:8443/"));
        assert!(admits("[::1]", "https://[::1]/"));
        assert!(!admits("pypi.org", "https://pypi.org:8443/"));
        assert!(!admits("pypi.org", "https://a.pypi.org/"));
        assert!(!admits("*.npmjs.org", "https://npmjs.org/"));
        for entry in [
            "",
            "*",
            "*.org",
            "pypi.org:",
            "pypi.org:0",
            "pypi.org:99999",
            "https://pypi.org",
            "pypi.org/a",
            "a b",
        ] {
            assert_eq!(Listed::parse(entry), None, "{entry}");
        }
    }
}
