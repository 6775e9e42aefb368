//! Device flows: the questions that are asked of a provider (RFC 8628, and the hand-off of a code that
//! resembles it). When they may be asked, [`DeviceBook`](super::flow::DeviceBook) says; who asks, and what
//! follows from the answers, is in [`attempts`](super::attempts).

use super::accounts::Accounts;
use super::client::Client;
use super::errands::Errand;
use super::flow::{DeviceAnswer, DeviceAsk, DeviceShown, Failure, FlowKey, Outcome};
use super::outbound::Silence;
use super::redeem::{Asked, internal, tokens_of};
use super::token::{
    self, CodeGrant, DeviceError, DeviceStart, HandOff, Poll, Subject, TokenReply, Told,
    code_request, device_request, poll_request, read_device_start, read_poll,
};
use super::unkept::Giver;
use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::vault::{Unsealed, VaultError};

/// What is asked with: the provider's handle, and the client that was opened when the flow was begun.
/// In memory only.
#[derive(Debug)]
pub struct DeviceGrant {
    start: DeviceStart,
    client: Client,
}

/// What came of a question.
#[derive(Debug)]
pub enum DeviceReply {
    /// Nothing yet, or nothing ever.
    Not(DeviceAnswer),
    /// The person agreed: what they granted.
    Granted(DeviceGranted),
}

/// What a person granted, and nobody has stored yet. Sealing waits for what becomes of it.
#[derive(Debug)]
pub struct DeviceGranted {
    what: Granted,
    /// The flow that ends with it.
    attempt: Option<FlowKey>,
    _errand: Errand,
}

/// Tokens, and when they were asked for; or a code that gives some.
#[derive(Debug)]
enum Granted {
    Tokens(Box<TokenReply>, Timestamp),
    Code(Box<HandOff>),
}

impl DeviceGrant {
    /// What a flow was begun with, opened again (D4).
    pub(super) fn again(shown: &DeviceShown, handle: Secret, client: Client) -> Self {
        let start = DeviceStart {
            handle,
            user_code: shown.user_code.clone(),
            verification_uri: shown.verification_uri.clone(),
            verification_uri_complete: shown.verification_uri_complete.clone(),
            interval_s: shown.interval_s,
            expires_at: shown.expires_at,
        };
        Self { start, client }
    }

    /// What the provider is asked with. It goes to the provider, and to disk sealed.
    pub(super) const fn handle(&self) -> &Secret {
        &self.start.handle
    }
}

impl DeviceGranted {
    /// The same, of an attempt: what is stored of that goes in the commit that keeps this.
    pub(super) fn of(self, attempt: FlowKey) -> Self {
        let attempt = Some(attempt);
        Self { attempt, ..self }
    }
}

impl Accounts {
    /// Begins a device flow. It was recorded. Sealing does not wait for the provider: nothing was granted
    /// yet, and a flow that nobody was shown ends by itself.
    ///
    /// # Errors
    /// [`Failure`]: what the person is told.
    pub async fn begin_device(
        &self,
        vault: &Unsealed,
        ask: &DeviceAsk,
        recorded: &Recorded,
    ) -> Result<(DeviceShown, DeviceGrant), Failure> {
        let starting = Box::pin(self.start_device(vault, ask, recorded));
        let begun = vault.while_open(starting);
        begun.await.unwrap_or(Err(Failure::Sealed))
    }

    async fn start_device(
        &self,
        vault: &Unsealed,
        ask: &DeviceAsk,
        recorded: &Recorded,
    ) -> Result<(DeviceShown, DeviceGrant), Failure> {
        let about = (ask.org, &*ask.provider);
        let client = self.client_of(vault, about, &ask.client, recorded).await?;
        let now = vault.now();
        let found = self.endpoints(ask.org, (&ask.provider, &ask.bound), now);
        let endpoints = found.await.map_err(|_| Failure::TryAgain)?;
        let asked = asked(vault, ask, &client, endpoints.as_deref(), recorded);
        let via = asked.via(&ask.bound);
        let request = device_request(&via, &ask.scopes).map_err(|_| Failure::NotEnabled)?;
        let reply = self.ask(&asked, request).await?;
        let start = read_device_start(&via, &reply, now).map_err(|error| match error {
            DeviceError::NotEnabled => Failure::NotEnabled,
            DeviceError::Refused(_) => Failure::Client,
            DeviceError::Form | DeviceError::Page => Failure::Protocol,
        })?;
        let shown = DeviceShown {
            user_code: start.user_code.clone(),
            verification_uri: start.verification_uri.clone(),
            verification_uri_complete: start.verification_uri_complete.clone(),
            interval_s: start.interval_s,
            expires_at: start.expires_at,
        };
        Ok((shown, DeviceGrant { start, client }))
    }

