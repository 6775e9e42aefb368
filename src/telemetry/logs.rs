//! Logs: one event, one line, whatever is in its fields.

use std::fmt;
use std::io::IsTerminal;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::config::{LogFormat, LogLevel, LogSettings};

/// The targets whose events are ours, and so hold nothing but what we chose to log.
const OURS: [&str; 2] = ["runtools_broker", "runtools"];

/// Logs were set up before in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("logs are set up already")]
pub struct LogsAlreadySet;

/// Changes the level while running.
#[derive(Clone, Debug)]
pub struct LogHandle(reload::Handle<OnlyOurs, Registry>);

impl LogHandle {
    /// Logs at `level` from now on.
    pub fn set_level(&self, level: LogLevel) {
        if self.0.reload(OnlyOurs(filter(level))).is_err() {
            tracing::warn!("the log level could not be changed");
        }
    }
}

/// Sends the events of the whole process to stderr.
///
/// # Errors
/// [`LogsAlreadySet`] the second time.
pub fn init(settings: LogSettings) -> Result<LogHandle, LogsAlreadySet> {
    let json = match settings.format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let (subscriber, handle) = subscriber(settings.level, json, std::io::stderr);
    subscriber.try_init().map_err(|_| LogsAlreadySet)?;
    Ok(handle)
}

/// Our own events up to a level; of others at most warnings, at any level asked for: hyper, h2,
/// rustls and their like print what goes over the wire below that. (`Targets` compares mere
/// prefixes, so a crate whose name begins like ours would pass it.)
#[derive(Clone, Copy, Debug)]
struct OnlyOurs(LevelFilter);

impl<S> Filter<S> for OnlyOurs {
    fn enabled(&self, event: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        let ours = OURS.iter().any(|name| {
            let rest = event.target().strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        });
        let level = if ours {
            self.0
        } else {
            self.0.min(LevelFilter::WARN)
        };
        *event.level() <= level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0)
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

fn subscriber<W>(
    level: LogLevel,
    json: bool,
    writer: W,
) -> (impl Subscriber + Send + Sync, LogHandle)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(OnlyOurs(filter(level)));
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = if json {
        // Escapes every text, so that none can end its line.
        lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed()
    } else {
        lines.with_ansi(false).event_format(TextLine).boxed()
    };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    (subscriber, LogHandle(handle))
}

/// `2026-11-23T09:30:00.000000Z WARN cannot accept kind=…`
struct TextLine;

impl<S, N> FormatEvent<S, N> for TextLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        SystemTime.format_time(&mut line)?;
        write!(line, " {:>5}", event.metadata().level())?;
        let mut fields = Fields {
            line: line.by_ref(),
            result: Ok(()),
        };
        event.record(&mut fields);
        fields.result?;
        writeln!(line)
    }
}

struct Fields<'a> {
    line: Writer<'a>,
    result: fmt::Result,
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    #[expect(
        clippy::use_debug,
        reason = "tracing hands over what was logged with % like this"
    )]
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        let line = &mut self.line;
        self.result = self.result.and_then(|()| {
            line.write_char(' ')?;
            if field.name() != "message" {
                write!(line, "{}=", field.name())?;
            }
            write!(Harmless(line), "{value:?}")
        });
    }
}

/// Writes text so that it can neither end the line nor talk to the terminal.
struct Harmless<'a, 'b>(&'a mut Writer<'b>);

impl fmt::Write for Harmless<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            // Line and paragraph separators are not control characters, but end a line for some.
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}') {
                write!(self.0, "{}", c.escape_default())?;
            } else {
                self.0.write_char(c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::{LogLevel, subscriber};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, json: bool, events: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, _) = subscriber(level, json, move || writer.clone());
        tracing::subscriber::with_default(subscriber, events);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const EVIL: &str = "a\nb\r\u{1b}[31m\u{9b}2J\u{2028}{\"level\":\"ERROR\"}\u{7}";

    #[test]
    fn a_hostile_field_stays_on_its_line_and_away_from_the_terminal() {
        for json in [true, false] {
            let text = logged(LogLevel::Info, json, || {
                tracing::info!(host = EVIL, shown = %EVIL, "seen {EVIL}");
            });
            assert_eq!(text.lines().count(), 1, "{text:?}");
            let line = text.strip_suffix('\n').unwrap();
            let bare = |c: char| c.is_ascii_control();
            assert!(!line.contains(bare), "{line:?}");
            if json {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(event["host"], EVIL);
                assert_eq!(event["level"], "INFO");
            } else {
                assert!(!line.contains('\u{9b}') && !line.contains('\u{2028}'));
            }
        }
    }

    #[test]
    fn other_crates_are_heard_from_warnings_up_at_any_level() {
        let text = logged(LogLevel::Trace, false, || {
            tracing::trace!(target: "hyper::proto::h1::io", "wire bytes");
            tracing::debug!(target: "rustls::server", "wire bytes");
            tracing::info!(target: "sled", "wire bytes");
            tracing::info!(target: "runtools_brokerage", "wire bytes");
            tracing::warn!(target: "sled", "disk trouble");
            tracing::trace!(target: "runtools_broker::http", "ours");
        });
        assert!(!text.contains("wire bytes"), "{text}");
        assert!(text.contains("disk trouble") && text.contains("ours"));
        let text = logged(LogLevel::Error, false, || {
            tracing::warn!(target: "sled", "disk trouble");
        });
        assert_eq!(text, "");
    }

    #[test]
    fn the_level_changes_while_running() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, handle) = subscriber(LogLevel::Warn, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("before");
            handle.set_level(LogLevel::Info);
            tracing::info!("after");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("before") && text.contains("after"), "{text}");
    }
}
