//! Looking things up: newest first, one page at a time, in bounded work.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::line::{Intent, Start};
use super::reader::Reader;
use super::{Action, Actor, AuditError, Event, Outcome, TargetKind};
use crate::clock::Timestamp;
use crate::id::{ObjectId, OrgId};
use crate::name::ToolSlug;

/// The most entries of one page.
pub const MAX_PAGE: usize = 500;
/// How many records one page looks at before it gives what it has.
const BUDGET: u64 = 100_000;
/// How many records after the cursor are searched for outcomes of the page's intents.
const LOOKAHEAD: u64 = 10_000;
/// Reading ends at a record this much older than `since`: nearer ones may be of a clock set back.
const CLOCK_SLACK_MS: i64 = 24 * 60 * 60 * 1000;

/// Whose records are asked for. There is no default: forgetting it does not compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One organisation's, for its administrators.
    Org(OrgId),
    /// All, for the operator.
    All,
}

/// A secret, by whatever is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFilter {
    /// By its id.
    Id(ObjectId),
    /// By its name.
    Name(String),
}

/// Which records are asked for. All conditions hold together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Whose.
    pub scope: Scope,
    /// Done by, or on behalf of, the user of this id, or by the service of this id.
    pub actor: Option<ObjectId>,
    /// Done upon this secret.
    pub secret: Option<SecretFilter>,
    /// Done through this tool.
    pub tool: Option<ToolSlug>,
    /// Of this kind.
    pub action: Option<Action>,
    /// At this time or later.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Entries per page, 1 to [`MAX_PAGE`]; others are moved to the nearest bound.
    pub limit: usize,
    /// Records before this sequence number: [`Page::next`] of the page before.
    pub cursor: Option<u64>,
}

impl Filter {
    /// All records of `scope`, 100 per page.
    #[must_use]
    pub const fn new(scope: Scope) -> Self {
        Self {
            scope,
            actor: None,
            secret: None,
            tool: None,
            action: None,
            since: None,
            until: None,
            limit: 100,
            cursor: None,
        }
    }

    fn matches(&self, entry: &Entry) -> bool {
        let event = &entry.event;
        let in_scope = match self.scope {
            Scope::Org(org) => event.org == Some(org),
            Scope::All => true,
        };
        let by = |actor: &ObjectId| {
            let acting = match &event.actor {
                Actor::User { id, .. } => id.bytes() == actor.bytes(),
                Actor::Service(service) => service.id.bytes() == actor.bytes(),
                Actor::System | Actor::Operator { .. } | Actor::Local { .. } | Actor::Unknown => {
                    false
                }
            };
            let whom = event.on_behalf_of;
            acting || whom.is_some_and(|whom| whom.bytes() == actor.bytes())
        };
        in_scope
            && self.actor.as_ref().is_none_or(by)
            && self
                .secret
                .as_ref()
                .is_none_or(|secret| secret.is_in(event))
            && self
                .tool
                .as_ref()
                .is_none_or(|tool| event.tool.as_ref() == Some(tool))
            && self.action.is_none_or(|action| event.action == action)
            && self.since.is_none_or(|since| entry.time >= since)
            && self.until.is_none_or(|until| entry.time < until)
    }

