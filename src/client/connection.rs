//! Requests and answers.

use std::fs;
use std::path::{Path, PathBuf};

use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http_body_util::BodyExt;
use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{ClientError, Place, Route};
use crate::egress::{EgressError, Endpoint, Payload, Reply, StreamedReply};
use crate::secret::Secret;
use crate::wire::{Failure, FailureDetail};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const AGENT: &str = concat!("runtools/", env!("CARGO_PKG_VERSION"));
/// More pages than any list has: a broker that keeps saying "more" is not followed for ever.
const MAX_PAGES: usize = 10_000;
/// More than any refusal has, in bytes.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// The user's broker.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    key: Option<Secret>,
    socket: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Answered<T> {
    data: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed<T> {
    data: Vec<T>,
    #[serde(default)]
    has_more: bool,
    #[serde(default)]
    next_cursor: Option<String>,
}

impl Client {
    /// The broker at `place`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Transport`] for an origin that is none, or whose traffic would go in clear to
    /// another machine; [`ClientError::File`] or a bad root for the file of extra certificates.
    pub fn new(place: Place, ca_file: Option<&Path>) -> Result<Self, ClientError> {
        match place {
            Place::Socket(path) => Ok(Self {
                endpoint: Endpoint::unix(&path),
                key: None,
                socket: Some(path),
            }),
            Place::Origin { url, key } => {
                let roots = ca_file.map(roots).transpose()?.unwrap_or_default();
                Ok(Self {
                    endpoint: Endpoint::url(&url, roots)?,
                    key,
                    socket: None,
                })
            }
        }
    }

    /// Reads one thing.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with what the broker said, or what may go wrong on the way.
    pub async fn get<T: DeserializeOwned>(&self, route: &Route) -> Result<T, ClientError> {
        self.call(Method::GET, route, None).await
    }

    /// Reads what is answered without an envelope: `/v1/status`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_bare<T: DeserializeOwned>(&self, route: &Route) -> Result<T, ClientError> {
        read(&self.send(Method::GET, route, Vec::new(), None).await?)
    }

    /// Reads a list to its end, page after page. `route` needs no `limit` or `cursor`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn list<T: DeserializeOwned>(&self, route: &Route) -> Result<Vec<T>, ClientError> {
        self.list_up_to(route, usize::MAX).await
    }

    /// Reads the first `most` items of a list.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn list_up_to<T: DeserializeOwned>(
        &self,
        route: &Route,
        most: usize,
    ) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        self.pages(route, |page| {
            items.extend(page);
            items.len() < most
        })
        .await?;
        items.truncate(most);
        Ok(items)
    }

    /// Reads a list to its end, a page at a time, so that one of any length takes the room of a page.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn each_page<T: DeserializeOwned>(
        &self,
        route: &Route,
        mut each: impl FnMut(Vec<T>),
    ) -> Result<(), ClientError> {
        let all = |page| {
            each(page);
            true
        };
        self.pages(route, all).await
    }

    /// Reads pages for as long as `goes_on` wants more.
    async fn pages<T: DeserializeOwned>(
        &self,
        route: &Route,
        mut goes_on: impl FnMut(Vec<T>) -> bool,
    ) -> Result<(), ClientError> {
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = route.clone().maybe("cursor", cursor.as_ref());
            let reply = self.send(Method::GET, &page, Vec::new(), None).await?;
            let page: Listed<T> = read(&reply)?;
            if !goes_on(page.data) || !page.has_more || page.next_cursor.is_none() {
                return Ok(());
            }
            if page.next_cursor == cursor {
                break;
            }
            cursor = page.next_cursor;
        }
        Err(ClientError::NotAnAnswer { status: 200 })
    }

    /// Does something. `body` is JSON.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        route: &Route,
        body: Option<Payload>,
    ) -> Result<T, ClientError> {
        self.call_with(method, route, Vec::new(), body).await
    }

    /// As [`call`](Self::call), with further headers.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn call_with<T: DeserializeOwned>(
        &self,
        method: Method,
        route: &Route,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Option<Payload>,
    ) -> Result<T, ClientError> {
        let reply = self.send(method, route, headers, body).await?;
        read(&reply).map(|answer: Answered<T>| answer.data)
    }

    /// Asks for a stream; the caller reads it as it comes.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn stream(&self, route: &Route) -> Result<StreamedReply, ClientError> {
        self.stream_of(Method::GET, route, None).await
    }

    /// Does something that is answered with a stream. `body` is JSON.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn stream_of(
        &self,
        method: Method,
        route: &Route,
        body: Option<Payload>,
    ) -> Result<StreamedReply, ClientError> {
        let headers = self.headers(Vec::new(), body.is_some())?;
        let sent = self
            .endpoint
            .send_streaming(method, route.as_str(), headers, body)
            .await;
        let reply = sent.map_err(|error| self.reason(error))?;
        if reply.status == 200 {
            return Ok(reply);
        }
        let (status, mut body, mut whole) = (reply.status, reply.body, Vec::new());
        while let Some(frame) = body.frame().await {
            let data = frame
                .map_err(|error| self.reason(error))?
                .into_data()
                .unwrap_or_default();
            whole.extend_from_slice(&data);
            if whole.len() > MAX_REFUSAL_BYTES {
                break;
            }
        }
        Err(refusal(status, &whole))
    }

    async fn send(
        &self,
        method: Method,
        route: &Route,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Option<Payload>,
    ) -> Result<Reply, ClientError> {
        let headers = self.headers(headers, body.is_some())?;
        let sent = self
            .endpoint
            .send(method, route.as_str(), headers, body)
            .await;
        let reply = sent.map_err(|error| self.reason(error))?;
        if (200..300).contains(&reply.status) {
            Ok(reply)
        } else {
            Err(refusal(reply.status, &reply.body))
        }
    }

    fn headers(
        &self,
        mut headers: Vec<(HeaderName, HeaderValue)>,
        has_body: bool,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, ClientError> {
        headers.push((ACCEPT, HeaderValue::from_static("application/json")));
        headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
        if has_body && !headers.iter().any(|(name, _)| *name == CONTENT_TYPE) {
            headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        }
        if let Some(key) = &self.key {
            let value = key.expose(HeaderValue::from_bytes);
            let mut value = value.map_err(|_| {
                ClientError::usage(
                    "the API key is not one",
                    "a key begins with rt_live_ or rt_test_",
                )
            })?;
            value.set_sensitive(true);
            headers.push((API_KEY, value));
        }
        Ok(headers)
    }

    /// A socket that is not there is the most usual reason of all, and deserves its own words.
    fn reason(&self, error: EgressError) -> ClientError {
        match &self.socket {
            Some(path) if error == EgressError::Connect => {
                if access(path, Access::WRITE_OK) == Err(Errno::ACCESS) {
                    return ClientError::file(path, &Errno::ACCESS.into());
                }
                ClientError::NoSocket { path: path.clone() }
            }
            _ => error.into(),
        }
    }
}

fn read<T: DeserializeOwned>(reply: &Reply) -> Result<T, ClientError> {
    let unread = |_| ClientError::NotAnAnswer {
        status: reply.status,
    };
    serde_json::from_slice(&reply.body).map_err(unread)
}

fn refusal(status: u16, body: &[u8]) -> ClientError {
    let Ok(Failure { error: detail }) = serde_json::from_slice(body) else {
        return ClientError::NotAnAnswer { status };
    };
    let signed_out = "run `runtools login`, or set RUNTOOLS_API_KEY";
    let hint = detail
        .hint
        .or((status == 401).then(|| signed_out.to_owned()));
    ClientError::Refused {
        status,
        detail: FailureDetail { hint, ..detail },
    }
}

fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let pem = fs::read(path).map_err(|error| ClientError::file(path, &error))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let read = read.unwrap_or_default();
    if read.is_empty() {
        Err(EgressError::Root.into())
    } else {
        Ok(read)
    }
}
