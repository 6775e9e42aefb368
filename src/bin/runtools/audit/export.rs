//! Writing the journal out, line by line, as it comes.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use http_body_util::BodyExt;
use runtools_broker::client::text::counted;
use runtools_broker::client::{
    ClientError, Exit, Outcome, Route, Session, StreamedReply, UpstreamBody,
};

/// More than any line of an export has, in bytes.
const MAX_LINE: usize = 1024 * 1024;

/// Asks for the export and passes it on. The file is new and its owner's alone: it names people.
pub(super) async fn run(output: Option<PathBuf>, session: &Session) -> Outcome {
    let StreamedReply { body, .. } = session
        .client()?
        .stream(&Route::new("/v1/audit/export"))
        .await?;
    let Some(path) = output else {
        lines(body, |line| session.out.stream(line)).await?;
        return Ok(Exit::Ok);
    };
    let wrong = |error| ClientError::file(&path, &error);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path);
    let mut file = BufWriter::new(file.map_err(wrong)?);
    let count = lines(body, |line| file.write_all(line).map_err(wrong)).await?;
    file.flush()
        .and_then(|()| file.get_ref().sync_all())
        .map_err(wrong)?;
    let done = serde_json::json!({ "file": path.display().to_string(), "lines": count });
    session.out.done(
        &done,
        format!("wrote {} to {}", counted(count, "line"), path.display()),
    )?;
    Ok(Exit::Ok)
}

/// Cuts a stream into lines, each with its line break.
async fn lines(
    mut body: UpstreamBody,
    mut take: impl FnMut(&[u8]) -> Result<(), ClientError>,
) -> Result<u64, ClientError> {
    let (mut rest, mut count) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        for part in data.split_inclusive(|byte| *byte == b'\n') {
            rest.extend_from_slice(part);
            if part.ends_with(b"\n") {
                take(&rest)?;
                rest.clear();
                count += 1;
            } else if rest.len() > MAX_LINE {
                return Err(ClientError::NotAnAnswer { status: 200 });
            }
        }
    }
    if !rest.is_empty() {
        take(&rest)?;
        count += 1;
    }
    Ok(count)
}
