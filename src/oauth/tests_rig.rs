//! An engine, its vault, and an issuer beside them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::client::{ClientOwner, ClientRef, ClientShelf, NewClient, NewSecret};
use super::connection::{Account, MAIN, SetKey};
use super::flow::DeviceAsk;
use super::provider::{Catalog, Reach};
use super::refresh::Stops;
pub(super) use super::tests_issuer::{Fault, Issuer};
use super::token::Tokens;
use super::{Accounts, AccountsParts, AdoptFault, Adopted, Caps, Grant, Meter, Outbound};
use crate::audit::{Action, Code, Entry, Filter, Scope};
use crate::clock::Timestamp;
use crate::egress::{Egress, EgressOptions, Limits, SystemResolver};
use crate::id::{ConnectionId, OrgId, UserId};
use crate::name::ProviderId;
use crate::policy;
use crate::secret::Secret;
use crate::vault::tests_rig::{Rig, admin};

pub(super) const USER: UserId = UserId::from_bytes([7; 16]);
pub(super) const HOUR: i64 = 60 * 60_000;

/// What a file has of device flows.
pub(super) const DEVICE: &str = r#"
    [device]
    url = "http://ADDR/device"
"#;

/// Remembers what it hears, in words.
#[derive(Debug, Default)]
pub(super) struct Ears(Mutex<Vec<String>>);

impl Ears {
    fn hear(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    /// How often it heard this.
    pub(super) fn heard(&self, what: &str) -> usize {
        let all = self.0.lock().unwrap();
        all.iter().filter(|heard| *heard == what).count()
    }
}

impl Meter for Ears {
    fn refreshed(&self, _: &ProviderId, class: &'static str, _: Duration) {
        self.hear(format!("refresh {class}"));
    }
    fn refreshed_with_left(&self, left: Duration) {
        self.hear(format!("left {}", left.as_secs()));
    }
    fn waited(&self, _: Duration) {
        self.hear("waited".to_owned());
    }
    fn rotation_lost(&self) {
        self.hear("rotation_lost".to_owned());
    }
    fn over(&self, _: &ProviderId, reason: &'static str) {
        self.hear(format!("over {reason}"));
    }
    fn client_refused(&self, _: &ProviderId) {
        self.hear("client_refused".to_owned());
    }
    fn breakers_open(&self, hosts: usize) {
        self.hear(format!("breakers {hosts}"));
    }
    fn revoked(&self, outcome: &'static str) {
        self.hear(format!("revoked {outcome}"));
    }
    fn step(&self, way: super::Way, step: super::Step) {
        self.hear(format!("{} {}", way.code(), step.code()));
    }
    fn unstored(&self) {
        self.hear("unstored".to_owned());
    }
}

/// An engine, its vault, an issuer.
pub(super) struct Engine {
    pub(super) rig: Rig,
    pub(super) issuer: Issuer,
    pub(super) accounts: Arc<Accounts>,
    pub(super) org: OrgId,
    pub(super) ears: Arc<Ears>,
    file: String,
}

pub(super) fn provider() -> ProviderId {
    ProviderId::parse("issuer").unwrap()
}

impl Engine {
    /// `refresh` is the provider file's section of that name.
    pub(super) async fn new(refresh: &str, rotates: bool, grace: i64) -> Self {
        Self::edited(refresh, rotates, grace, &[]).await
    }

