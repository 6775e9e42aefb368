//! An engine, its vault, and an issuer beside them.

use std::sync::Arc;
use std::time::Duration;

use super::client::{ClientOwner, ClientRef, ClientShelf, NewClient, NewSecret};
use super::connection::{Account, MAIN, SetKey};
use super::provider::{Catalog, Reach};
use super::refresh::Stops;
pub(super) use super::tests_issuer::{Fault, Issuer};
use super::token::Tokens;
use super::{Accounts, AccountsParts, Caps, Grant, Meter, Outbound};
use crate::clock::Timestamp;
use crate::egress::{Egress, EgressOptions, Limits, SystemResolver};
use crate::id::{ConnectionId, OrgId, UserId};
use crate::name::ProviderId;
use crate::policy;
use crate::secret::Secret;
use crate::vault::tests_rig::{Rig, admin};

pub(super) const USER: UserId = UserId::from_bytes([7; 16]);
pub(super) const HOUR: i64 = 60 * 60_000;

/// Counts nothing.
#[derive(Debug)]
pub(super) struct Deaf;

impl Meter for Deaf {
    fn refreshed(&self, _: &ProviderId, _: &'static str, _: Duration) {}
    fn refreshed_with_left(&self, _: Duration) {}
    fn waited(&self, _: Duration) {}
    fn rotation_lost(&self) {}
    fn breakers_open(&self, _: usize) {}
    fn revoked(&self, _: &'static str) {}
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
        let file = file.replace("ADDR", &issuer.addr.to_string());
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

fn accounts(file: &str, stops: Option<Arc<dyn Stops>>) -> Arc<Accounts> {
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
        meter: Arc::new(Deaf),
        caps: Caps::default(),
    });
    accounts.stops = stops;
    Arc::new(accounts)
}
