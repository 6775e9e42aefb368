//! Connecting an account in a browser: on this machine, or on another.

use std::time::Duration;

use http::{HeaderValue, Method};
use runtools_broker::client::{
    Client, ClientError, Exit, Loopback, Opener, Returned, Route, Session, body, not_connected,
};
use runtools_broker::crypto::SystemRandom;
use runtools_broker::wire::{Done, FinishFlow, Flow, StartedFlow};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};
use url::Url;

use crate::oauth_connect::{Came, ConnectArgs, Patience, start};

/// How often the broker is asked how far the flow is.
const EVERY: Duration = Duration::from_secs(2);
/// How long the broker may take to hear that the flow is given up.
const FAREWELL: Duration = Duration::from_secs(5);

/// A flow that was begun, and is followed to its end.
struct Course<'a> {
    flow: &'a str,
    provider: &'a str,
    client: &'a Client,
    session: &'a Session,
    stage: String,
    patience: Patience,
}

/// Connects in a browser on this machine, which comes back to a port of ours.
pub(crate) async fn here(
    args: &ConnectArgs,
    opener: Option<Opener>,
    client: &Client,
    session: &Session,
) -> Result<Came, ClientError> {
    let mut interrupt = interrupt()?;
    let loopback = Loopback::open(&SystemRandom).await?;
    let route = start(args)?.with("redirect_uri", loopback.redirect_uri());
    let started: StartedFlow = client.get(&route).await?;
    let page = page(&started)?;
    let onward = onward(&page, &started.flow)?;
    session.out.waits(&started)?;
    session.out.instruct(&format!(
        "Open this page if your browser does not:\n  {page}"
    ));
    // Its command line is everybody's to read, and the page's address is for this user alone.
    let opener = opener.map(|mut opener| {
        opener.open(&loopback.start());
        opener
    });
    let mut course = Course::of(args, &started, client, session);
    let visit = loopback.wait(&started.flow, header(&page)?, onward);
    tokio::select! {
        came = course.with_browser(opener, visit) => came,
        _ = interrupt.recv() => course.give_up(&mut interrupt).await,
    }
}

/// Connects in a browser on any machine, whose page asks for a code that is shown here.
pub(crate) async fn elsewhere(
    args: &ConnectArgs,
    client: &Client,
    session: &Session,
) -> Result<Came, ClientError> {
    let mut interrupt = interrupt()?;
    let started: StartedFlow = client.get(&start(args)?).await?;
    let page = page(&started)?;
    session.out.waits(&started)?;
    session.out.instruct(&format!(
        "Open this page in a browser, on any machine:\n  {page}"
    ));
    if let Some(code) = &started.code {
        session.out.instruct(&format!(
            "and type this code there; it is for you alone:\n  {code}"
        ));
    }
    if session.env().over_ssh
        && let Some(forward) = forward(&page)
    {
        session.out.hint(forward);
    }
    let mut course = Course::of(args, &started, client, session);
    tokio::select! {
        came = course.poll_to_end() => came,
        _ = interrupt.recv() => course.give_up(&mut interrupt).await,
    }
}

/// Ctrl-C, from now on: the flow is ended, not only this program.
pub(crate) fn interrupt() -> Result<Signal, ClientError> {
    signal(SignalKind::interrupt()).map_err(|error| ClientError::file("the signals", &error))
}

/// Waits until the broker heard that a flow is given up, but not for long, nor past another Ctrl-C.
pub(crate) async fn farewell(
    told: impl Future<Output = Result<Done, ClientError>>,
    interrupt: &mut Signal,
) -> Result<Came, ClientError> {
    tokio::select! {
        // If it was not told, the flow ends by itself within minutes.
        told = timeout(FAREWELL, told) => drop(told),
        _ = interrupt.recv() => {}
    }
    Err(ClientError::Cancelled)
}

/// The page, which has to be one of the web: it is opened, and shown.
fn page(started: &StartedFlow) -> Result<Url, ClientError> {
    Url::parse(&started.auth_url)
        .ok()
        .filter(|page| matches!(page.scheme(), "https" | "http"))
        .ok_or(ClientError::NotAnAnswer { status: 200 })
}

fn header(page: &Url) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_str(page.as_str()).map_err(|_| ClientError::NotAnAnswer { status: 200 })
}

/// The page that says how the flow ended, for the browser to show at last.
fn onward(page: &Url, flow: &str) -> Result<HeaderValue, ClientError> {
    let mut result = page.clone();
    result.set_query(None);
    result.set_fragment(None);
    if let Ok(mut path) = result.path_segments_mut() {
        path.clear().extend(["connect", flow, "result"]);
    }
    HeaderValue::try_from(result.as_str()).map_err(|_| ClientError::NotAnAnswer { status: 200 })
}

/// How a browser at the other end of an SSH session gets to a page on this machine.
fn forward(page: &Url) -> Option<String> {
    let host = page.host_str()?;
    let here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let port = page.port_or_known_default()?;
    here.then(|| {
        format!("the page is on this machine: on yours, run `ssh -N -L {port}:127.0.0.1:{port} HOST` first")
    })
}

