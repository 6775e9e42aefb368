//! What a client of the peer does, written by hand: a test is one to find out what a token is worth.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::oidc::Peer;
use super::{Canaries, Client, Reply};

/// A client that the peer knows.
#[derive(Clone, Debug)]
pub struct PeerClient {
    pub id: String,
    /// Empty for the public client; a private JWK for one with a key.
    pub secret: String,
    /// `basic`, `post`, `key` or `none`.
    pub auth: &'static str,
}

impl Peer {
    /// The page of an authorization request, with consent asked for, as a client would write it.
    pub fn authorize_url(
        &self,
        client: &PeerClient,
        redirect_uri: &str,
        scope: &str,
        state: &str,
        verifier: &str,
    ) -> String {
        let mut url = url::Url::parse(&format!("{}/auth", self.origin())).unwrap();
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &client.id),
            ("redirect_uri", redirect_uri),
            ("scope", scope),
            ("state", state),
            ("code_challenge", &challenge(verifier)),
            ("code_challenge_method", "S256"),
            ("prompt", "consent"),
        ]);
        url.into()
    }

    /// A request of a client of ours: `/token`, `/token/revocation`, `/device/auth` … `Err` when no
    /// answer came.
    pub fn call(
        &self,
        client: &PeerClient,
        path: &str,
        params: &[(&str, &str)],
    ) -> Result<Reply, String> {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(params);
        let mut http = Client::origin(&self.origin());
        match client.auth {
            "basic" => http = http.header("authorization", &client.basic()),
            "post" => {
                body.append_pair("client_id", &client.id);
                body.append_pair("client_secret", &client.secret);
            }
            _ => {
                body.append_pair("client_id", &client.id);
            }
        }
        let kind = "application/x-www-form-urlencoded";
        http.try_send("POST", path, Some((kind, body.finish().as_bytes())))
    }

    /// Whom an access token is for; refused with 401 when it is not good.
    pub fn userinfo(&self, access_token: &str) -> Reply {
        Client::origin(&self.origin())
            .header("authorization", &format!("Bearer {access_token}"))
            .get("/me")
    }

    /// Whether a token is good, by the peer's own word.
    pub fn is_active(&self, token: &str) -> bool {
        let answer = self.call(&self.basic(), "/token/introspection", &[("token", token)]);
        answer.unwrap().expect(200)["active"].as_bool().unwrap()
    }

    /// A provider file for it: `tests/fixtures/oauth/{template}.toml`, under the id `id`.
    pub fn provider_file(&self, template: &str, id: &str) -> String {
        provider_file(template, id, self.port())
    }
}

/// A template of `tests/fixtures/oauth` for a provider on a port of this machine, under an id.
pub fn provider_file(template: &str, id: &str, port: u16) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oauth");
    let text = std::fs::read_to_string(folder.join(format!("{template}.toml"))).unwrap();
    text.replace("@ID@", id)
        .replace("@PORT@", &port.to_string())
}

/// The S256 challenge of a verifier (RFC 7636).
pub fn challenge(verifier: &str) -> String {
    use sha2::Digest as _;
    URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(verifier))
}

pub(super) fn clients() -> Vec<PeerClient> {
    let mut canaries = Canaries::new();
    let mut client = |id: &str, auth| PeerClient {
        id: id.to_owned(),
        secret: match auth {
            "none" => String::new(),
            _ => canaries.value(),
        },
        auth,
    };
    vec![
        client("peer-basic", "basic"),
        client("peer-post", "post"),
        client("peer-native", "none"),
    ]
}

impl PeerClient {
    pub(super) fn described(&self, redirect_uris: &[String]) -> Value {
        json!({
            "id": self.id, "secret": self.secret, "auth": self.auth, "redirect_uris": redirect_uris,
        })
    }

    /// The header of HTTP Basic, its halves form-encoded first (RFC 6749, 2.3.1).
    pub fn basic(&self) -> String {
        let encode = |text: &str| -> String {
            url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
        };
        let pair = format!("{}:{}", encode(&self.id), encode(&self.secret));
        format!("Basic {}", STANDARD.encode(pair))
    }
}
