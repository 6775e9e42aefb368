//! An issuer on loopback that behaves as it is told, and an engine beside it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::{ClientOwner, ClientRef, ClientShelf, NewClient, NewSecret};
use super::connection::{Account, MAIN, SetKey};
use super::provider::{Catalog, Loopback};
use super::token::Tokens;
use super::{Accounts, AccountsParts, Grant, Meter, Outbound, Stops};
use crate::clock::{ManualClock, Timestamp};
use crate::egress::{Egress, EgressOptions, Limits, SystemResolver};
use crate::id::{ConnectionId, OrgId, UserId};
use crate::name::ProviderId;
use crate::policy;
use crate::secret::Secret;
use crate::vault::tests_rig::{Rig, admin};

pub(super) const USER: UserId = UserId::from_bytes([7; 16]);
pub(super) const HOUR: i64 = 60 * 60_000;

/// What an issuer does about one request, in place of what it would.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Answers this, and does nothing.
    Answer(u16, &'static str),
    /// Does it, and closes without a word.
    LoseAnswer,
    /// Waits until released, then does it.
    Hold,
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
                state.faults.pop_front()
            };
            if let Some(Fault::Hold) = fault {
                self.release.notified().await;
            }
            let (status, text) = match &fault {
                Some(Fault::Answer(status, text)) => (*status, (*text).to_owned()),
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
        if path == "/revoke" {
            return (200, String::new());
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

use crate::clock::Clock as _;

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

/// Counts nothing.
#[derive(Debug)]
pub(super) struct Deaf;

impl Meter for Deaf {
    fn refreshed(&self, _: &ProviderId, _: &'static str, _: Duration) {}
    fn refreshed_with_left(&self, _: Duration) {}
    fn waited(&self, _: Duration) {}
    fn rotation_lost(&self) {}
    fn flow(&self, _: &'static str, _: &'static str) {}
}

/// An engine, its vault, an issuer.
pub(super) struct Engine {
    pub(super) rig: Rig,
    pub(super) issuer: Issuer,
    pub(super) accounts: Arc<Accounts>,
    pub(super) org: OrgId,
    file: String,
}

pub(super) fn provider() -> ProviderId {
    ProviderId::parse("issuer").unwrap()
}

impl Engine {
    /// `refresh` is the provider file's section of that name.
    pub(super) async fn new(refresh: &str, rotates: bool, grace: i64) -> Self {
        let rig = Rig::new().await;
        let issuer = Issuer::start(rig.clock.clone(), rotates, grace).await;
        let file = format!(
            r#"
            schema = 1
            id = "issuer"
            display_name = "Issuer"
            [authorize]
            url = "http://{addr}/authorize"
            [token]
            url = "http://{addr}/token"
            client_auth = "post"
            [refresh]
            {refresh}
            [[revoke]]
            url = "http://{addr}/revoke"
            auth = "client_post"
            token = "both"
            [identity]
            url = "http://{addr}/me"
            id = "/id"
            [api]
            hosts = ["127.0.0.1"]
            "#,
            addr = issuer.addr
        );
        let org = rig.org(1).await.id();
        let accounts = accounts(&file, None);
        let engine = Self {
            rig,
            issuer,
            accounts,
            org,
            file,
        };
        engine.set_client("client", "hush").await;
        engine
    }

    pub(super) async fn set_client(&self, id: &str, secret: &str) {
        let keys = self.rig.vault.org(self.org).unwrap();
        let recorded = self.rig.recorded().await;
        let new = NewClient {
            provider: provider(),
            client_id: id.to_owned(),
            secret: NewSecret::Set(Secret::copy_of(secret.as_bytes())),
            scopes: None,
        };
        let permit = policy::check(&admin(self.org, USER), ()).unwrap();
        ClientShelf::of_org(&self.rig.vault, &keys)
            .set(&permit, new, &recorded)
            .await
            .unwrap();
    }

    /// As after a kill: nothing is left but what was stored. `stops` is for the engine that follows.
    pub(super) async fn restart(self, stops: Option<Arc<dyn Stops>>) -> Self {
        let Self {
            rig,
            issuer,
            accounts: old,
            org,
            file,
        } = self;
        drop(old);
        let rig = rig.reopen().await.unwrap();
        Self {
            rig,
            issuer,
            accounts: accounts(&file, stops),
            org,
            file,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.rig.vault.now()
    }

    pub(super) fn client() -> ClientRef {
        ClientRef {
            owner: ClientOwner::Organization,
            client_id: "client".to_owned(),
        }
    }

    pub(super) fn grant(&self, account: &str, refresh: &str) -> Grant {
        let tokens = Tokens {
            access: Secret::copy_of(b"at-0"),
            refresh: Some(Secret::copy_of(refresh.as_bytes())),
            id_token: None,
            expires_at: Some(self.now().plus_millis(HOUR)),
            refresh_expires_at: None,
            not_before_refresh: None,
            scopes: None,
        };
        Grant {
            org: self.org,
            user: USER,
            client: Self::client(),
            asked: vec!["read".to_owned()],
            account: Account {
                id: account.to_owned(),
                label: Some(format!("{account} by name")),
                email: None,
            },
            subject: None,
            missing: Vec::new(),
            replaces: None,
            sent: self.now(),
            bound: super::provider::Bound::default(),
            scopes: None,
            sets: vec![(MAIN.to_owned(), tokens)],
        }
    }

    /// Connects an account whose access token lives for an hour from now.
    pub(super) async fn connect(&self, account: &str) -> SetKey {
        let recorded = self.rig.recorded().await;
        let file = self.accounts.provider(&provider()).unwrap();
        let grant = self.grant(account, "rt-0");
        let adopted = self
            .accounts
            .adopt(&self.rig.vault, &file, grant, &recorded)
            .await
            .unwrap();
        (adopted.connection, MAIN.to_owned())
    }

    /// The access token that a caller gets.
    pub(super) async fn lend(&self, key: &SetKey) -> Result<String, super::AccessFault> {
        let lent = self.accounts.lend(&self.rig.vault, key.0, &key.1).await?;
        let recorded = self.rig.recorded().await;
        let token = lent.open(&recorded)?;
        Ok(token.expose(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
    }

    pub(super) async fn state(&self, key: &SetKey) -> super::connection::TokenState {
        let roster = self.accounts.roster(&self.rig.vault).await.unwrap();
        (*roster.state(key).unwrap().value).clone()
    }

    /// Waits until no refresh is under way.
    pub(super) async fn settled(&self) {
        while self.accounts.flights.count() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(super) async fn forget(&self, id: ConnectionId) {
        let recorded = self.rig.recorded().await;
        let permit = policy::check(&admin(self.org, USER), USER).unwrap();
        self.accounts
            .forget_connection(&self.rig.vault, &permit, id, &recorded)
            .await
            .unwrap();
    }
}

fn accounts(file: &str, stops: Option<Arc<dyn Stops>>) -> Arc<Accounts> {
    let mut catalog = Catalog::default();
    catalog.add("issuer.toml", file, Loopback::Allowed).unwrap();
    let egress = Egress::new(EgressOptions {
        extra_roots: Vec::new(),
        resolver: Arc::new(SystemResolver),
        limits: Limits::default(),
        own: Vec::new(),
    });
    let ranges = ["127.0.0.0/8".parse().unwrap()];
    Arc::new(Accounts::new(AccountsParts {
        catalog,
        outbound: Outbound::new(egress.unwrap(), &ranges),
        cleartext_hosts: Vec::new(),
        meter: Arc::new(Deaf),
        stops,
    }))
}
