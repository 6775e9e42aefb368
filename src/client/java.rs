//! The options by which programs in Java go the same way as all others.
//!
//! Java reads no proxy and no roots from the environment, but it reads options there, in every program:
//! `JAVA_TOOL_OPTIONS`. It prints them on standard error whenever it starts, so that the handle is not among
//! them. Nor would its own clients take a proxy's password from an option: the code shows it, by an
//! `Authenticator` or in a header, from `HTTPS_PROXY`.

use std::net::IpAddr;

/// The variable that Java reads options from.
pub(super) const OPTIONS: &str = "JAVA_TOOL_OPTIONS";

/// The options, after those that are `inherited` and say other things. `proxy` is a host and a port, `store`
/// a trust store, `direct` what `NO_PROXY` says, and `bound` the hosts that must not be reached so.
pub(super) fn options(
    inherited: Option<&str>,
    (proxy, store): (&str, &str),
    direct: &[&str],
    bound: &[String],
) -> String {
    let (host, port) = proxy.rsplit_once(':').unwrap_or((proxy, ""));
    let host = host.trim_matches(['[', ']']);
    let without = non_proxy_hosts(direct, bound);
    let store = quoted(store);
    let ours = [
        ("http.proxyHost", host),
        ("http.proxyPort", port),
        ("https.proxyHost", host),
        ("https.proxyPort", port),
        ("http.nonProxyHosts", &without),
        // Without this Java shows no password before a tunnel.
        ("jdk.http.auth.tunneling.disabledSchemes", ""),
        ("javax.net.ssl.trustStoreType", "PKCS12"),
        ("javax.net.ssl.trustStore", &store),
    ];
    // Ours of an earlier time would pile up: whoever works in a shell sets these anew every quarter of an hour.
    let is_ours = |option: &String| {
        let bare = option.replace(['\'', '"'], "");
        let name = bare.strip_prefix("-D").unwrap_or_default();
        let name = name.split_once('=').map_or(name, |(name, _)| name);
        ours.iter().any(|(ours, _)| *ours == name)
    };
    let mut all = split(inherited.unwrap_or_default());
    all.retain(|option| !is_ours(option));
    all.extend(ours.map(|(name, value)| format!("-D{name}={value}")));
    all.join(" ")
}

/// Options as Java splits them: at white space that is in no quotation. The quotation marks stay.
fn split(text: &str) -> Vec<String> {
    let mut options = vec![String::new()];
    let mut mark = None;
    for letter in text.chars() {
        match mark {
            None if letter.is_ascii_whitespace() => {
                options.push(String::new());
                continue;
            }
            None if letter == '\'' || letter == '"' => mark = Some(letter),
            Some(open) if letter == open => mark = None,
            _ => {}
        }
        if let Some(last) = options.last_mut() {
            last.push(letter);
        }
    }
    // What is not closed would take ours into its quotation, and Java would not start at all.
    if mark.is_some() {
        options.pop();
    }
    options.retain(|option| !option.is_empty());
    options
}

/// `text` as a part of one option.
fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_graphic() && b != b'\'' && b != b'"';
    if text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

/// The hosts that Java reaches without the proxy. Unless there are none it adds this machine by itself, so that
/// there are none where the tool is bound to this machine.
fn non_proxy_hosts(direct: &[&str], bound: &[String]) -> String {
    if bound.iter().any(|host| is_here(host)) {
        return String::new();
    }
    let patterns = direct.iter().filter_map(|entry| pattern(entry));
    patterns.collect::<Vec<_>>().join("|")
}

/// Whether Java takes a host for this machine: `localhost|127.*|[::1]|0.0.0.0|[::0]`.
fn is_here(host: &str) -> bool {
    let host = host.trim_start_matches("*.").trim_matches(['[', ']']);
    let address = host.parse::<IpAddr>();
    let is_local = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    host == "localhost" || host.starts_with("127.") || address.is_ok_and(is_local)
}

/// An entry of `NO_PROXY` as Java writes such. It has a star at the beginning and no ranges of addresses: what
/// it cannot say goes to the proxy, and is refused there.
fn pattern(entry: &str) -> Option<String> {
    let entry = entry.to_ascii_lowercase();
    if entry == "*" {
        return Some(entry);
    }
    let bare = entry.trim_matches(['[', ']']);
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => return Some(bare.to_owned()),
        Ok(IpAddr::V6(_)) => return Some(format!("[{bare}]")),
        Err(_) => {}
    }
    let name = match entry.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => &entry,
    };
    let below = name.trim_start_matches(['*', '.']).trim_end_matches('.');
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if below.is_empty() || !below.bytes().all(plain) {
        return None;
    }
    Some(if name.starts_with(['*', '.']) {
        format!("*.{below}")
    } else {
        format!("{below}|*.{below}")
    })
}

#[cfg(test)]
#[path = "tests_java.rs"]
mod tests;
