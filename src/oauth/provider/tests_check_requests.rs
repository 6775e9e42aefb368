//! The same for what is sent, and for what a connection needs.
#![expect(
    clippy::too_many_lines,
    clippy::string_slice,
    reason = "a table of broken files is read in one piece, and its texts are plain"
)]

use super::ProviderError;
use super::tests_check::refused;
use super::tests_samples::{CODEX, GOOGLE, SHOPIFY, SLACK, edited, load};

#[test]
fn the_authorization_request_is_ours_to_write() {
    let params = "access_type = \"offline\"";
    for standard in super::authorize::STANDARD {
        let new = format!("{standard} = \"token\"");
        refused(GOOGLE, &[(params, &new, "authorize.params")]);
        let reconnect = format!("reconnect_params = {{ {standard} = \"x\" }}");
        let old = "reconnect_params = { prompt = \"consent\" }";
        refused(GOOGLE, &[(old, &reconnect, "authorize.params")]);
    }
    let at = "[authorize]\n";
    for (line, key) in [
        ("rename = { client_id = \"state\" }", "authorize.rename"),
        ("rename = { prompt = \"x\" }", "authorize.rename"),
        ("rename = { scope = \"x\" }", "authorize.rename"),
        ("rename = { state = \"a&b\" }", "authorize.rename"),
        ("rename = { state = \"access_type\" }", "authorize.params"),
        (
            "extra_scope_params = { user = \"scope\" }",
            "authorize.rename",
        ),
        (
            "extra_scope_params = { \"user:x\" = \"user_scope\" }",
            "authorize.extra_scope_params",
        ),
        ("scope_param = \"state\"", "authorize.rename"),
        ("omit = [\"state\"]", "authorize.omit"),
        ("omit = [\"client_id\"]", "authorize.omit"),
        ("omit = [\"code_challenge\"]", "authorize.omit"),
        ("omit = [\"prompt\"]", "authorize.omit"),
        ("scope_separator = \"%20\"", "authorize.scope_separator"),
        ("scope_separator = \"\"", "authorize.scope_separator"),
        ("pkce = \"off\"", "authorize.pkce_reason"),
    ] {
        refused(GOOGLE, &[(at, &format!("{at}{line}\n"), key)]);
    }
}

#[test]
fn no_file_makes_what_passes_final() {
    for statuses in ["[500]", "[403, 503]", "[100]"] {
        let rule =
            format!("[token.errors]\ngone = {{ class = \"revoked\", statuses = {statuses} }}\n");
        refused(
            GOOGLE,
            &[("[refresh]\n", &format!("{rule}[refresh]\n"), "token.errors")],
        );
    }
}

#[test]
fn a7_no_file_asks_for_anything_but_a_code() {
    let at = "[authorize]\n";
    let url = "https://accounts.google.com/o/oauth2/v2/auth";
    let params = "params = { access_type";
    for kind in ["token", "id_token", "code token", "code", "none"] {
        let written = format!("{url}?response_type={}", kind.replace(' ', "%20"));
        let param = format!("params = {{ response_type = \"{kind}\", access_type");
        let chosen = format!("select_account_params = {{ response_type = \"{kind}\",");
        let again = format!("reconnect_params = {{ response_type = \"{kind}\",");
        refused(
            GOOGLE,
            &[
                (url, &written, "authorize.params"),
                (params, &param, "authorize.params"),
                ("select_account_params = {", &chosen, "authorize.params"),
                ("reconnect_params = {", &again, "authorize.params"),
            ],
        );
    }
    // Nor does another value come in under a name that is turned into it.
    for line in [
        "rename = { scope = \"response_type\" }",
        "rename = { client_id = \"response_type\" }",
        "scope_param = \"response_type\"",
        "extra_scope_params = { user = \"response_type\" }",
    ] {
        refused(
            GOOGLE,
            &[(at, &format!("{at}{line}\n"), "authorize.rename")],
        );
    }
    let renamed = "rename = { response_type = \"type\" }\n";
    let google = load(&edited(
        &edited(GOOGLE, params, "params = { type = \"token\", access_type"),
        at,
        &format!("{at}{renamed}"),
    ));
    assert!(google.is_err(), "a name stands for one thing");
}

#[test]
fn secrets_stand_in_queries_only_where_the_file_says_so() {
    let at = "client_auth = \"post\"\n";
    let query = "client_auth = \"post\"\nmethod = \"GET\"\nbody = \"query\"\n";
    refused(GOOGLE, &[(at, query, "token")]);
    let half = format!("{query}query_secrets_ok = true\n");
    refused(GOOGLE, &[(at, &half, "refresh")]);
    let text = edited(GOOGLE, at, &half);
    let refresh = "[refresh]\nquery_secrets_ok = true";
    assert!(load(&edited(&text, "[refresh]", refresh)).is_ok());
    refused(
        GOOGLE,
        &[
            (
                "auth = \"none\"",
                "auth = \"none\"\nbody = \"query\"",
                "revoke.0",
            ),
            (
                "/v1/userinfo",
                "/v1/userinfo?t={access_token}",
                "identity.url",
            ),
            (
                at,
                "client_auth = \"post\"\nmethod = \"GET\"\n",
                "token.body",
            ),
            (
                at,
                "client_auth = \"post\"\nbasic_username = \"x\"\n",
                "token",
            ),
            (
                at,
                "client_auth = \"post\"\nheaders = { Host = \"x\" }\n",
                "token.headers",
            ),
            (
                at,
                "client_auth = \"post\"\nheaders = { \"a b\" = \"x\" }\n",
                "token.headers",
            ),
            (
                at,
                "client_auth = \"post\"\nparams = { a = \"{refresh_token}\" }\n",
                "token.params.a",
            ),
        ],
    );
}

