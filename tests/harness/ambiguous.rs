//! Requests that two readers would read differently (reference: HT-1), for whoever reads HTTP/1.1.

use super::Seen;

/// What one of [`Reader::once`] came to behind the reader: one request at most, for `target`, and its body framed in
/// one way.
#[track_caller]
pub fn one_at_most(what: &str, seen: &[Seen], target: &str) {
    assert!(seen.len() <= 1, "{what}: {seen:?}");
    for request in seen {
        assert_eq!(request.target, target, "{what}");
        // Of the two ways to say how long a body is, one.
        let framed = ["content-length", "transfer-encoding"];
        let framed = framed.map(|name| request.headers.get_all(name).iter().count());
        assert!(framed.iter().sum::<usize>() <= 1, "{what}: {request:?}");
        assert_eq!(request.header("trailer"), "", "{what}");
    }
}

/// How requests are written to one reader.
pub struct Reader<'a> {
    /// One that does something, with these lines for its framing, and this body.
    pub request: &'a dyn Fn(&str, &str) -> String,
    /// The first words of one that does nothing: method and target.
    pub get: &'a str,
    /// What its `Host` says.
    pub host: &'a str,
    /// A body that is good.
    pub body: &'a str,
    /// A whole request, to be hidden where only some would find it.
    pub hidden: &'a str,
}

