//! A connected account: what taking its token, fresh, costs beside taking a secret.
//!
//! The account is connected by a device flow at a provider of this process.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::routing::{get, post};
use axum::{Json, Router};
use http::HeaderMap;
use runtools_broker::http::serve::{Listener, ServeLimits, Shutdown, Unobserved, serve};
use serde_json::json;

use crate::Effort;
use crate::load::{self, Outcome};
use crate::report::Report;
use crate::requests::report_rate;
use crate::servers::{Broker, Server};

const PROVIDER: &str = r#"
schema = 1
id = "bench"
display_name = "Bench"
revoke_reason = "A bench has nothing to take back."
[authorize]
url = "http://ADDR/authorize"
[token]
url = "http://ADDR/token"
client_auth = "post"
[device]
url = "http://ADDR/device"
[identity]
url = "http://ADDR/me"
id = "/id"
[api]
hosts = ["127.0.0.1"]
"#;

/// A provider that agrees to everything. A code is the name of the account that it is for.
fn provider() -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
            sender.send(listener.addr().unwrap()).unwrap();
            let device = json!({
                "device_code": "a-device-code", "user_code": "WDJB-MJHT", "interval": 1,
                "verification_uri": "http://127.0.0.1:9/device", "expires_in": 60,
            });
            let tokens = async |asked: String| {
                let mut asked = asked.split('&');
                let code = asked.find_map(|pair| pair.strip_prefix("code="));
                Json(json!({
                    "access_token": format!("an-access-token-0123456789-{}", code.unwrap_or("1")),
                    "token_type": "bearer", "expires_in": 3600,
                    "refresh_token": "a-refresh-token-0123456789",
                }))
            };
            let me = async |headers: HeaderMap| {
                let shown = headers.get("authorization");
                let shown = shown.and_then(|shown| shown.to_str().ok()?.rsplit('-').next());
                Json(json!({ "id": shown }))
            };
            let router = Router::new()
                .route("/device", post(async || Json(device)))
                .route("/token", post(tokens))
                .route("/me", get(me));
            let (limits, end) = (ServeLimits::default(), Shutdown::new());
            serve(vec![listener], router, limits, end, Arc::new(Unobserved)).await;
        });
    });
    receiver.recv().unwrap()
}

/// A broker with a client at a provider of this process, `bench`.
pub(crate) fn stage() -> (Broker, SocketAddr) {
    let addr = provider();
    let broker = Broker::with(|folder: &Path| {
        let providers = folder.join("providers");
        std::fs::create_dir(&providers).unwrap();
        let text = PROVIDER.replace("ADDR", &addr.to_string());
        std::fs::write(providers.join("bench.toml"), text).unwrap();
        format!("[oauth]\nproviders_dir = {providers:?}\nprivate = [\"127.0.0.1/32\"]\n")
    });
    let client = r#"{"provider":"bench","clientId":"id","clientSecret":"a-client-secret"}"#;
    broker.operator("POST", "/v1/oauth/configs", client);
    (broker, addr)
}

fn connect(broker: &Broker) {
    broker.operator("POST", "/v1/oauth/device/start/bench", "{}");
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let all = broker.operator("GET", "/v1/oauth/connections", "");
        if all["data"][0]["status"] == "active" {
            return;
        }
        assert!(Instant::now() < end, "not connected: {all}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn tool(slug: &str, port: u16, credentials: &str) -> String {
    format!(
        r#"{{"slug":"{slug}","name":"B","credentialsJson":{credentials},
        "bindings":[{{"scheme":"http","hosts":["127.0.0.1"],"port":{port},"private":["127.0.0.1/32"],
        "methods":["GET"],"paths":["/hello"],
        "slots":{{"token":[{{"header":"authorization","format":"Bearer {{token}}"}}]}}}}],
        "actionsJson":{{"x":{{"description":"x","parameters":{{"type":"object","properties":{{}}}},
        "http":{{"method":"GET","url":"http://127.0.0.1:{port}/hello"}}}}}}}}"#
    )
}

pub(crate) fn measure(effort: Effort<'_>, report: &mut Report) {
    const TITLE: &str =
        "Taking the token of a connected account (fresh: the fast path), against taking a secret";
    const HEAD: [&str; 7] = [
        "what",
        "clients",
        "requests/s",
        "p50 µs",
        "p99 µs",
        "CPU µs",
        "CPU of taking a secret",
    ];
    let upstream = Server::hello(300);
    let port = upstream.addr.port();
    let (broker, _) = stage();
    connect(&broker);
    let field = r#""required":["token"],"schema":{"token":{"type":"string","description":"t"}}"#;
    let by_account = format!(
        r#"{{{field},"oauth":{{"provider":"bench","scopes":[],"credentialMapping":{{"token":"access_token"}}}}}}"#
    );
    let by_secret = format!("{{{field}}}");
    for (slug, credentials) in [("by-account", by_account), ("by-secret", by_secret)] {
        broker.operator("POST", "/v1/tools/custom", &tool(slug, port, &credentials));
    }
    let secret = r#"{"name":"BY_SECRET_TOKEN","value":"sk_live_0123456789abcdefghij"}"#;
    broker.operator("POST", "/v1/secrets", secret);
    let key = Some(broker.key.as_str());
    let ours = (broker.addr(), broker.server.pid());
    let mut say = |what: &str, clients: usize, run: &Outcome, floor: Option<&Outcome>| {
        let row = [
            what.to_owned(),
            clients.to_string(),
            report_rate(run.rate),
            format!("{:.0}", run.p50),
            format!("{:.0}", run.p99),
            format!("{:.1}", run.cpu),
            floor.map_or_else(String::new, |floor| format!("{:.2}", run.cpu / floor.cpu)),
        ];
        report.row(TITLE, &HEAD, &row);
    };
    for clients in [1, 64] {
        for (what, path, body) in [
            ("explain", "explain", "{}"),
            ("execute", "execute", r#"{"action":"x","params":{}}"#),
        ] {
            let at = |slug: &str| {
                let path = format!("/v1/tools/{slug}/{path}").leak();
                let make = load::same("POST", path, key, body);
                load::run(ours.0, ours.1, clients, effort.time, &make)
            };
            let floor = at("by-secret");
            say(&format!("{what}, a secret"), clients, &floor, None);
            let run = at("by-account");
            say(&format!("{what}, an account"), clients, &run, Some(&floor));
        }
    }
}