    /// The same with these words of the file changed.
    pub(super) async fn edited(
        refresh: &str,
        rotates: bool,
        grace: i64,
        changes: &[(&str, &str)],
    ) -> Self {
        let rig = Rig::new().await;
        let issuer = Issuer::start(rig.clock.clone(), rotates, grace).await;
        let mut file = format!(
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
        for (from, to) in changes {
            assert!(file.contains(from), "{from}");
            file = file.replace(from, to);
        }
        let file = file.replace("ADDR", &issuer.addr.to_string());
        let org = rig.org(1).await.id();
        let ears = Arc::<Ears>::default();
        let accounts = accounts(&file, &ears, None);
        let engine = Self {
            rig,
            issuer,
            accounts,
            org,
            ears,
            file,
        };
        engine.set_client("client", "hush").await;
        engine
    }

    /// Sets the installation's client.
    pub(super) async fn set_shared_client(&self, id: &str) -> ClientRef {
        let recorded = self.rig.recorded().await;
        let new = NewClient {
            provider: provider(),
            client_id: id.to_owned(),
            secret: NewSecret::Set(Secret::copy_of(b"hush")),
            scopes: None,
            hosts: std::collections::BTreeMap::new(),
        };
        let permit = policy::check(&admin(self.org, USER).operating(), ()).unwrap();
        ClientShelf::of_installation(&self.rig.vault)
            .set_shared(&permit, new, &recorded)
            .await
            .unwrap();
        ClientRef {
            owner: ClientOwner::Instance,
            client_id: id.to_owned(),
        }
    }

    /// What is in the journal of this kind: codes of events, and of their ends.
    pub(super) fn journal(&self, action: Action) -> Vec<(String, String)> {
        let mut filter = Filter::new(Scope::All);
        filter.action = Some(action);
        filter.limit = 1000;
        let page = self.rig.vault.journal().query(&filter).unwrap();
        let word = |code: Option<&Code>| code.map_or_else(String::new, ToString::to_string);
        let of = |entry: &Entry| {
            let ended = entry.outcome.as_ref().map(|ended| &ended.outcome);
            let end = ended.and_then(|outcome| outcome.code.as_ref());
            (word(entry.event.code.as_ref()), word(end))
        };
        page.entries.iter().map(of).collect()
    }

    pub(super) async fn set_client(&self, id: &str, secret: &str) {
        let keys = self.rig.vault.org(self.org).unwrap();
        let recorded = self.rig.recorded().await;
        let new = NewClient {
            provider: provider(),
            client_id: id.to_owned(),
            secret: NewSecret::Set(Secret::copy_of(secret.as_bytes())),
            scopes: None,
            hosts: std::collections::BTreeMap::new(),
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
            ears,
            file,
        } = self;
        drop(old);
        let rig = rig.reopen().await.unwrap();
        Self {
            rig,
            issuer,
            accounts: accounts(&file, &ears, stops),
            org,
            ears,
            file,
        }
    }

    /// The same with room for so many accounts.
    pub(super) fn capped(mut self, caps: Caps) -> Self {
        Arc::get_mut(&mut self.accounts).unwrap().caps = caps;
        self
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
        self.grant_of(account, "at-0", Some(refresh))
    }

    /// Tokens of an account; those without a refresh token do not end.
    pub(super) fn grant_of(&self, account: &str, access: &str, refresh: Option<&str>) -> Grant {
        let tokens = Tokens {
            access: Secret::copy_of(access.as_bytes()),
            refresh: refresh.map(|refresh| Secret::copy_of(refresh.as_bytes())),
            id_token: None,
            expires_at: refresh.map(|_| self.now().plus_millis(HOUR)),
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
            resources: Vec::new(),
            subject: None,
            missing: Vec::new(),
            replaces: None,
            ends: None,
            sent: self.now(),
            bound: super::provider::Bound::default(),
            scopes: None,
            sets: vec![(MAIN.to_owned(), tokens)],
        }
    }

    /// What is asked for by a device flow.
    pub(super) fn device_ask(&self) -> DeviceAsk {
        DeviceAsk {
            org: self.org,
            user: USER,
            provider: self.accounts.provider(&provider()).unwrap(),
            bound: super::provider::Bound::default(),
            scopes: Vec::new(),
            client: Self::client(),
            replaces: None,
        }
    }

    /// Connects an account whose access token lives for an hour from now.
    pub(super) async fn connect(&self, account: &str) -> SetKey {
        let adopted = self.adopt(self.grant(account, "rt-0")).await.unwrap();
        (adopted.connection, MAIN.to_owned())
    }

    pub(super) async fn adopt(&self, grant: Grant) -> Result<Adopted, AdoptFault> {
        let recorded = self.rig.recorded().await;
        let file = self.accounts.provider(&provider()).unwrap();
        self.accounts
            .adopt(&self.rig.vault, &file, grant, &recorded)
            .await
    }

    /// The API that was called with it answered with this status.
    pub(super) async fn api_said(&self, key: &SetKey, status: u16) {
        let (vault, accounts) = (&self.rig.vault, &self.accounts);
        let lent = accounts.lend(vault, key.0, &key.1).await.unwrap();
        let recorded = self.rig.recorded().await;
        let noted = match status {
            401 => accounts.access_refused(vault, &lent, &recorded).await,
            _ => accounts.access_worked(vault, &lent, &recorded).await,
        };
        noted.unwrap();
        self.settled().await;
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

    /// Tries to revoke what waits for it: how many that are.
    pub(super) async fn revoke(&self) -> usize {
        self.accounts.revoke_due(&self.rig.vault).await.unwrap().0
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

fn accounts(file: &str, ears: &Arc<Ears>, stops: Option<Arc<dyn Stops>>) -> Arc<Accounts> {
    let mut catalog = Catalog::default();
    let egress = Egress::new(EgressOptions {
        extra_roots: Vec::new(),
        resolver: Arc::new(SystemResolver),
        limits: Limits::default(),
        own: Vec::new(),
    });
    let ranges = ["127.0.0.0/8".parse().unwrap()];
    let reach = Reach::within(&ranges);
    catalog.add("issuer.toml", file, &reach).unwrap();
    let mut accounts = Accounts::new(AccountsParts {
        catalog,
        outbound: Outbound::new(egress.unwrap(), &ranges),
        meter: Arc::<Ears>::clone(ears),
        caps: Caps::default(),
    });
    accounts.stops = stops;
    Arc::new(accounts)
}
