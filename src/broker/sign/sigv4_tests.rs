use std::path::{Path, PathBuf};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    AUTHORIZATION, canonical_request, escaped_path, is_in_pieces, names_of, sign, signed_headers,
    spelled_path, spelled_query, string_to_sign,
};
use crate::broker::sign::{Surroundings, Unsigned};
use crate::clock::Timestamp;
use crate::crypto::{hmac_chain, sha256};
use crate::egress::Url;
use crate::name::{FieldName, Fields};
use crate::secret::Secret;
use crate::tools::SigV4;

const KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn field(name: &str) -> FieldName {
    FieldName::parse(name).unwrap()
}

/// A request before it is signed, and all that a signature depends on.
#[derive(Clone, Debug)]
struct Sample {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: String,
    region: String,
    service: String,
    token: Option<String>,
    key: String,
    now: Timestamp,
}

impl Sample {
    fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: String::new(),
            region: "eu-central-1".to_owned(),
            service: "s3".to_owned(),
            token: None,
            key: KEY.to_owned(),
            now: Timestamp::parse("2026-11-23T09:30:00Z").unwrap(),
        }
    }

    /// The signed headers, and path and query as they are sent.
    fn sign(&self) -> (HeaderMap, String, String) {
        let url = Url::parse(&self.url).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let (mut path, mut query) = (
            Zeroizing::new(url.path().to_owned()),
            Zeroizing::new(url.query().unwrap_or_default().to_owned()),
        );
        let body = Bytes::from(self.body.clone());
        let method = self.method.parse::<Method>().unwrap();
        let mut request = Unsigned {
            method: &method,
            path: &mut path,
            query: &mut query,
            headers: &mut headers,
            body: &body,
        };
        let signer = SigV4 {
            region: self.region.as_str().into(),
            service: self.service.as_str().into(),
            access_key: field("id"),
            session_token: Some(field("token")),
        };
        let mut values = Fields::from_iter([(field("id"), Secret::copy_of(b"AKIDEXAMPLE"))]);
        let token = self.token.iter();
        values.extend(token.map(|token| (field("token"), Secret::copy_of(token.as_bytes()))));
        let around = Surroundings {
            authority: &url.authority(),
            now: self.now,
            token: None,
        };
        let key = Secret::copy_of(self.key.as_bytes());
        let made = sign(&mut request, &signer, (&key, &values), &around).unwrap();
        let authorization = headers.get(AUTHORIZATION).unwrap().as_bytes();
        let signature = made[0].expose(<[u8]>::to_vec);
        assert!(authorization.ends_with(&signature) && signature.len() == 64);
        (headers, path.to_string(), query.to_string())
    }

    fn authorization(&self) -> String {
        let (headers, ..) = self.sign();
        headers[AUTHORIZATION].to_str().unwrap().to_owned()
    }
}

#[test]
fn what_is_signed_piece_by_piece_is_told_from_what_is_whole() {
    let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    };
    for pieces in [
        &[("content-encoding", "gzip, AWS-Chunked")][..],
        &[("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")],
        &[("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")],
    ] {
        assert!(is_in_pieces(&headers(pieces)), "{pieces:?}");
    }
    for whole in [
        &[][..],
        &[
            ("content-encoding", "gzip"),
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ],
    ] {
        assert!(!is_in_pieces(&headers(whole)), "{whole:?}");
    }
}

#[test]
fn requests_are_signed_as_botocore_signs_them() {
    let text = include_str!("../../../tests/fixtures/sigv4/botocore.json");
    let made: Vec<Value> = serde_json::from_str(text).unwrap();
    assert_eq!(made.len(), 9);
    for made in &made {
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        let headers = made["headers"].as_object().unwrap().iter();
        let sample = Sample {
            headers: headers
                .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                .collect(),
            body: text("body"),
            region: text("region"),
            service: text("service"),
            token: made["token"].as_str().map(str::to_owned),
            ..Sample::new(&text("method"), &text("url"))
        };
        let (headers, path, query) = sample.sign();
        assert_eq!(headers[AUTHORIZATION], text("authorization"), "{made}");
        assert_eq!(headers["x-amz-date"], text("date"));
        // What botocore escaped was in the one spelling already.
        assert!(text("url").contains(&path), "{path}");
        assert_eq!(
            query.len(),
            text("url").split_once('?').map_or(0, |(_, q)| q.len())
        );
    }
}