impl<'a> Course<'a> {
    fn of(
        args: &'a ConnectArgs,
        started: &'a StartedFlow,
        client: &'a Client,
        session: &'a Session,
    ) -> Self {
        Self {
            flow: &started.flow,
            provider: args.provider.as_str(),
            client,
            session,
            stage: "waiting".to_owned(),
            patience: Patience::default(),
        }
    }

    fn route(&self) -> Route {
        Route::new("/v1/oauth/flows").then(self.flow)
    }

    /// Waits for the browser, and looks at the flow meanwhile: it may fail on the way.
    async fn with_browser(
        &mut self,
        mut opener: Option<Opener>,
        visit: impl Future<Output = Returned>,
    ) -> Result<Came, ClientError> {
        let mut visit = std::pin::pin!(visit);
        loop {
            tokio::select! {
                returned = &mut visit => return match returned {
                    Returned::Ticket(ticket) => self.finish(ticket).await,
                    Returned::Error(code) => Err(not_connected(&code, self.provider)),
                },
                () = sleep(EVERY) => if let Some(came) = self.look().await? {
                    return Ok(came);
                },
            }
            if opener.as_mut().is_some_and(Opener::failed) {
                opener = None;
                self.session
                    .out
                    .note("no browser could be started here; open the page yourself");
            }
        }
    }

    /// Looks at the flow until it has ended.
    async fn poll_to_end(&mut self) -> Result<Came, ClientError> {
        loop {
            sleep(EVERY).await;
            if let Some(came) = self.look().await? {
                return Ok(came);
            }
        }
    }

    async fn finish(&mut self, ticket: String) -> Result<Came, ClientError> {
        let body = body::secret(&FinishFlow { ticket })?;
        let route = self.route().then("finish");
        let flow: Flow = self.client.call(Method::POST, &route, Some(body)).await?;
        match self.ended(flow)? {
            Some(came) => Ok(came),
            None => self.poll_to_end().await,
        }
    }

    /// Asks once how far the flow is.
    async fn look(&mut self) -> Result<Option<Came>, ClientError> {
        let asked = self.client.get(&self.route()).await;
        let flow: Flow = match self.patience.heard(asked) {
            Ok(Some(flow)) => flow,
            Ok(None) => return Ok(None),
            Err(error) if error.exit() == Exit::NotFound => {
                return Err(not_connected("flow_gone", self.provider));
            }
            Err(error) => return Err(error),
        };
        if flow.status != self.stage {
            if let Some(words) = progress(&flow.status) {
                self.session.out.note(words);
            }
            flow.status.clone_into(&mut self.stage);
        }
        self.ended(flow)
    }

    fn ended(&self, flow: Flow) -> Result<Option<Came>, ClientError> {
        match flow.status.as_str() {
            "connected" => Ok(Some(Came {
                connection: flow.connection_id,
                account: flow.account,
                missing: flow.missing_scopes,
            })),
            "failed" => {
                let code = flow.error.as_deref().unwrap_or("internal_error");
                Err(not_connected(code, self.provider))
            }
            "expired" => Err(not_connected("expired", self.provider)),
            _ => Ok(None),
        }
    }

    /// Ends the flow, so that nobody can agree to it any more.
    async fn give_up(&self, interrupt: &mut Signal) -> Result<Came, ClientError> {
        let route = self.route();
        let told = self.client.call::<Done>(Method::DELETE, &route, None);
        farewell(told, interrupt).await
    }
}

/// What a person wants to know on the way.
fn progress(status: &str) -> Option<&'static str> {
    Some(match status {
        "opened" => "the page is open in a browser",
        "confirmed" => "agreed; the browser is at the provider",
        "returned" => "the provider has answered",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use runtools_broker::wire::StartedFlow;
    use url::Url;

    use super::{forward, onward, page};

    fn started(auth_url: &str) -> StartedFlow {
        let text = serde_json::json!({
            "authUrl": auth_url, "flow": "F1", "provider": "github",
            "expiresAt": "2026-11-23T09:30:00Z",
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn the_browser_ends_at_the_broker_s_own_page() {
        let page = page(&started("https://broker.example:8420/connect/F1?x=1#y")).unwrap();
        assert_eq!(
            onward(&page, "F/1").unwrap(),
            "https://broker.example:8420/connect/F%2F1/result"
        );
    }

    #[test]
    fn only_a_page_of_the_web_is_opened() {
        for bad in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "",
            "connect/F1",
        ] {
            assert!(page(&started(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn n2_over_ssh_a_page_on_the_far_machine_is_told_how_to_reach() {
        let words = |url| forward(&Url::parse(url).unwrap());
        let told = words("http://127.0.0.1:8420/connect/F1").unwrap();
        assert!(told.contains("-L 8420:127.0.0.1:8420"), "{told}");
        assert!(words("https://broker.example/connect/F1").is_none());
    }
}
