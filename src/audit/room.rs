//! Room ahead of the last frame: zeros that were written before they are needed.
//!
//! A frame that makes the file longer makes the file system write its own books with each sync: two
//! writes and a wait more than the frame itself. So the file grows a step at a time, together with
//! a frame that needs a sync anyway, and the frames after it overwrite zeros that are there already.
//!
//! Room is no promise: a step that fails costs nothing but speed. It is cut off when the segment is
//! finished and when the journal closes. What a crash leaves of it, the next start goes on using.

use std::fs::File;
use std::io;

use super::shared::Shared;
use super::writer::Writer;

/// How many bytes the file grows by.
const STEP: u64 = 1 << 20;
/// How many zeros are written at once.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// Writes zeros from `end` on, when the frame that ends there filled the room: where it ends now.
/// Never beyond the length at which the segment is followed by another.
pub(super) fn made(shared: &Shared, file: &File, end: u64, room: u64) -> u64 {
    if end < room {
        return room;
    }
    let limit = shared.options.segment_bytes;
    let until = end.saturating_add(STEP).min(limit).max(end);
    let mut at = end;
    while at < until {
        let length = usize::try_from(until - at).unwrap_or(usize::MAX);
        let zeros = ZEROS.get(..length).unwrap_or(&ZEROS);
        if let Err(error) = shared.disk.write(file, zeros, at) {
            tracing::debug!(%error, "no room ahead in the audit journal");
            return at;
        }
        at = at.saturating_add(u64::try_from(zeros.len()).unwrap_or(u64::MAX));
    }
    at
}

impl Writer {
    /// Cuts off what stands behind the last durable frame, for the next write to begin anew.
    pub(super) fn cut_back(&mut self) -> io::Result<()> {
        self.segment.file.set_len(self.length)?;
        self.room = self.length;
        Ok(())
    }

    /// Ends the segment's file with its last frame, durably.
    pub(super) fn trim(&mut self) -> io::Result<()> {
        if self.segment.file.metadata()?.len() <= self.length {
            return Ok(());
        }
        self.cut_back()?;
        self.shared.disk.sync(&self.segment.file)
    }

    /// As [`Writer::trim`], when the journal closes. Zeros that stay are no harm.
    pub(super) fn trim_at_the_end(&mut self) {
        if self.broken {
            return;
        }
        if let Err(error) = self.trim() {
            tracing::warn!(%error, "zeros stay at the end of the audit journal");
        }
    }
}