/// One file of a vector.
fn part(folder: &Path, ending: &str) -> String {
    let name = folder.file_name().unwrap().to_str().unwrap();
    let file = folder.join(format!("{name}.{ending}"));
    std::fs::read_to_string(file).unwrap().replace("\r\n", "\n")
}

/// `METHOD target`, the headers, the body.
fn read_request(text: &str) -> (String, String, HeaderMap, String) {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let (line, fields) = head.split_once('\n').unwrap();
    let (method, target) = line.split_once(' ').unwrap();
    let target = target.strip_suffix(" HTTP/1.1").unwrap();
    let mut headers = HeaderMap::new();
    // A header's further lines begin with a space.
    let unfolded = fields.replace("\n ", " ");
    for field in unfolded.lines() {
        let (name, value) = field.split_once(':').unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
    }
    (method.into(), target.into(), headers, body.into())
}

/// Whether our parser of URLs lets a vector's target through: none that could be read in two ways.
fn is_admitted(target: &str) -> bool {
    let plain = target.replace(' ', "%20");
    !plain.is_ascii() || Url::parse(&format!("https://example.amazonaws.com{plain}")).is_ok()
}

/// Signs the vector's request, and finds each step as the vector has it. Whether it comes as far as that.
fn is_signed(folder: &Path) -> bool {
    let (method, target, mut headers, body) = read_request(&part(folder, "req"));
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    // One request leaves its token to the keys, as botocore's own test reads it.
    let canonical = part(folder, "creq");
    let mut lines = canonical.lines();
    let one_reading = lines.nth(1).unwrap();
    if let Some(token) = lines.find_map(|line| line.strip_prefix("x-amz-security-token:")) {
        headers.insert("x-amz-security-token", token.parse().unwrap());
    }
    // Of a path with two readings no signer of ours makes one: there it is the vector's.
    let is_admitted = is_admitted(&target);
    let path = if is_admitted { path } else { one_reading };
    let host = headers.remove(HOST).unwrap().to_str().unwrap().to_owned();
    let headers = signed_headers(&headers, &host, |_| true).unwrap();
    let (path, query) = (spelled_path(path).unwrap(), spelled_query(query).unwrap());
    let payload = HEXLOWER.encode(&sha256(body.as_bytes()));
    let canonical = canonical_request((&method, &path, &query), &headers, &payload);
    assert_eq!(*canonical, part(folder, "creq"), "{}", folder.display());
    let (time, scope) = (
        "20150830T123600Z",
        "20150830/us-east-1/service/aws4_request",
    );
    let message = string_to_sign(time, scope, &canonical);
    assert_eq!(message, part(folder, "sts"), "{}", folder.display());
    let rest: [&[u8]; 4] = [
        b"us-east-1",
        b"service",
        b"aws4_request",
        message.as_bytes(),
    ];
    let key = Secret::copy_of(KEY.as_bytes());
    let signature = HEXLOWER.encode(&hmac_chain(b"AWS4", &key, b"20150830", &rest));
    let says = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={}, Signature={signature}",
        names_of(&headers)
    );
    assert_eq!(says, part(folder, "authz"), "{}", folder.display());
    is_admitted
}

#[test]
fn the_vectors_of_the_test_suite_hold() {
    let root = PathBuf::from("tests/fixtures/sigv4/aws4_testsuite");
    let mut folders = Vec::new();
    for group in [
        root.clone(),
        root.join("normalize-path"),
        root.join("post-sts-token"),
    ] {
        let entries = std::fs::read_dir(group)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        folders.extend(entries.filter(|path| path.is_dir()));
    }
    folders.retain(|folder| {
        !folder.ends_with("normalize-path") && !folder.ends_with("post-sts-token")
    });
    let name = |folder: &PathBuf| folder.file_name().unwrap().to_str().unwrap().to_owned();
    // All are signed as published, those too that are refused before.
    let refused = folders.iter().filter(|folder| !is_signed(folder));
    let mut refused: Vec<_> = refused.map(name).collect();
    refused.sort();
    assert_eq!(
        refused,
        [
            "get-relative",
            "get-relative-relative",
            "get-slash",
            "get-slash-dot-slash",
            "get-slash-pointless-dot",
            "get-slashes",
        ]
    );
    assert_eq!(folders.len(), 34);
}

