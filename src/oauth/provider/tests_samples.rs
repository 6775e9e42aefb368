//! Four files that use most of the format, and how to break them.

use super::{Provider, ProviderError, Reach};

pub(super) const GOOGLE: &str = r#"
schema = 1
id = "google"
display_name = "Google"
issuer = "https://accounts.google.com"
hosts_reason = "its authorization page is on google.com, its API on googleapis.com"
[authorize]
url = "https://accounts.google.com/o/oauth2/v2/auth"
params = { access_type = "offline", include_granted_scopes = "true" }
select_account_params = { prompt = "select_account consent" }
reconnect_params = { prompt = "consent" }
[token]
url = "https://oauth2.googleapis.com/token"
client_auth = "post"
[refresh]
rotates = "never"
idle_limit_days = 180
[[revoke]]
when = "last_connection"
url = "https://oauth2.googleapis.com/revoke"
auth = "none"
scope = "grant"
[identity]
url = "https://openidconnect.googleapis.com/v1/userinfo"
id = "/sub"
name = ["/email", "/name"]
[api]
hosts = ["*.googleapis.com"]
[scopes]
default = ["openid", "email", "profile"]
available = [{ scope = "https://www.googleapis.com/auth/calendar", label = "Calendars" }]
"#;

pub(super) const SLACK: &str = r#"
schema = 1
id = "slack"
display_name = "Slack"
revoke_reason = "one call per token, and this sample makes none"
[params.team]
position = "query"
pattern = "T[A-Z0-9]+"
[authorize]
url = "https://slack.com/oauth/v2/authorize"
scope_separator = ","
extra_scope_params = { user = "user_scope" }
pkce = "optional"
params = { team = "{params.team}" }
[token]
url = "https://slack.com/api/oauth.v2.access"
[token.response]
success = { pointer = "/ok", equals = true }
secondary = [{ name = "user", root = "/authed_user", optional = true }]
[token.errors]
invalid_refresh_token = "revoked"
[refresh]
rotates = "always"
[identity]
source = "token_response"
id = "{/team/id}:{/authed_user/id}"
name = ["/team/name"]
[api]
hosts = ["slack.com"]
[scopes]
default = ["channels:read"]
required = ["chat:write"]
"#;

pub(super) const SHOPIFY: &str = r#"
schema = 1
id = "shopify"
display_name = "Shopify"
[params.shop]
pattern = "[a-z0-9][a-z0-9-]{0,60}"
normalize = ["trim", "lower", "strip_suffix(.myshopify.com)"]
position = "host_label"
required = true
[authorize]
url = "https://{params.shop}.myshopify.com/admin/oauth/authorize"
scope_separator = ","
pkce = "off"
pkce_reason = "unknown parameters are refused"
[callback.signature]
alg = "hmac-sha256"
encoding = "hex"
over = "sorted_query"
exclude = ["hmac"]
key = "client_secret"
max_age_param = "timestamp"
max_age_s = 300
[callback_capture]
shop = { query = "shop", must_equal = "{params.shop}.myshopify.com", required = true }
[token]
url = "https://{params.shop}.myshopify.com/admin/oauth/access_token"
client_auth = "post"
params = { expiring = "1" }
[refresh]
rotates = "always"
[[revoke]]
url = "https://{params.shop}.myshopify.com/admin/api_permissions/current.json"
method = "DELETE"
auth = "none"
body = "empty"
token = "access"
scope = "install"
headers = { X-Shopify-Access-Token = "{access_token}" }
[identity]
url = "https://{params.shop}.myshopify.com/admin/api/2026-10/shop.json"
auth_scheme = "Bearer"
id = "/shop/id"
name = ["/shop/name"]
[api]
header = "X-Shopify-Access-Token"
value = "{access_token}"
hosts = ["{params.shop}.myshopify.com"]
[scopes]
default = ["read_products"]
"#;

