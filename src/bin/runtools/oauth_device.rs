//! Connecting an account with a code that is typed at the provider (RFC 8628).

use std::time::Duration;

use http::Method;
use runtools_broker::client::text::minute;
use runtools_broker::client::{
    Client, ClientError, Exit, Route, Session, body, not_connected, picture,
};
use runtools_broker::clock::Timestamp;
use runtools_broker::wire::{DeviceStatus, DeviceStatusOf, Done, StartDevice, StartedDevice};
use serde::Serialize;
use tokio::signal::unix::Signal;
use tokio::time::sleep;

use crate::oauth_browser::{farewell, interrupt};
use crate::oauth_connect::{Came, ConnectArgs, Patience};

/// The longest time between two looks, in seconds, whatever a provider wishes.
const SELDOM: u32 = 300;

/// What is shown of an attempt. What it is asked about with stays here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    provider: &'a str,
    verification_uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_uri_complete: Option<&'a str>,
    user_code: &'a str,
    expires_at: Timestamp,
}

impl<'a> Shown<'a> {
    fn of(started: &'a StartedDevice) -> Self {
        Self {
            provider: &started.provider,
            verification_uri: &started.verification_uri,
            verification_uri_complete: started.verification_uri_complete.as_deref(),
            user_code: &started.user_code,
            expires_at: started.expires_at,
        }
    }
}

/// Shows the code and waits until somebody has typed it.
pub(crate) async fn connect(
    args: &ConnectArgs,
    client: &Client,
    session: &Session,
) -> Result<Came, ClientError> {
    let mut interrupt = interrupt()?;
    let body = body::plain(&StartDevice {
        scopes: args.scopes(),
        params: args.params(),
        reconnect: args.reconnect,
    })?;
    let route = Route::new("/v1/oauth/device/start").then(args.provider.as_str());
    let started: StartedDevice = client.call(Method::POST, &route, Some(body)).await?;
    session.out.waits(&Shown::of(&started))?;
    show(&started, session);
    tokio::select! {
        came = wait(args, &started, client) => came,
        _ = interrupt.recv() => give_up(args, &started, client, &mut interrupt).await,
    }
}

/// Ends the attempt, so that a code that is typed later connects nothing.
async fn give_up(
    args: &ConnectArgs,
    started: &StartedDevice,
    client: &Client,
    interrupt: &mut Signal,
) -> Result<Came, ClientError> {
    let route = Route::new("/v1/oauth/device/cancel").then(args.provider.as_str());
    let body = body::secret(&DeviceStatusOf {
        attempt_token: started.attempt_token.clone(),
    })?;
    let told = client.call::<Done>(Method::POST, &route, Some(body));
    farewell(told, interrupt).await
}

fn show(started: &StartedDevice, session: &Session) {
    let out = &session.out;
    out.instruct(&format!(
        "Open this page on any device:\n  {}\nand type this code there; it is for you alone:\n  {}",
        started.verification_uri, started.user_code
    ));
    let whole = started.verification_uri_complete.as_ref();
    let address = whole.unwrap_or(&started.verification_uri);
    let drawn = out
        .picture_width()
        .and_then(|width| picture(address, width));
    if let Some(picture) = drawn {
        out.instruct(&format!("or point a camera at this:\n{picture}"));
    }
    out.note(format!(
        "the code is good until {} (UTC)",
        minute(started.expires_at)
    ));
}

async fn wait(
    args: &ConnectArgs,
    started: &StartedDevice,
    client: &Client,
) -> Result<Came, ClientError> {
    let provider = args.provider.as_str();
    let route = Route::new("/v1/oauth/device/status").then(provider);
    let mut interval = started.interval;
    let mut patience = Patience::default();
    loop {
        sleep(pause(interval)).await;
        let body = body::secret(&DeviceStatusOf {
            attempt_token: started.attempt_token.clone(),
        })?;
        let asked = client.call(Method::POST, &route, Some(body)).await;
        let status: DeviceStatus = match patience.heard(asked) {
            Ok(Some(status)) => status,
            Ok(None) => continue,
            Err(error) if error.exit() == Exit::NotFound => {
                return Err(not_connected("flow_gone", provider));
            }
            Err(error) => return Err(error),
        };
        interval = status.interval;
        match status.status.as_str() {
            "connected" => {
                return Ok(Came {
                    connection: status.connection_id,
                    account: status.account,
                    missing: status.missing_scopes,
                });
            }
            "denied" => return Err(not_connected("access_denied", provider)),
            "expired" => return Err(not_connected("expired", provider)),
            "failed" => {
                let code = status.error.as_deref().unwrap_or("internal_error");
                return Err(not_connected(code, provider));
            }
            _ => {}
        }
    }
}

/// Never faster than the provider wishes (D1), and never so seldom that nobody notices the end.
fn pause(interval: u32) -> Duration {
    Duration::from_secs(interval.clamp(1, SELDOM).into())
}

#[cfg(test)]
mod tests {
    use super::pause;

    #[test]
    fn d1_the_provider_s_interval_is_kept() {
        assert_eq!(
            [0, 5, 10, 4_000_000].map(|s| pause(s).as_secs()),
            [1, 5, 10, 300]
        );
    }
}