impl Reader<'_> {
    /// Such as nobody may carry out: each ends the connection, with one error or none before it.
    #[expect(clippy::too_many_lines, reason = "a table is told in one piece")]
    pub fn refused(&self) -> Vec<(&'static str, String)> {
        let Self {
            request,
            get,
            host,
            body,
            hidden,
        } = *self;
        let n = body.len();
        let chunked = format!("{n:x}\r\n{body}\r\n0\r\n\r\n");
        vec![
            (
                "two lengths that differ",
                request(
                    &format!("Content-Length: 0\r\nContent-Length: {n}\r\n"),
                    &format!("{body}{hidden}"),
                ),
            ),
            (
                "a list of lengths",
                request(
                    &format!("Content-Length: {n}, 0\r\n"),
                    &format!("{body}{hidden}"),
                ),
            ),
            (
                "a signed length",
                request(&format!("Content-Length: +{n}\r\n"), body),
            ),
            ("a negative length", request("Content-Length: -1\r\n", body)),
            ("a length in hex", request("Content-Length: 0x10\r\n", body)),
            (
                "a length beyond 64 bits",
                request("Content-Length: 99999999999999999999999\r\n", body),
            ),
            (
                "TE identity",
                request(
                    &format!("Transfer-Encoding: identity\r\nContent-Length: {n}\r\n"),
                    body,
                ),
            ),
            (
                "TE chunked twice",
                request(
                    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                    &format!("{chunked}{hidden}"),
                ),
            ),
            (
                "TE not last",
                request(
                    "Transfer-Encoding: chunked, gzip\r\n",
                    &format!("{chunked}{hidden}"),
                ),
            ),
            (
                "TE in a coat",
                request(
                    "Transfer-Encoding: xchunked\r\n",
                    &format!("{chunked}{hidden}"),
                ),
            ),
            (
                "TE after a vertical tab",
                request(
                    "Transfer-Encoding: \u{b}chunked\r\n",
                    &format!("{chunked}{hidden}"),
                ),
            ),
            (
                "space before the colon",
                request(
                    &format!("Content-Length : {n}\r\n"),
                    &format!("{body}{hidden}"),
                ),
            ),
            (
                "TE with space before the colon",
                request(
                    &format!("Transfer-Encoding : chunked\r\nContent-Length: {n}\r\n"),
                    body,
                ),
            ),
            (
                "a folded header",
                request(&format!("X-A: b\r\n Content-Length: {n}\r\n"), body),
            ),
            (
                "NUL in a value",
                request(&format!("X-A: b\0c\r\nContent-Length: {n}\r\n"), body),
            ),
            (
                "NUL in a name",
                request(&format!("X-\0A: b\r\nContent-Length: {n}\r\n"), body),
            ),
            (
                "bare CR in a value",
                request(
                    &format!("X-A: b\rContent-Length: 0\r\nContent-Length: {n}\r\n"),
                    body,
                ),
            ),
            (
                "no name",
                request(&format!(": b\r\nContent-Length: {n}\r\n"), body),
            ),
            (
                "chunk size with a sign",
                request("Transfer-Encoding: chunked\r\n", &format!("+{chunked}")),
            ),
            (
                "chunk size in 0x",
                request("Transfer-Encoding: chunked\r\n", &format!("0x{chunked}")),
            ),
            (
                "chunk size beyond 64 bits",
                request(
                    "Transfer-Encoding: chunked\r\n",
                    "fffffffffffffffff\r\nx\r\n0\r\n\r\n",
                ),
            ),
            (
                "chunk without its end",
                request(
                    "Transfer-Encoding: chunked\r\n",
                    &format!("1\r\nxy\r\n0\r\n\r\n{hidden}"),
                ),
            ),
            (
                "two hosts",
                format!("{get} HTTP/1.1\r\nHost: {host}\r\nHost: evil.test\r\n\r\n"),
            ),
            ("no host", format!("{get} HTTP/1.1\r\n\r\n")),
            (
                "a space in the target",
                format!("{get} x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            ),
            (
                "HTTP/1.2",
                format!("{get} HTTP/1.2\r\nHost: {host}\r\n\r\n"),
            ),
            ("HTTP/0.9", format!("{get}\r\n")),
            (
                "the h2 preface",
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            ),
            (
                "a TLS hello",
                "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{3}\u{3}\r\n\r\n".to_owned(),
            ),
        ]
    }

    /// Such as may be carried out, in one reading: the hidden one never is.
    ///
    /// Both lengths: the chunks count, and the connection closes (RFC 9112, 6.3). Bare line feeds, equal
    /// lengths, extensions: read in one way or refused; what stands behind is never a second request unless
    /// it is one for every reader.
    #[expect(clippy::too_many_lines, reason = "a table is told in one piece")]
    pub fn once(&self) -> Vec<(&'static str, String)> {
        let Self {
            request,
            get,
            host,
            body,
            hidden,
        } = *self;
        let n = body.len();
        let chunked = format!("{n:x}\r\n{body}\r\n0\r\n\r\n");
        vec![
            (
                "CL.TE",
                request(
                    "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                    &format!("0\r\n\r\n{hidden}"),
                ),
            ),
            (
                "TE.CL",
                request(
                    &format!("Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n"),
                    &format!("{chunked}{hidden}"),
                ),
            ),
            (
                "bare LF between headers",
                request(&format!("X-A: b\nContent-Length: {n}\r\n"), body),
            ),
            (
                "bare LF everywhere",
                request(&format!("Content-Length: {n}\r\n"), "").replace("\r\n", "\n") + body,
            ),
            (
                "the same length twice",
                request(
                    &format!("Content-Length: {n}\r\nContent-Length: {n}\r\n"),
                    body,
                ),
            ),
            (
                "chunk extensions",
                request(
                    "Transfer-Encoding: chunked\r\n",
                    &format!("{n:x};a=\"\n{hidden}\"\r\n{body}\r\n0\r\n\r\n"),
                ),
            ),
            (
                "a request in a body",
                request(&format!("Content-Length: {}\r\n", hidden.len()), hidden),
            ),
            (
                "a request in trailers",
                request(
                    "Transfer-Encoding: chunked\r\n",
                    &format!(
                        "{n:x}\r\n{body}\r\n0\r\nX: {}\r\n\r\n",
                        hidden.replace("\r\n", "")
                    ),
                ),
            ),
            (
                "a GET with a hidden body",
                format!(
                    "{get} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{hidden}",
                    hidden.len()
                ),
            ),
        ]
    }
}