pub(super) const CODEX: &str = r#"
schema = 1
id = "openai-codex"
display_name = "ChatGPT"
kind = "device"
issuer = "https://auth.openai.com"
[device]
style = "code_handoff"
url = "{issuer}/api/accounts/deviceauth/usercode"
token_url = "{issuer}/api/accounts/deviceauth/token"
body = "json"
verification_uri = "{issuer}/codex/device"
max_wait_s = 900
pending_statuses = [403, 404]
request = { client_id = "{client_id}" }
reply = { handle = "/device_auth_id", user_code = ["/user_code", "/usercode"] }
poll = { device_auth_id = "{handle}", user_code = "{user_code}" }
handoff = { code = "/authorization_code", verifier = "/code_verifier", redirect_uri = "{issuer}/deviceauth/callback" }
[token]
url = "https://auth.openai.com/oauth/token"
client_auth = "none"
[refresh]
rotates = "always"
[[revoke]]
url = "https://auth.openai.com/oauth/revoke"
body = "json"
auth = "none"
hint = true
[identity]
source = "id_token"
id = "/https:~1~1api.openai.com~1auth/chatgpt_account_id"
name = ["/email"]
[api]
hosts = ["chatgpt.com"]
"#;

/// One with every kind of host: a whole one, the end of one, and a captured origin.
pub(super) const HOSTED: &str = r#"
schema = 1
id = "hosted"
display_name = "Hosted"
hosts_reason = "the accounts server arrives with the callback"
revoke_reason = "none is known"
[params.host]
position = "host"
default = "git.example.com"
normalize = ["trim", "lower", "host_only"]
[params.dc]
position = "host"
enum = ["com", "com.au"]
default = "com"
[params.sub]
position = "host_label"
required = true
[params.tenant]
position = "path_segment"
default = "common"
[authorize]
url = "https://{params.host}/{params.tenant}/authorize"
[callback_capture.accounts]
query = "accounts-server"
kind = "origin"
host_suffixes = [".zoho.com", ".zoho.com.au"]
required = true
[callback_capture.realm]
query = "realmId"
pattern = "[0-9]+"
[token_capture.instance]
pointer = "/instance_url"
kind = "origin"
host_suffixes = [".salesforce.com"]
required = true
[token_capture.number]
pointer = "/number"
[token]
url = "{meta.accounts}/oauth/v2/token"
[refresh]
url = "https://accounts.zoho.{params.dc}/oauth/v2/token"
[identity]
url = "{meta.instance}/me?number={meta.number}"
id = "/id"
[api]
base_url = "{meta.instance}/api"
hosts = ["{meta.instance}", "{params.sub}.zoho.com", "*.zohoapis.com"]
extra_headers = { X-Client = "{client_id}" }
"#;

pub(super) fn load(text: &str) -> Result<Provider, ProviderError> {
    load_with(text, &Reach::public())
}

/// This machine, and nothing else.
pub(super) fn local() -> Reach {
    Reach::within(&["127.0.0.1/32".parse().unwrap()])
}

pub(super) fn load_with(text: &str, reach: &Reach) -> Result<Provider, ProviderError> {
    let id = text.lines().find_map(|line| line.strip_prefix("id = "));
    let file = format!("{}.toml", id.unwrap().trim_matches('"'));
    Provider::read(&file, text, reach)
}

/// The file with `old` once replaced by `new`.
#[track_caller]
pub(super) fn edited(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old}");
    text.replace(old, new)
}

#[test]
fn the_samples_load() {
    for text in [GOOGLE, SLACK, SHOPIFY, CODEX, HOSTED] {
        if let Err(error) = load(text) {
            panic!("{error}");
        }
    }
}

#[test]
fn the_issuer_is_written_where_it_is_named() {
    let codex = load(CODEX).unwrap();
    let device = codex.spec().device.as_ref().unwrap();
    assert_eq!(
        device.url.as_ref().unwrap().as_str(),
        "https://auth.openai.com/api/accounts/deviceauth/usercode"
    );
    assert_eq!(device.reply.handle.len(), 1);
    assert_eq!(device.reply.user_code.len(), 2);
}
