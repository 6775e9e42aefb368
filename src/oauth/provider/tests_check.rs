//! Every check refuses a file that differs from a good one in one thing.
#![expect(
    clippy::too_many_lines,
    reason = "a table of broken files is read in one piece"
)]

use super::ProviderError;
use super::tests_samples::{GOOGLE, HOSTED, edited, load, load_with, local};

/// What is changed, and the key that is named for it.
pub(super) type Broken<'t> = (&'t str, &'t str, &'t str);

#[track_caller]
pub(super) fn refused(text: &str, broken: &[Broken<'_>]) {
    for (old, new, expected) in broken {
        match load(&edited(text, old, new)) {
            Ok(_) => panic!("{new} loads"),
            Err(ProviderError::Rule { key, .. }) => assert_eq!(&*key, *expected, "{new}"),
            Err(other) => panic!("{new}: {other}"),
        }
    }
}

#[test]
fn the_top_of_a_file_is_checked() {
    refused(
        GOOGLE,
        &[
            ("schema = 1", "schema = 2", "schema"),
            ("\"Google\"", "\"\"", "display_name"),
            ("schema = 1", "schema = 1\nicon = \"\"", "icon"),
            ("schema = 1", "schema = 1\nicon = \"L1 1\"", "icon"),
            (
                "schema = 1",
                "schema = 1\nicon = \"M1 1\\\"/><script>\"",
                "icon",
            ),
            (
                "schema = 1",
                "schema = 1\nicon = \"M0 0url(https://evil.example)\"",
                "icon",
            ),
            (
                "schema = 1",
                "schema = 1\nstatus = \"verified\"",
                "verified",
            ),
            (
                "schema = 1",
                "schema = 1\nverified = \"lately\"",
                "verified",
            ),
            (
                "schema = 1",
                "schema = 1\ndocs_url = \"javascript:x\"",
                "docs_url",
            ),
            (
                "schema = 1",
                "schema = 1\nsunset = { date = \"soon\", note = \"x\" }",
                "sunset",
            ),
            (
                "schema = 1",
                "schema = 1\nlimits = { timeout_s = 60 }",
                "limits.timeout_s",
            ),
            (
                "schema = 1",
                "schema = 1\nlimits = { concurrency = 0 }",
                "limits.concurrency",
            ),
            (
                "hosts_reason = \"its authorization page is on google.com, its API on googleapis.com\"",
                "",
                "hosts_reason",
            ),
        ],
    );
}

#[test]
fn a_file_is_named_after_its_id() {
    let error = super::Provider::read("goggle.toml", GOOGLE, &super::Reach::public()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "goggle.toml: id: the file is named after its id, with .toml behind it"
    );
}

#[test]
fn what_no_key_is_for_does_not_load_and_is_not_quoted() {
    for (old, new, said) in [
        (
            "schema = 1",
            "schema = 1\nflavour = 2",
            "unknown field `flavour`",
        ),
        (
            "rotates = \"never\"",
            "rotates = \"never\"\nwhen = 1",
            "unknown field `when`",
        ),
        (
            "rotates = \"never\"",
            "rotates = \"hunter2, expected hunter2\"",
            "unknown variant, expected",
        ),
        (
            "[authorize]",
            "[authorize]\npkce_method = \"plain\"",
            "unknown variant, expected `S256`",
        ),
        (
            "[refresh]",
            "[token.errors]\ngone = { class = \"revoked\", status = 403 }\n[refresh]",
            "did not match any variant",
        ),
        (
            "idle_limit_days = 180",
            "idle_limit_days = \"hunter2\"",
            "expected u32",
        ),
        ("id = \"/sub\"", "id = \"/sub", "google.toml, line 25"),
        (
            "\"/email\", ",
            "\"email\", ",
            "a pointer is empty or begins with /",
        ),
        (
            "\"/email\", ",
            "\"/e~mail\", ",
            "in a pointer ~ is written ~0",
        ),
        ("\"offline\"", "\"{offline}\"", "a template names"),
        (
            "\"offline\"",
            "\"{client_id\"",
            "a brace before a letter opens a name",
        ),
    ] {
        let error = load(&edited(GOOGLE, old, new)).unwrap_err();
        assert!(matches!(error, ProviderError::Syntax { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(said), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn urls_are_https_and_go_to_hosts_out_there() {
    let url = "https://accounts.google.com/o/oauth2/v2/auth";
    for bad in [
        "http://accounts.google.com/auth",
        "ftp://accounts.google.com/auth",
        "accounts.google.com/auth",
        "https://localhost/auth",
        "https://127.0.0.1/auth",
        "https://127.1/auth",
        "https://[::1]/auth",
        "https://10.0.0.1/auth",
        "https://google/auth",
        "https://a.localhost/auth",
        "https://u:p@accounts.google.com/auth",
        "https://accounts.google.com/auth#x",
        "https://accounts.google.com/a/../auth",
        "https://accounts.google.com/a b",
        "https://accounts.google.com/{client_secret}",
        "https://accounts.google.com/?s={access_token}",
        "https://accounts.google.com/{params.none}",
        "https://accounts.google.com/{meta.none}",
        "https://{client_id}.google.com/auth",
        "https://accounts.google.com:{client_id}/auth",
        "{client_id}/auth",
    ] {
        refused(GOOGLE, &[(url, bad, "authorize.url")]);
    }
}

#[test]
fn cleartext_is_for_the_ranges_that_the_operator_named() {
    let text = GOOGLE
        .replace("https://accounts.google.com", "http://127.0.0.1:4001")
        .replace("https://oauth2.googleapis.com", "http://localhost:4001");
    assert!(load(&text).is_err());
    assert!(load_with(&text, &local()).is_ok());
    // Where a name leads is looked at when it is connected to.
    for (elsewhere, fits) in [
        ("10.0.0.1/token", false),
        ("93.184.216.34/token", false),
        ("keycloak.internal/token", true),
    ] {
        let text = text.replace("localhost:4001/token", elsewhere);
        assert_eq!(load_with(&text, &local()).is_ok(), fits, "{elsewhere}");
        assert!(load(&text).is_err(), "{elsewhere}");
    }
}

#[test]
fn a_value_stands_only_where_its_kind_allows() {
    refused(
        HOSTED,
        &[
            (
                "https://{params.host}/{params.tenant}",
                "https://{params.sub}/x",
                "authorize.url",
            ),
            (
                "https://{params.host}/{params.tenant}",
                "https://{params.host}.test.com/x",
                "authorize.url",
            ),
            (
                "https://{params.host}/{params.tenant}",
                "https://a.{params.host}/x",
                "authorize.url",
            ),
            (
                "https://{params.host}/{params.tenant}",
                "https://{params.dc}/x",
                "authorize.url",
            ),
            (
                "https://{params.host}/{params.tenant}",
                "https://{params.tenant}.test.com/x",
                "authorize.url",
            ),
            (
                "https://{params.host}/{params.tenant}",
                "https://{params.sub}.com/x",
                "authorize.url",
            ),
            (
                "https://{params.host}/{params.tenant}",
                "https://{params.sub}.co.uk/x",
                "authorize.url",
            ),
            (
                "https://{params.host}/{params.tenant}",
                "{meta.accounts}/x",
                "authorize.url",
            ),
            (
                "{meta.accounts}/oauth",
                "https://{meta.realm}.zoho.com/oauth",
                "token.url",
            ),
            ("{meta.accounts}/oauth", "{meta.realm}/oauth", "token.url"),
            (
                "{meta.accounts}/oauth",
                "{meta.instance}/oauth",
                "token.url",
            ),
            (
                "{meta.accounts}/oauth",
                "https://zoho.com/{meta.accounts}",
                "token.url",
            ),
            (
                "{meta.instance}/me",
                "https://{meta.instance}/me",
                "identity.url",
            ),
            (
                "\"{client_id}\"",
                "\"{access_token}\"",
                "api.extra_headers.X-Client",
            ),
            ("\"{client_id}\"", "\"ü\"", "api.extra_headers.X-Client"),
            (
                "[\"{meta.instance}\",",
                "[\"{meta.instance}/x\",",
                "api.hosts.0",
            ),
            (
                "[\"{meta.instance}\",",
                "[\"{meta.number}\",",
                "api.hosts.0",
            ),
            ("\"*.zohoapis.com\"", "\"*.com\"", "api.hosts.2"),
            ("\"*.zohoapis.com\"", "\"*.co.uk\"", "api.hosts.2"),
            ("\"*.zohoapis.com\"", "\"*\"", "api.hosts.2"),
            ("\"*.zohoapis.com\"", "\"*.{params.dc}\"", "api.hosts.2"),
            ("\"*.zohoapis.com\"", "\"zohoapis.com/x\"", "api.hosts.2"),
            ("\"*.zohoapis.com\"", "\"zohoapis.com:8443\"", "api.hosts.2"),
            (
                "\"*.zohoapis.com\"",
                "\"https://zohoapis.com\"",
                "api.hosts.2",
            ),
        ],
    );
}

#[test]
fn parameters_and_captures_are_checked() {
    refused(
        HOSTED,
        &[
            ("[params.sub]", "[params.sub-domain]", "params.sub-domain"),
            (
                "position = \"host_label\"\nrequired = true",
                "position = \"host_label\"",
                "api.hosts.1",
            ),
            ("\"host_only\"", "\"upper\"", "params.host"),
            ("\"host_only\"", "\"strip_suffix(zoho.com)\"", "params.host"),
            ("\"git.example.com\"", "\"Git.example.com\"", "params.host"),
            (
                "\"git.example.com\"",
                "\"git.example.com:8443\"",
                "params.host",
            ),
            ("\"com.au\"]", "\"com.au\"]\npattern = \"(\"", "params.dc"),
            ("\"com.au\"]", "\"com.au\"]\npattern = \"com\"", "params.dc"),
            ("default = \"com\"\n", "default = \"eu\"\n", "params.dc"),
            (
                "pattern = \"[0-9]+\"",
                "pattern = \")|(\"",
                "callback_capture.realm",
            ),
            (
                "host_suffixes = [\".salesforce.com\"]",
                "",
                "token_capture.instance",
            ),
            (
                "[\".salesforce.com\"]",
                "[\"salesforce.com\"]",
                "token_capture.instance",
            ),
            (
                "[\".salesforce.com\"]",
                "[\".com\"]",
                "token_capture.instance",
            ),
            (
                "[\".salesforce.com\"]",
                "[\".co.uk\"]",
                "token_capture.instance",
            ),
            ("[\".salesforce.com\"]", "[\"\"]", "token_capture.instance"),
            (
                "pointer = \"/number\"",
                "pointer = \"/number\"\nhost_suffixes = [\".a.com\"]",
                "token_capture.number",
            ),
            (
                "[token_capture.number]",
                "[token_capture.realm]",
                "callback_capture.realm",
            ),
        ],
    );
}
