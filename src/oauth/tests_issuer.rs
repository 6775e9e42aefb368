//! A small authorization server on loopback that behaves as it is told.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::clock::{Clock as _, ManualClock, Timestamp};

/// What an issuer does about one request, in place of what it would.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Answers this, and does nothing.
    Answer(u16, &'static str),
    /// Does it, and closes without a word.
    LoseAnswer,
    /// Waits until released, then does it.
    Hold,
    /// Waits until released, answers this, and does nothing.
    HoldThenAnswer(u16, &'static str),
}

#[derive(Debug, Default)]
struct State {
    rotates: bool,
    grace: i64,
    lifetime: i64,
    spent: HashMap<String, Timestamp>,
    valid: Vec<String>,
    dead: bool,
    made: u32,
    faults: VecDeque<Fault>,
    away: bool,
    /// Path and body of everything that was asked.
    asked: Vec<(String, String)>,
    refreshes: u32,
}

/// A small authorization server: it rotates, has a grace, and kills a family whose spent token it sees.
#[derive(Clone, Debug)]
pub(super) struct Issuer {
    state: Arc<Mutex<State>>,
    release: Arc<tokio::sync::Notify>,
    clock: ManualClock,
    pub(super) addr: SocketAddr,
}

impl Issuer {
    pub(super) async fn start(clock: ManualClock, rotates: bool, grace: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Self {
            state: Arc::new(Mutex::new(State {
                rotates,
                grace: grace * 1000,
                lifetime: 3600,
                valid: vec!["rt-0".to_owned()],
                ..State::default()
            })),
            release: Arc::default(),
            clock,
            addr: listener.local_addr().unwrap(),
        };
        let served = issuer.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move { served.serve(stream).await });
            }
        });
        issuer
    }

    pub(super) fn fault(&self, fault: Fault) {
        self.state.lock().unwrap().faults.push_back(fault);
    }

    /// Answers 503 to everything until it is told otherwise.
    pub(super) fn dead_for_now(&self, away: bool) {
        self.state.lock().unwrap().away = away;
    }

    /// Access tokens live so many seconds from now on.
    pub(super) fn lifetime(&self, seconds: i64) {
        self.state.lock().unwrap().lifetime = seconds;
    }

    pub(super) fn release(&self) {
        self.release.notify_one();
    }

    pub(super) fn refreshes(&self) -> u32 {
        self.state.lock().unwrap().refreshes
    }

    pub(super) fn asked(&self, path: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let asked = state.asked.iter().filter(|(asked, _)| asked == path);
        asked.map(|(_, body)| body.clone()).collect()
    }

    async fn serve(&self, mut stream: TcpStream) {
        while let Some((path, body)) = read(&mut stream).await {
            let fault = {
                let mut state = self.state.lock().unwrap();
                state.asked.push((path.clone(), body.clone()));
                let away = state.away.then_some(Fault::Answer(503, ""));
                state.faults.pop_front().or(away)
            };
            if let Some(Fault::Hold | Fault::HoldThenAnswer(..)) = fault {
                self.release.notified().await;
            }
            let (status, text) = match &fault {
                Some(Fault::Answer(status, text) | Fault::HoldThenAnswer(status, text)) => {
                    (*status, (*text).to_owned())
                }
                _ => self.answer(&path, &body),
            };
            if matches!(fault, Some(Fault::LoseAnswer)) {
                return;
            }
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                text.len()
            );
            let sent = stream.write_all((head + &text).as_bytes()).await;
            if sent.is_err() {
                return;
            }
        }
    }

    fn answer(&self, path: &str, body: &str) -> (u16, String) {
        if path.starts_with("/revoke") {
            return (200, String::new());
        }
        if path == "/me" {
            return (200, r#"{"id":"ada"}"#.to_owned());
        }
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap();
        state.refreshes += 1;
        let shown = body
            .split('&')
            .find_map(|pair| pair.strip_prefix("refresh_token="))
            .unwrap_or_default()
            .to_owned();
        let known = state.valid.contains(&shown);
        let spent = state.spent.get(&shown).copied();
        let late = spent.is_some_and(|at| now.millis_since(at) >= state.grace);
        if state.dead || !known || late {
            state.dead |= late;
            return (400, r#"{"error":"invalid_grant"}"#.to_owned());
        }
        state.made += 1;
        let (made, lifetime) = (state.made, state.lifetime);
        if !state.rotates {
            return (
                200,
                format!(
                    r#"{{"access_token":"at-{made}","token_type":"bearer","expires_in":{lifetime}}}"#
                ),
            );
        }
        state.spent.entry(shown).or_insert(now);
        state.valid.push(format!("rt-{made}"));
        (
            200,
            format!(
                r#"{{"access_token":"at-{made}","token_type":"bearer","expires_in":{lifetime},"refresh_token":"rt-{made}"}}"#
            ),
        )
    }
}

async fn read(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_lowercase()
                        .strip_prefix("content-length: ")
                        .map(str::to_owned)
                })
                .and_then(|length| length.trim().parse::<usize>().ok())
                .unwrap_or(0);
            if body.len() >= length {
                let path = head.split(' ').nth(1)?.to_owned();
                return Some((path, body.to_owned()));
            }
        }
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.ok()?;
        if count == 0 {
            return None;
        }
        bytes.extend_from_slice(&piece[..count]);
    }
}
