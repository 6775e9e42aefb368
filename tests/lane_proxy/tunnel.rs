//! Tool code on bytes: a tunnel whose every step the test takes itself.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::lane_proxy::curl::Way;
use crate::lanes::Handle;

/// What a tunnel runs on: the connection to the proxy.
pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A stream with what was read of it and not looked at.
pub(crate) struct Spoken<S> {
    pub(crate) stream: S,
    unread: Vec<u8>,
}

/// The line that shows a handle.
pub(crate) fn basic(handle: &str) -> String {
    let pair = BASE64.encode(format!("runtools:{handle}").as_bytes());
    format!("Proxy-Authorization: Basic {pair}\r\n")
}

/// Sends bytes to the proxy that `handle` names.
pub(crate) fn knock(handle: &Handle, bytes: &[u8]) -> Spoken<TcpStream> {
    let mut stream = TcpStream::connect(Way::address(handle)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(bytes).unwrap();
    Spoken {
        stream,
        unread: Vec::new(),
    }
}

/// Asks for a tunnel to `place`; the proxy's answer has been read.
pub(crate) fn connect(handle: &Handle, place: &str) -> (Spoken<TcpStream>, String) {
    let head = format!(
        "CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{}\r\n",
        basic(&handle.text)
    );
    let mut spoken = knock(handle, head.as_bytes());
    let answer = spoken.until("\r\n\r\n");
    (spoken, answer)
}

/// What trusts the authority of `handle`, and nobody else.
pub(crate) fn trust(handle: &Handle, protocols: &[&str]) -> Arc<ClientConfig> {
    let pem = handle.whole["proxy"]["certificateAuthority"]
        .as_str()
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Shakes hands inside a tunnel, as a client that asks for `name`.
pub(crate) fn shake(
    spoken: Spoken<TcpStream>,
    config: Arc<ClientConfig>,
    name: &str,
) -> Result<Spoken<Tls>, String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let client = ClientConnection::new(config, name).unwrap();
    let mut stream = StreamOwned::new(client, spoken.stream);
    while stream.conn.is_handshaking() {
        let done = stream.conn.complete_io(&mut stream.sock);
        done.map_err(|error| error.to_string())?;
    }
    Ok(Spoken {
        stream,
        unread: Vec::new(),
    })
}

/// A tunnel to `localhost` at `port` that is ready for requests.
#[track_caller]
pub(crate) fn open(handle: &Handle, port: u16) -> Spoken<Tls> {
    let (spoken, answer) = connect(handle, &format!("localhost:{port}"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    shake(spoken, trust(handle, &[]), "localhost").unwrap()
}

impl<S: Read + Write> Spoken<S> {
    /// The stream itself, and what came on it and was not looked at.
    pub(crate) fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.unread)
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
        self.stream.flush().unwrap();
    }

    /// Asks for `path` at `localhost`, with the placeholder as the bearer.
    pub(crate) fn get(&mut self, handle: &Handle, port: u16, path: &str) {
        self.write(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: Bearer {}\r\n\r\n",
            handle.placeholder
        ));
    }

    /// Reads until `what` has come; everything before it and itself.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str) -> String {
        loop {
            let mut windows = self.unread.windows(what.len());
            if let Some(at) = windows.position(|window| window == what.as_bytes()) {
                let rest = self.unread.split_off(at + what.len());
                let before = std::mem::replace(&mut self.unread, rest);
                return String::from_utf8_lossy(&before).into_owned();
            }
            let mut piece = [0; 4096];
            let read = self.stream.read(&mut piece).unwrap_or(0);
            let so_far = String::from_utf8_lossy(&self.unread);
            assert!(read > 0, "it ended before {what:?}: {so_far}");
            self.unread.extend_from_slice(&piece[..read]);
        }
    }

    /// Reads to the end, which must come before the patience of the stream does; what came.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> String {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        let mut all = std::mem::take(&mut self.unread);
        let mut piece = [0; 4096];
        loop {
            match self.stream.read(&mut piece) {
                Ok(read @ 1..) => all.extend_from_slice(&piece[..read]),
                Ok(0) => break,
                Err(error) => {
                    let patient = [TimedOut, WouldBlock].contains(&error.kind());
                    assert!(!patient, "it stays open");
                    break;
                }
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Reads to the end; how long that took, and what came.
    pub(crate) fn end(&mut self) -> (Duration, String) {
        let began = Instant::now();
        let mut all = std::mem::take(&mut self.unread);
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = self.stream.read(&mut piece) {
            all.extend_from_slice(&piece[..read]);
        }
        (began.elapsed(), String::from_utf8_lossy(&all).into_owned())
    }
}
