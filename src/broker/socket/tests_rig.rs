//! A conversation over pipes, both sides of which are driven by hand.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::frame::{Head, Kind, mask};
use super::gate::Gate;
use super::{End, SocketLimits, Talk};
use crate::broker::scrub::Patterns;
use crate::secret::Secret;

pub(super) const VALUE: &str = "ghp_0123456789abcdefghijABCDEFGHIJ4567";

/// One end of a conversation, as a client or a server sees it.
pub(super) struct Peer {
    pub(super) pipe: DuplexStream,
    pub(super) masks: bool,
}

/// A conversation under way.
pub(super) struct Stage {
    pub(super) caller: Peer,
    pub(super) upstream: Peer,
    pub(super) cut: oneshot::Sender<End>,
    pub(super) talk: JoinHandle<Option<End>>,
    pub(super) counts: (Arc<AtomicU64>, Arc<AtomicU64>),
}

/// A frame that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) last: bool,
    pub(super) kind: Kind,
    pub(super) payload: Vec<u8>,
}

pub(super) fn stage(limits: SocketLimits) -> Stage {
    let (caller, near) = duplex(256 * 1024);
    let (upstream, far) = duplex(256 * 1024);
    let patterns = Patterns::for_values([&Secret::copy_of(VALUE.as_bytes())], []).unwrap();
    let gates = (
        Gate::blocking().unwrap(),
        Gate::masking(&patterns, &patterns.hits()),
    );
    let counts = (Arc::default(), Arc::default());
    let talk = Talk {
        limits,
        counts: (Arc::clone(&counts.0), Arc::clone(&counts.1)),
    };
    let (cut, over) = oneshot::channel();
    let over = async {
        match over.await {
            Ok(end) => end,
            Err(_) => std::future::pending().await,
        }
    };
    let talk = tokio::spawn(async move {
        let mut ended = None;
        talk.run((near, far), gates, over, |end| ended = Some(end))
            .await;
        ended
    });
    let peer = |pipe, masks| Peer { pipe, masks };
    Stage {
        caller: peer(caller, true),
        upstream: peer(upstream, false),
        cut,
        talk,
        counts,
    }
}

impl Peer {
    pub(super) async fn send(&mut self, last: bool, kind: Kind, payload: &[u8]) {
        let key = self.masks.then_some([7, 1, 200, 3]);
        let mut out = BytesMut::new();
        let head = Head {
            last,
            kind,
            mask: key,
            length: payload.len().try_into().unwrap(),
        };
        head.write(&mut out);
        let mut payload = payload.to_vec();
        if let Some(key) = key {
            mask(&mut payload, key, 0);
        }
        out.extend_from_slice(&payload);
        self.pipe.write_all(&out).await.unwrap();
    }

    pub(super) async fn raw(&mut self, bytes: &[u8]) {
        self.pipe.write_all(bytes).await.unwrap();
    }

    /// The next frame; nothing at the end.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        let mut bytes = Vec::new();
        let (head, length) = loop {
            if let Some(found) = Head::read(&bytes).unwrap() {
                break found;
            }
            bytes.push(self.pipe.read_u8().await.ok()?);
        };
        assert_eq!(length, bytes.len());
        // The broker masks what goes to the upstream, and nothing else.
        assert_eq!(head.mask.is_some(), !self.masks);
        let mut payload = vec![0; usize::try_from(head.length).unwrap()];
        self.pipe.read_exact(&mut payload).await.ok()?;
        if let Some(key) = head.mask {
            mask(&mut payload, key, 0);
        }
        Some(Frame {
            last: head.last,
            kind: head.kind,
            payload,
        })
    }

    /// The next message: its frames put together.
    pub(super) async fn message(&mut self) -> (Kind, Vec<u8>) {
        let first = self.next().await.unwrap();
        let (kind, mut payload, mut last) = (first.kind, first.payload, first.last);
        while !last {
            let next = self.next().await.unwrap();
            assert_eq!(next.kind, Kind::More);
            payload.extend_from_slice(&next.payload);
            last = next.last;
        }
        (kind, payload)
    }

    pub(super) async fn closes_with(&mut self, code: u16) {
        let frame = self.next().await.expect("a frame that closes");
        assert_eq!(frame.kind, Kind::Close, "{frame:?}");
        assert_eq!(frame.payload[..2], code.to_be_bytes(), "{frame:?}");
        assert_eq!(self.next().await, None, "nothing comes after it");
    }
}

pub(super) fn text(text: &str) -> (Kind, Vec<u8>) {
    (Kind::Text, text.as_bytes().to_vec())
}

pub(super) fn masked() -> String {
    "*".repeat(VALUE.len())
}

pub(super) async fn ended(stage: Stage) -> End {
    drop((stage.caller, stage.upstream));
    stage.talk.await.unwrap().unwrap()
}
