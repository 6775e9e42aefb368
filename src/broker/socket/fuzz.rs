//! What comes on a `WebSocket`, and what asks for one.

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, Method, Version};

use super::Handshake;
use super::frame::Head;

/// The heads of frames, one after the other.
pub(crate) fn frames(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some((head, length))) = Head::read(rest) {
        let mut again = BytesMut::new();
        head.write(&mut again);
        let (read, after) = rest.split_at(length);
        assert_eq!(again, read);
        let payload = usize::try_from(head.length).unwrap_or(usize::MAX);
        let Some(after) = after.get(payload..) else {
            break;
        };
        rest = after;
    }
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let (Ok(value), false) = (HeaderValue::from_bytes(line), line.is_empty()) else {
            continue;
        };
        for name in [http::header::UPGRADE, http::header::CONNECTION] {
            headers.append(name, value.clone());
        }
        headers.append(http::header::SEC_WEBSOCKET_KEY, value);
    }
    let _handshake = Handshake::read(&Method::GET, Version::HTTP_11, &headers, false);
}