    /// Texts that a matching line contains: searching is cheaper than parsing.
    fn needles(&self) -> Vec<String> {
        let mut needles = Vec::new();
        if let Scope::Org(org) = self.scope {
            needles.push(format!(r#""org":"{org}""#));
        }
        needles.extend(self.actor.map(|actor| actor.to_string()));
        needles.extend(self.secret.as_ref().map(|secret| match secret {
            SecretFilter::Id(id) => id.to_string(),
            SecretFilter::Name(_) => r#""secret""#.to_owned(),
        }));
        needles.extend(self.tool.as_ref().map(|tool| format!(r#""tool":"{tool}""#)));
        needles.extend(self.action.map(|action| format!(r#""action":"{action}""#)));
        needles
    }
}

impl SecretFilter {
    fn is_in(&self, event: &Event) -> bool {
        let mut secrets = event
            .targets
            .iter()
            .filter(|target| target.kind == TargetKind::Secret);
        secrets.any(|target| match self {
            Self::Id(id) => target.id == Some(*id),
            Self::Name(name) => target.name.as_ref() == Some(name),
        })
    }
}

/// How an entry ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The outcome's own record.
    pub seq: u64,
    /// When it was recorded.
    pub time: Timestamp,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// A record that was found, with its outcome where there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its sequence number.
    pub seq: u64,
    /// When it was recorded.
    pub time: Timestamp,
    /// What it says.
    #[serde(flatten)]
    pub event: Event,
    /// How it ended; `None` when nobody has said yet, or said so much later.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outcome: Option<Ended>,
}

/// A page of records, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The records.
    pub entries: Vec<Entry>,
    /// The cursor of the next page; `None` at the end. A page may be short, or empty, and still
    /// have a next one.
    pub next: Option<u64>,
}

#[derive(Deserialize)]
struct OutcomeLine {
    #[serde(flatten)]
    intent: Intent,
    #[serde(flatten)]
    ended: Ended,
}

struct Search<'a> {
    filter: &'a Filter,
    needles: Vec<String>,
    limit: usize,
    before: u64,
    looked_at: u64,
    oldest: Option<String>,
    outcomes: HashMap<u64, Ended>,
    page: Page,
}

/// Finds the page that `filter` asks for.
pub(super) fn query(reader: &Reader<'_>, filter: &Filter) -> Result<Page, AuditError> {
    let end = reader.end.head.seq.saturating_add(1);
    let before = filter.cursor.unwrap_or(end).min(end);
    let oldest = filter.since.map(|since| since.plus_millis(-CLOCK_SLACK_MS));
    let mut search = Search {
        filter,
        needles: filter.needles(),
        limit: filter.limit.clamp(1, MAX_PAGE),
        before,
        looked_at: 0,
        oldest: oldest.map(super::line::time_text),
        outcomes: HashMap::new(),
        page: Page::default(),
    };
    let top = before.saturating_add(LOOKAHEAD);
    for first in reader.segments().iter().rev().filter(|first| **first < top) {
        let indexed = reader.index(*first)?;
        for at in indexed.frames.iter().rev().filter(|at| at.first < top) {
            let frame = reader.frame(&indexed, *at)?;
            for line in frame.lines().rev() {
                if search.is_over_at(line) {
                    return Ok(search.page);
                }
            }
        }
    }
    Ok(search.page)
}

impl Search<'_> {
    /// Looks at one line; whether the page is complete.
    fn is_over_at(&mut self, line: &[u8]) -> bool {
        let Some(start) = Start::of(line) else {
            return false;
        };
        if start.is_outcome {
            self.keep_outcome(line);
        }
        if start.seq >= self.before {
            return false;
        }
        let too_old = self
            .oldest
            .as_ref()
            .is_some_and(|oldest| start.time < oldest.as_bytes());
        if too_old {
            return true;
        }
        if self.page.entries.len() >= self.limit || self.looked_at >= BUDGET {
            // The next page begins with this line.
            self.page.next = Some(start.seq.saturating_add(1));
            return true;
        }
        self.looked_at = self.looked_at.saturating_add(1);
        if !start.is_outcome {
            self.keep_entry(line);
        }
        false
    }

    fn keep_outcome(&mut self, line: &[u8]) {
        if let Ok(found) = serde_json::from_slice::<OutcomeLine>(line) {
            self.outcomes.insert(found.intent.seq, found.ended);
        }
    }

    fn keep_entry(&mut self, line: &[u8]) {
        let Ok(text) = std::str::from_utf8(line) else {
            return;
        };
        if !self.needles.iter().all(|needle| text.contains(needle)) {
            return;
        }
        let Ok(mut entry) = serde_json::from_str::<Entry>(text) else {
            return;
        };
        if self.filter.matches(&entry) {
            entry.outcome = self.outcomes.remove(&entry.seq);
            self.page.entries.push(entry);
        }
    }
}
