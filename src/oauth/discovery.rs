//! What issuers say of themselves: endpoints and keys, fetched when first needed (RFC 8414, OpenID
//! Connect Discovery 1.0), kept for an hour.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use zeroize::Zeroizing;

use super::accounts::Accounts;
use super::outbound::{DEADLINE, Silence};
use super::provider::spec::Discovery;
use super::provider::{Bound, Provider};
use super::token::{
    Accepts, Endpoints, MAX_METADATA, TokenRequest, issuer_of, metadata_url, read_metadata,
};
use crate::clock::Timestamp;
use crate::crypto::Jwks;
use crate::egress::Url;
use crate::id::OrgId;
use crate::secret::Secret;
use crate::vault::Unsealed;

/// For how long an answer is taken for true, in milliseconds.
const KEPT: i64 = 60 * 60_000;

/// How often keys are fetched anew because one was not among them, in milliseconds.
const AGAIN: i64 = 60_000;

/// The issuers that are remembered. An organisation may name some of its own.
const REMEMBERED: usize = 1024;

/// Why an issuer's word could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryFault {
    /// It did not answer.
    #[error("the issuer does not answer")]
    Silent(Silence),
    /// Its answer cannot be used.
    #[error("the issuer's own description of itself cannot be used")]
    Unusable,
    /// The vault was sealed before it answered.
    #[error("the vault is sealed")]
    Sealed,
}

#[derive(Clone, Debug)]
struct Known<T> {
    what: Arc<T>,
    fetched: Timestamp,
}

impl<T> Known<T> {
    fn fresh(&self, now: Timestamp, for_millis: i64) -> Option<Arc<T>> {
        let fresh = now.millis_since(self.fetched).abs() < for_millis;
        fresh.then(|| Arc::clone(&self.what))
    }
}

#[derive(Debug, Default)]
struct Tables {
    endpoints: HashMap<(OrgId, String), Known<Endpoints>>,
    keys: HashMap<(OrgId, String), Known<Jwks>>,
}

/// What issuers said. By organisation: one's answers are no other's.
#[derive(Debug, Default)]
pub(in crate::oauth) struct Discovered(Mutex<Tables>);

impl Discovered {
    /// Forgets everything.
    pub(in crate::oauth) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Tables::default();
    }

    fn with<R>(&self, work: impl FnOnce(&mut Tables) -> R) -> R {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.endpoints.len() >= REMEMBERED || tables.keys.len() >= REMEMBERED {
            *tables = Tables::default();
        }
        work(&mut tables)
    }
}

fn get(url: Url) -> TokenRequest {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    TokenRequest {
        method: Method::GET,
        path_and_query: Zeroizing::new(url.path_and_query()),
        url,
        headers,
        body: Secret::copy_of(b""),
        accepts: Accepts {
            timeout: DEADLINE.min(Duration::from_secs(10)),
            max_body: MAX_METADATA,
        },
    }
}

impl Accounts {
    /// The endpoints of a provider whose file leaves them to its issuer; `None` where it does not.
    ///
    /// # Errors
    /// [`DiscoveryFault`].
    pub(super) async fn endpoints(
        &self,
        org: OrgId,
        (provider, bound): (&Provider, &Bound),
        now: Timestamp,
    ) -> Result<Option<Arc<Endpoints>>, DiscoveryFault> {
        let how = provider.spec().discovery;
        if how == Discovery::None {
            return Ok(None);
        }
        let issuer = issuer_of(provider, bound).map_err(|_| DiscoveryFault::Unusable)?;
        let issuer = issuer.ok_or(DiscoveryFault::Unusable)?;
        let key = (org, issuer);
        let known = self.discovered.with(|tables| {
            let known = tables.endpoints.get(&key);
            known.and_then(|known| known.fresh(now, KEPT))
        });
        if known.is_some() {
            return Ok(known);
        }
        let url = metadata_url(&key.1, how).map_err(|_| DiscoveryFault::Unusable)?;
        let body = self.fetch(org, url).await?;
        let read = body.expose(|body| read_metadata(&key.1, body, provider.reach()));
        let what = Arc::new(read.map_err(|_| DiscoveryFault::Unusable)?);
        let known = Known {
            what: Arc::clone(&what),
            fetched: now,
        };
        self.discovered
            .with(|tables| tables.endpoints.insert(key, known));
        Ok(Some(what))
    }

    /// Where a person is sent by a provider whose file leaves that to its issuer, and whether the
    /// issuer's answers name it; `None` where the file says. Sealing does not wait for the issuer.
    ///
    /// # Errors
    /// [`DiscoveryFault`].
    pub async fn authorize_page(
        &self,
        vault: &Unsealed,
        org: OrgId,
        about: (&Provider, &Bound),
    ) -> Result<Option<(Url, bool)>, DiscoveryFault> {
        let finding = Box::pin(self.endpoints(org, about, vault.now()));
        let found = vault.while_open(finding);
        let found = found.await.map_err(|_| DiscoveryFault::Sealed)?;
        let Some(endpoints) = found? else {
            return Ok(None);
        };
        let page = endpoints.authorization.clone();
        let page = page.ok_or(DiscoveryFault::Unusable)?;
        Ok(Some((page, endpoints.iss_parameter_supported)))
    }

    /// The keys of an issuer; fetched anew, at most once a minute, when one was `missing` among them.
    ///
    /// # Errors
    /// [`DiscoveryFault`].
    pub(super) async fn keys(
        &self,
        org: OrgId,
        endpoints: &Endpoints,
        missing: bool,
        now: Timestamp,
    ) -> Result<Option<Arc<Jwks>>, DiscoveryFault> {
        let Some(url) = endpoints.jwks_uri.clone() else {
            return Ok(None);
        };
        let key = (org, endpoints.issuer.clone());
        let kept = if missing { AGAIN } else { KEPT };
        let known = self.discovered.with(|tables| {
            let known = tables.keys.get(&key);
            known.and_then(|known| known.fresh(now, kept))
        });
        if known.is_some() {
            return Ok(known);
        }
        let body = self.fetch(org, url).await?;
        let read = body.expose(Jwks::parse);
        let what = Arc::new(read.map_err(|_| DiscoveryFault::Unusable)?);
        let known = Known {
            what: Arc::clone(&what),
            fetched: now,
        };
        self.discovered
            .with(|tables| tables.keys.insert(key, known));
        Ok(Some(what))
    }

    async fn fetch(&self, org: OrgId, url: Url) -> Result<Secret, DiscoveryFault> {
        let sent = self.outbound.send(org, get(url)).await;
        let reply = sent.map_err(DiscoveryFault::Silent)?;
        if reply.status == 200 {
            Ok(reply.body)
        } else {
            Err(DiscoveryFault::Unusable)
        }
    }
}