#[test]
fn ex_13_a_caller_adds_no_second_signature() {
    for query in [
        "X-Amz-Signature=a",
        "a=1&x-amz-date=2",
        "X%2dAmz-Credential=x",
    ] {
        assert!(spelled_query(query).is_err(), "{query}");
    }
    assert!(spelled_query("a=b+c").is_err() && spelled_path("/a+b").is_err());
    let mut sample = Sample::new("GET", "https://s3.eu-central-1.amazonaws.com/b");
    let own = [
        "x-amz-date",
        "x-amz-content-sha256",
        "x-amz-security-token",
        "authorization",
    ];
    sample.headers = own
        .map(|name| (name.to_owned(), "mine".to_owned()))
        .to_vec();
    let (headers, ..) = sample.sign();
    assert!(headers.iter().all(|(_, value)| value != "mine"));
    assert!(headers.get("x-amz-security-token").is_none());
    let plain = Sample::new("GET", "https://s3.eu-central-1.amazonaws.com/b");
    assert_eq!(headers[AUTHORIZATION], plain.authorization());
}

#[test]
fn what_a_proxy_may_change_is_not_signed() {
    let plain = Sample::new("GET", "https://s3.eu-central-1.amazonaws.com/b");
    let mut sample = plain.clone();
    sample.headers = vec![(USER_AGENT.to_string(), "x".to_owned())];
    assert_eq!(sample.authorization(), plain.authorization());
}

type Change = fn(&mut Sample);

#[test]
fn a_signature_depends_on_every_signed_part() {
    let mut sample = Sample::new("PUT", "https://s3.eu-central-1.amazonaws.com/bucket/a?b=c");
    sample.headers = vec![
        (CONTENT_TYPE.to_string(), "text/plain".to_owned()),
        ("x-amz-meta-a".to_owned(), "b".to_owned()),
    ];
    sample.token = Some("session-token".to_owned());
    let changes: [Change; 15] = [
        |s| s.method = "POST".to_owned(),
        |s| s.url = "https://s3.eu-central-1.amazonaws.com/bucket/b?b=c".to_owned(),
        |s| s.url = "https://s3.eu-central-1.amazonaws.com/bucket/a/?b=c".to_owned(),
        |s| s.url = "https://s3.eu-central-1.amazonaws.com/bucket/a?b=d".to_owned(),
        |s| s.url = "https://s3.eu-central-1.amazonaws.com/bucket/a?b=c&d=".to_owned(),
        |s| s.url = "https://s3.eu-central-1.amazonaws.com:8443/bucket/a?b=c".to_owned(),
        |s| s.url = "https://s3.eu-central-2.amazonaws.com/bucket/a?b=c".to_owned(),
        |s| s.headers[0].1 = "text/html".to_owned(),
        |s| s.headers[1].1 = "c".to_owned(),
        |s| s.body = "x".to_owned(),
        |s| s.region = "eu-central-2".to_owned(),
        |s| s.service = "sts".to_owned(),
        |s| s.token = Some("session-tokem".to_owned()),
        |s| s.key = KEY.to_lowercase(),
        |s| s.now = s.now.plus_seconds(1),
    ];
    let signature = |sample: &Sample| {
        let says = sample.authorization();
        says.rsplit_once("Signature=").unwrap().1.to_owned()
    };
    let mut seen = vec![signature(&sample)];
    for (index, change) in changes.iter().enumerate() {
        let mut changed = sample.clone();
        change(&mut changed);
        let signature = signature(&changed);
        assert!(!seen.contains(&signature), "change {index}");
        seen.push(signature);
    }
}

proptest! {
    #[test]
    fn one_spelling_is_its_own(text in "[ -*,-~ä€]{0,40}") {
        let path = format!("/{}", text.replace('/', "%2F").replace('?', "%3F"));
        let once = spelled_path(&path).unwrap();
        prop_assert_eq!(&*spelled_path(&once).unwrap(), &*once);
        prop_assert!(once.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%/".contains(&b)));
        let twice = escaped_path(&once);
        prop_assert_eq!(twice.matches('%').count(), once.matches('%').count());
        if let Ok(once) = spelled_query(&text) {
            prop_assert_eq!(&*spelled_query(&once).unwrap(), &*once);
        }
    }

    #[test]
    fn the_order_of_a_query_is_not_signed(mut pairs in prop::collection::vec(("[a-f]{1,2}", "[a-f]{0,2}"), 0..6)) {
        let write = |pairs: &[(String, String)]| {
            pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
        };
        let one = spelled_query(&write(&pairs)).unwrap();
        pairs.reverse();
        prop_assert_eq!(&*spelled_query(&write(&pairs)).unwrap(), &*one);
    }
}
