//! What goes over the wire between a client and the proxy, as the client sees it: a tap between the two, which
//! the client trusts besides, and which reads what is inside the tunnels.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::harness::client::block_on;

/// Sends a program through the tap at the port that comes first, as if it were the proxy.
pub(crate) const THROUGH: &str = r#"
cp "$SSL_CERT_FILE" "$HOME/roots.pem"
printf %s "${HTTPS_PROXY##*:}" > "$HOME/proxy-port"
for name in HTTPS_PROXY https_proxy HTTP_PROXY http_proxy ALL_PROXY all_proxy; do
    eval "export $name=\"\${$name%:*}:$1\""
done
JAVA_TOOL_OPTIONS=$(printf %s "$JAVA_TOOL_OPTIONS" | sed "s/\(proxyPort=\)[0-9]*/\1$1/g")
export JAVA_TOOL_OPTIONS
shift
exec "$@"
"#;

/// A running tap.
pub(crate) struct Tap {
    pub(crate) port: u16,
    /// Whom clients trust for what is inside.
    pub(crate) root: PathBuf,
    heard: Arc<Mutex<Vec<u8>>>,
}

/// What each connection through it needs.
#[derive(Clone)]
struct Line {
    /// Where the program that is sent through left the proxy's port and its roots.
    home: PathBuf,
    acceptor: TlsAcceptor,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    pub(crate) fn start(home: &Path) -> Self {
        let (config, root) = authority();
        let file = home.join("tap.pem");
        std::fs::write(&file, root).unwrap();
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let line = Line {
            home: home.to_owned(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            heard: Arc::clone(&heard),
        };
        let listener = block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(line.clone().carry(client));
            }
        };
        block_on(async { drop(tokio::spawn(serve)) });
        Self {
            port,
            root: file,
            heard,
        }
    }

    /// All that was heard, both ways, since it was asked last.
    pub(crate) fn heard(&self) -> Vec<u8> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

/// An authority of the tap's own, and its certificate for `localhost`. It speaks HTTP/1.1, in which all can be read.
fn authority() -> (ServerConfig, String) {
    let root_key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::new(Vec::<String>::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name
        .push(rcgen::DnType::CommonName, "a tap of the tests");
    let certificate = root.self_signed(&root_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    (config, certificate.pem())
}

impl Line {
    fn hear(&self, bytes: &[u8]) {
        self.heard.lock().unwrap().extend_from_slice(bytes);
    }

    async fn carry(self, mut client: TcpStream) -> io::Result<()> {
        let port = std::fs::read_to_string(self.home.join("proxy-port"))?;
        let port: u16 = port.parse().map_err(io::Error::other)?;
        let mut proxy = TcpStream::connect(("127.0.0.1", port)).await?;
        loop {
            let asked = head(&mut client).await?;
            self.hear(&asked);
            proxy.write_all(&asked).await?;
            if !asked.starts_with(b"CONNECT ") {
                return self.relay(client, proxy).await;
            }
            let answer = head(&mut proxy).await?;
            self.hear(&answer);
            client.write_all(&answer).await?;
            // Python asks by HTTP/1.0, and is answered so.
            if answer.get(8..12) == Some(b" 200".as_slice()) {
                break;
            }
            // One that is refused may be asked again.
            let mut body = vec![0; length(&answer)];
            proxy.read_exact(&mut body).await?;
            self.hear(&body);
            client.write_all(&body).await?;
        }
        let inside = self.acceptor.accept(client).await?;
        let outside = self.connector()?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let outside = outside.connect(name, proxy).await?;
        self.relay(inside, outside).await
    }

    /// What trusts what the client was told to trust.
    fn connector(&self) -> io::Result<TlsConnector> {
        let pem = std::fs::read(self.home.join("roots.pem"))?;
        let mut roots = RootCertStore::empty();
        roots
            .add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    async fn relay(
        &self,
        client: impl AsyncRead + AsyncWrite,
        proxy: impl AsyncRead + AsyncWrite,
    ) -> io::Result<()> {
        let (from_client, to_client) = split(client);
        let (from_proxy, to_proxy) = split(proxy);
        let ways = tokio::join!(
            self.pipe(from_client, to_proxy),
            self.pipe(from_proxy, to_client)
        );
        ways.0.and(ways.1)
    }

    async fn pipe(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut piece = vec![0; 16 << 10];
        loop {
            let read = from.read(&mut piece).await.unwrap_or(0);
            if read == 0 {
                return to.shutdown().await;
            }
            self.hear(&piece[..read]);
            to.write_all(&piece[..read]).await?;
            to.flush().await?;
        }
    }
}

/// The head of a request or an answer, and not a byte more.
async fn head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

/// How long the body is that comes after a head.
fn length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.lines().next());
    length.map_or(0, |length| length.trim().parse().unwrap())
}
