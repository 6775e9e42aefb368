//! From a granted CONNECT to requests inside: first bytes, name, handshake, protocol.

use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::hello::{self, First, UNRECOGNISED_NAME};
use super::inside::Inside;
use super::limits::{HANDSHAKE, HEAD_BYTES, HEAD_FIELDS, PING, ProxyLimits, STREAMS, times};
use super::passing;
use super::switch::{Next, talk};
use super::tempo::{LOOK, Tempo, Times, timed};
use crate::audit::Action;
use crate::broker::{Holder, RelayedSocket};
use crate::egress::{Origin, Passage};
use crate::http::serve::{Peer, Shutdown};
use crate::http::{App, as_request, event_of};
use crate::vault::Unsealed;

/// Written to whoever speaks no TLS in a tunnel: they read HTTP, if anything.
const NOT_TLS: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n\
    {\"error\":{\"code\":\"not_tls\",\"message\":\"A tunnel of this proxy begins with TLS, and this did not.\",\
    \"hint\":\"Use https in the URL. A host that is bound over http is asked without CONNECT: GET http://host/path.\"}}";

/// A tunnel that was granted.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) app: App,
    pub(super) peer: Peer,
    pub(super) holder: Holder,
    pub(super) origin: Origin,
    /// Where it passes unread, by which addresses.
    pub(super) passage: Option<Passage>,
    pub(super) limits: ProxyLimits,
    pub(super) shutdown: Shutdown,
}

/// What a tunnel runs on.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Duplex for S {}

impl Tunnel {
    /// Runs until either side is done with it, or the handle is.
    pub(super) async fn run(self, stream: impl Duplex) {
        let Ok(vault) = self.app.vault() else {
            return;
        };
        let watched = self.app.lanes().watch_over(&self.holder);
        let (ending, closing) = (self.holder.ending(), closing(&vault));
        // Only the call to leave is kept: an open tunnel must not keep the vault open.
        drop(vault);
        let (next, shutdown) = (Arc::default(), self.shutdown.clone());
        tokio::select! {
            biased;
            () = self.shake(stream, &next) => {}
            () = ending.cancelled() => {}
            () = closing => {}
        }
        drop(watched);
        // It is looked after by itself, and says goodbye when it must end.
        if let Some((io, socket)) = next.reached().await {
            talk(io, socket, &shutdown).await;
        }
    }

    /// What may pass unread; the record of it is on disk before a byte does.
    async fn pass(&self, passage: Passage, hello: Bytes, stream: impl Duplex) {
        let recorded = {
            let Ok(vault) = self.app.vault() else {
                return;
            };
            let event = as_request(self.peer, async {
                event_of(&vault, &self.holder, Action::BrokerConnect)
            });
            let Ok(event) = event.await else {
                return;
            };
            let event = passing::intent(&self.holder, event, &self.origin);
            vault.journal().record(event).await
        };
        match recorded {
            Ok(recorded) => {
                let ends = self.holder.ends() + self.limits.grace;
                let over = (ends, self.limits.idle);
                passing::pass(stream, hello, (passage, over), recorded).await;
            }
            Err(error) => tracing::error!(%error, "a tunnel was not recorded, and not opened"),
        }
    }

    async fn shake(mut self, mut stream: impl Duplex, next: &Arc<Next<Box<RelayedSocket>>>) {
        let first = timeout(HANDSHAKE, hello::read(&mut stream)).await;
        let hello = match first {
            Ok(First::Hello(hello)) => hello,
            Ok(First::Other) => return say(stream, NOT_TLS.as_bytes()).await,
            Ok(First::Broken(alert)) => return say(stream, &alert).await,
            Ok(First::Gone) | Err(_) => return,
        };
        if !hello.is_for(&self.origin.host) {
            return say(stream, &UNRECOGNISED_NAME).await;
        }
        if let Some(passage) = self.passage.take() {
            return self.pass(passage, hello.into_bytes(), stream).await;
        }
        let Ok(server) = self.holder.server(&self.origin.host) else {
            tracing::error!("no certificate could be made for a tunnel");
            return;
        };
        let Ok(Some(stream)) = timeout(HANDSHAKE, hello.answer(stream, server)).await else {
            return;
        };
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => self.many(stream).await,
            _ => self.one_by_one(stream, next).await,
        }
    }

    fn inside(
        &self,
        tempo: &Arc<Tempo>,
        next: &Arc<Next<Box<RelayedSocket>>>,
        one_by_one: bool,
    ) -> Arc<Inside> {
        Arc::new(Inside {
            app: self.app.clone(),
            peer: self.peer,
            holder: self.holder.clone(),
            origin: self.origin.clone(),
            tempo: Arc::clone(tempo),
            next: Arc::clone(next),
            one_by_one,
        })
    }

    /// HTTP/1.1.
    async fn one_by_one(self, stream: impl Duplex, next: &Arc<Next<Box<RelayedSocket>>>) {
        let tempo = Tempo::start(times(self.limits.idle));
        let inside = self.inside(&tempo, next, true);
        let service = service_fn(move |request| Arc::clone(&inside).answer(request));
        let stream = TokioIo::new(timed(stream, Arc::clone(&tempo)));
        let connection = http1_builder()
            .serve_connection(stream, service)
            .with_upgrades();
        self.lead(
            pin!(connection),
            &tempo,
            http1::UpgradeableConnection::graceful_shutdown,
        )
        .await;
    }

    /// HTTP/2.
    async fn many(self, stream: impl Duplex) {
        let tempo = Tempo::start(Times {
            head: None,
            ..times(self.limits.idle)
        });
        // No stream of it becomes anything else: extended CONNECT (RFC 8441) is not offered.
        let inside = self.inside(&tempo, &Arc::default(), false);
        let service = service_fn(move |request| Arc::clone(&inside).answer(request));
        let stream = TokioIo::new(timed(stream, Arc::clone(&tempo)));
        let connection = http2_builder().serve_connection(stream, service);
        self.lead(
            pin!(connection),
            &tempo,
            http2::Connection::graceful_shutdown,
        )
        .await;
    }

    /// Until the client has done, is late, or the handle's time is over, or the broker ends.
    async fn lead<C: Future>(
        &self,
        connection: Pin<&mut C>,
        tempo: &Tempo,
        stop: impl FnOnce(Pin<&mut C>),
    ) {
        let over = (|| self.holder.is_expired(), self.shutdown.ending());
        tempo.lead(connection, over, stop).await;
    }
}

/// Completes when the vault is being sealed.
fn closing(vault: &Unsealed) -> impl Future<Output = ()> + use<> {
    vault.closing().called()
}

/// Last words.
async fn say(mut stream: impl Duplex, words: &[u8]) {
    let said = async {
        stream.write_all(words).await?;
        stream.shutdown().await?;
        // What the client still sends is read, so that no reset takes the words away from it.
        let mut rest = tokio::io::AsyncReadExt::take(&mut stream, 64 << 10);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // Heard or not, it ends here.
    drop(timeout(LOOK, said).await);
}

pub(super) fn http1_builder() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // Counts waiting for the next request as well, so the tempo measures heads instead.
        .header_read_timeout(None)
        .max_headers(HEAD_FIELDS)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(2 * HEAD_BYTES);
    http
}

fn http2_builder() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    let header_bytes = u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(header_bytes)
        .max_send_buf_size(64 << 10)
        .keep_alive_interval(PING)
        .keep_alive_timeout(HANDSHAKE);
    http
}