    /// Asks once whether the person agreed. That the client is used for it was recorded when the flow was
    /// begun, and with it every question: a record for each would say the same again, every few seconds.
    pub async fn ask_device(
        &self,
        vault: &Unsealed,
        (ask, grant): (&DeviceAsk, &DeviceGrant),
    ) -> DeviceReply {
        let Some(errand) = self.errands.begin() else {
            return DeviceReply::Not(DeviceAnswer::NoAnswer);
        };
        let now = vault.now();
        let about = (&*ask.provider, &ask.bound);
        let Ok(endpoints) = self.endpoints(ask.org, about, now).await else {
            return DeviceReply::Not(DeviceAnswer::NoAnswer);
        };
        let giver = giver(vault, ask, &grant.client, endpoints.as_deref());
        let via = giver.via(&ask.bound);
        let Ok(request) = poll_request(&via, &grant.start) else {
            return DeviceReply::Not(DeviceAnswer::Ended(Failure::Client));
        };
        let sent = self.outbound.send(ask.org, request).await;
        let told = match &sent {
            Ok(reply) => Told::Reply {
                reply,
                subject: Subject::Device,
            },
            Err(Silence::Unsent(kind) | Silence::Unknown(kind)) => Told::NoReply(*kind),
        };
        let what = match read_poll(&via, told, now) {
            Poll::Tokens(reply) => Granted::Tokens(reply, now),
            Poll::HandOff(handed) => Granted::Code(Box::new(handed)),
            Poll::Pending => return DeviceReply::Not(DeviceAnswer::Pending),
            Poll::SlowDown => return DeviceReply::Not(DeviceAnswer::SlowDown),
            Poll::Later => return DeviceReply::Not(DeviceAnswer::NoAnswer),
            Poll::Denied => return DeviceReply::Not(DeviceAnswer::Ended(Failure::Denied)),
            Poll::Expired => return DeviceReply::Not(DeviceAnswer::Ended(Failure::Expired)),
            Poll::Failed { .. } => {
                return DeviceReply::Not(DeviceAnswer::Ended(Failure::Refused));
            }
        };
        DeviceReply::Granted(DeviceGranted {
            what,
            attempt: None,
            _errand: errand,
        })
    }

    /// Redeems the code that a person's agreement gave, once (D5).
    async fn redeem_handed(
        &self,
        vault: &Unsealed,
        (ask, grant): (&DeviceAsk, &DeviceGrant),
        handed: &HandOff,
        recorded: &Recorded,
    ) -> Result<(TokenReply, Timestamp), Failure> {
        let now = vault.now();
        let found = self.endpoints(ask.org, (&ask.provider, &ask.bound), now);
        let endpoints = found.await.map_err(|_| Failure::TryAgain)?;
        let asked = asked(vault, ask, &grant.client, endpoints.as_deref(), recorded);
        let via = asked.via(&ask.bound);
        let via = via.with_redirect_uri(&handed.redirect_uri);
        let code = CodeGrant {
            code: &handed.code,
            verifier: Some(&handed.verifier),
        };
        let request = code_request(&via, &code).map_err(|_| Failure::Client)?;
        let reply = self.ask(&asked, request).await?;
        let what = (Subject::Token, now);
        Ok((tokens_of(&asked, &ask.bound, &reply, what)?, now))
    }

    /// Keeps what a device flow brought. It was recorded.
    ///
    /// # Errors
    /// [`Failure`]; what was granted is revoked.
    pub async fn keep_device(
        &self,
        vault: &Unsealed,
        (ask, client): (&DeviceAsk, &DeviceGrant),
        granted: DeviceGranted,
        recorded: &Recorded,
    ) -> Result<Outcome, Failure> {
        let DeviceGranted {
            what,
            attempt,
            _errand,
        } = granted;
        let (reply, sent) = match what {
            Granted::Tokens(reply, sent) => (*reply, sent),
            Granted::Code(handed) => {
                let about = (ask, client);
                self.redeem_handed(vault, about, &handed, recorded).await?
            }
        };
        let about = (&*ask.provider, &ask.bound);
        let endpoints = self.endpoints(ask.org, about, sent).await;
        let endpoints = endpoints.unwrap_or_default();
        let client = &client.client;
        let asked = Asked {
            ends: attempt,
            ..asked(vault, ask, client, endpoints.as_deref(), recorded)
        };
        self.settle_grant(&asked, reply, sent).await
    }

    /// Has revoked what came after its flow was ended; a code is not redeemed. It was recorded.
    ///
    /// # Errors
    /// [`Failure`] when that could not be stored.
    pub async fn drop_device(
        &self,
        vault: &Unsealed,
        (ask, client): (&DeviceAsk, &DeviceGrant),
        granted: DeviceGranted,
        recorded: &Recorded,
    ) -> Result<(), Failure> {
        let Granted::Tokens(reply, sent) = granted.what else {
            return Ok(());
        };
        let asked = asked(vault, ask, &client.client, None, recorded);
        self.revoke_reply(&asked, *reply, sent).await
    }

    /// Has revoked at once what a device flow brought when that could not be recorded, `error` being why;
    /// a code is not redeemed. What the person is told.
    pub async fn give_back_device(
        &self,
        vault: &Unsealed,
        (ask, client): (&DeviceAsk, &DeviceGrant),
        (granted, error): (DeviceGranted, VaultError),
    ) -> Failure {
        let Granted::Tokens(reply, sent) = granted.what else {
            return internal(&error);
        };
        let about = (&*ask.provider, &ask.bound);
        let endpoints = self.endpoints(ask.org, about, sent).await;
        let endpoints = endpoints.unwrap_or_default();
        let giver = giver(vault, ask, &client.client, endpoints.as_deref());
        let whose = (ask.org, ask.user, &*ask.scopes);
        self.revoke_unrecorded(&giver, whose, *reply, (error, sent))
            .await
    }
}

fn giver<'a>(
    vault: &'a Unsealed,
    ask: &'a DeviceAsk,
    client: &'a Client,
    endpoints: Option<&'a token::Endpoints>,
) -> Giver<'a> {
    Giver {
        vault,
        provider: &ask.provider,
        client,
        endpoints,
    }
}

fn asked<'a>(
    vault: &'a Unsealed,
    ask: &'a DeviceAsk,
    client: &'a Client,
    endpoints: Option<&'a token::Endpoints>,
    recorded: &'a Recorded,
) -> Asked<'a> {
    Asked {
        vault,
        recorded,
        org: ask.org,
        user: ask.user,
        provider: &ask.provider,
        client,
        redirect_uri: None,
        nonce: None,
        scopes: &ask.scopes,
        replaces: ask.replaces,
        ends: None,
        endpoints,
    }
}
