//! `backup create`: what the broker sends, into a file that is there whole or not at all.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use http::Method;
use http_body_util::BodyExt;
use runtools_broker::backup::{NewFile, Recipients};
use runtools_broker::client::body;
use runtools_broker::client::text::minute;
use runtools_broker::client::{Client, ClientError, Route, Session, StreamedReply};
use runtools_broker::wire::{BackupInfo, CreateBackup};
use serde::Serialize;

use super::failed;
use crate::store::size;

/// Where to, and for whom.
#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// The file; it must not be there yet
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Who may open it: an age recipient, as `age-keygen` shows it; several by repeating it. Without one, those of the settings
    #[arg(long, short = 'r', value_name = "age1…")]
    recipient: Vec<String>,
    /// When its key is to be destroyed: a time, a span such as 90d, or never. Without it, as the settings say
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    file: String,
    bytes: u64,
    #[serde(flatten)]
    info: Option<runtools_broker::wire::BackupMade>,
}

/// Asks for it, and puts it down.
pub(super) async fn create(args: &CreateArgs, session: &Session) -> Result<(), ClientError> {
    if !args.recipient.is_empty() {
        Recipients::parse(&args.recipient).map_err(|error| failed(&error))?;
    }
    let wrong = |error: std::io::Error| ClientError::file(&args.to, &error);
    let client = session.local()?;
    let file = NewFile::begin(&args.to).map_err(|error| failed(&error))?;
    let wish = body::plain(&CreateBackup {
        recipients: args.recipient.clone(),
        expires: args.expires.clone(),
    })?;
    let route = Route::new("/v1/operator/backup");
    let reply = client.stream_of(Method::POST, &route, Some(wish)).await?;
    let StreamedReply { mut body, .. } = reply;
    let mut out = BufWriter::with_capacity(1 << 18, file);
    let mut bytes = 0_u64;
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(broken) => return Err(why(&client, &route, broken.into()).await),
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        out.write_all(&data).map_err(wrong)?;
        bytes = bytes.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
    }
    let file = out
        .into_inner()
        .map_err(|error| wrong(error.into_error()))?;
    file.finish().map_err(|error| failed(&error))?;
    // Others may have made one since: then nothing is said of what is in this one.
    let info: BackupInfo = client.get(&route).await?;
    let info = info.last.filter(|last| last.bytes == bytes);
    let what = info.as_ref().map_or_else(String::new, |made| {
        let end = made.expires_at.map_or_else(String::new, |at| {
            format!("; its key is to be destroyed at {}", minute(at))
        });
        format!(
            ": {} records at generation {}{end}",
            made.records, made.generation
        )
    });
    let shown = args.to.display().to_string();
    let words = format!("wrote {} to {shown}{what}", size(bytes));
    let created = Created {
        file: shown,
        bytes,
        info,
    };
    session.out.done(&created, words)?;
    session.out.hint(format!(
        "prove that it can be read: `runtools-broker backup verify {} --identity FILE`",
        crate::serve::shell(&args.to)
    ));
    Ok(())
}

/// Why a stream was broken off, if the broker can say it.
async fn why(client: &Client, route: &Route, broken: ClientError) -> ClientError {
    let info: Result<BackupInfo, ClientError> = client.get(route).await;
    match info.ok().and_then(|info| info.failure) {
        Some(failure) => ClientError::failed(failure.message, failure.hint),
        None => broken,
    }
}