#[test]
fn what_a_connection_needs_is_there() {
    let revoke = &GOOGLE[GOOGLE.find("[[revoke]]").unwrap()..GOOGLE.find("[identity]").unwrap()];
    let identity = &GOOGLE[GOOGLE.find("[identity]").unwrap()..GOOGLE.find("[api]").unwrap()];
    refused(
        GOOGLE,
        &[
            (revoke, "", "revoke_reason"),
            (identity, "", "identity"),
            ("[api]\nhosts = [\"*.googleapis.com\"]", "", "api.hosts"),
            (
                "hosts = [\"*.googleapis.com\"]",
                "hosts = []\nbase_url = \"https://www.googleapis.com\"",
                "api.hosts",
            ),
            (
                "url = \"https://accounts.google.com/o/oauth2/v2/auth\"",
                "",
                "authorize.url",
            ),
            (
                "url = \"https://oauth2.googleapis.com/token\"",
                "",
                "token.url",
            ),
            (
                "url = \"https://oauth2.googleapis.com/revoke\"",
                "",
                "revoke.0.url",
            ),
            (
                "url = \"https://openidconnect.googleapis.com/v1/userinfo\"",
                "",
                "identity.url",
            ),
            ("id = \"/sub\"", "id = \"sub\"", "identity.id"),
            (
                "id = \"/sub\"",
                "id = \"/sub\"\nauth_scheme = \"Bearer token\"",
                "identity.auth_scheme",
            ),
            (
                "issuer = \"https://accounts.google.com\"",
                "discovery = \"oidc\"",
                "issuer",
            ),
            (
                "[\"*.googleapis.com\"]",
                "[\"*.googleapis.com\"]\nvalue = \"Bearer x\"",
                "api.value",
            ),
            (
                "[\"*.googleapis.com\"]",
                "[\"*.googleapis.com\"]\nheader = \"Cookie\"",
                "api.header",
            ),
            ("\"openid\",", "\"open id\",", "scopes"),
        ],
    );
    refused(
        SLACK,
        &[
            ("name = \"user\"", "name = \"main\"", "token.response"),
            ("\"channels:read\"", "\"channels:read,x\"", "scopes"),
            ("\"chat:write\"", "\"chat\\\"write\"", "scopes"),
        ],
    );
}

#[test]
fn b16_no_signature_counts_for_ever() {
    for line in ["max_age_s = 300", "max_age_param = \"timestamp\""] {
        let missing = load(&edited(SHOPIFY, line, ""));
        assert!(
            matches!(missing, Err(ProviderError::Syntax { .. })),
            "{line}"
        );
    }
}

#[test]
fn signatures_cover_what_matters() {
    refused(
        SHOPIFY,
        &[
            ("max_age_s = 300", "max_age_s = 0", "callback.signature"),
            ("max_age_s = 300", "max_age_s = 3601", "callback.signature"),
            (
                "exclude = [\"hmac\"]",
                "exclude = [\"hmac\", \"timestamp\"]",
                "callback.signature",
            ),
            (
                "exclude = [\"hmac\"]",
                "exclude = [\"hmac\", \"code\"]",
                "callback.signature",
            ),
            (
                "exclude = [\"hmac\"]",
                "exclude = [\"hmac\", \"state\"]",
                "callback.signature",
            ),
            (
                "exclude = [\"hmac\"]",
                "exclude = [\"hmac\", \"shop\"]",
                "callback.signature",
            ),
            (
                "key = \"client_secret\"",
                "key = \"client_secret\"\nparam = \"code\"",
                "callback.signature",
            ),
        ],
    );
    // An answer that carries no state would be anybody's: there is no such kind.
    let (kind, payload) = ("schema = 1", "schema = 1\nkind = \"signed_payload\"");
    assert!(load(&edited(SHOPIFY, kind, payload)).is_err());
}

#[test]
fn a_device_code_stands_in_no_url() {
    let poll = CODEX.lines().find(|line| line.starts_with("poll"));
    let standard = edited(CODEX, poll.unwrap(), "");
    let body = "body = \"json\"\nverification_uri";
    let query = "body = \"query\"\nverification_uri";
    refused(&standard, &[(body, query, "device")]);
}

#[test]
fn device_flows_are_whole() {
    let handoff = CODEX
        .lines()
        .find(|line| line.starts_with("handoff"))
        .unwrap();
    refused(
        CODEX,
        &[
            (handoff, "", "device.handoff"),
            ("style = \"code_handoff\"", "", "device.handoff"),
            ("max_wait_s = 900", "max_wait_s = 0", "device.max_wait_s"),
            (
                "body = \"json\"\nverification_uri",
                "body = \"query\"\nverification_uri",
                "device.poll.device_auth_id",
            ),
            (
                "max_wait_s = 900",
                "interval_default_s = 4",
                "device.interval_default_s",
            ),
            (
                "max_wait_s = 900",
                "verification_hosts = [\"*\"]",
                "device.verification_hosts",
            ),
            (
                "{ client_id = \"{client_id}\" }",
                "{ c = \"{handle}\" }",
                "device.request.c",
            ),
            (
                "{issuer}/codex/device",
                "{issuer}/codex?c={handle}",
                "device.verification_uri",
            ),
            ("issuer = \"https://auth.openai.com\"", "", "device.url"),
            ("kind = \"device\"", "", "authorize.url"),
        ],
    );
    refused(
        GOOGLE,
        &[("schema = 1", "schema = 1\nkind = \"device\"", "device")],
    );
}
