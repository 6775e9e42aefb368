//! A backup as it lies there, and as it is inside when somebody who knows a recipient made it.

use super::frame::FrameReader;
use super::{inspect, open};

/// What is shown of a file that nobody opened.
pub(crate) fn outside(bytes: &[u8]) {
    let _shown = inspect(bytes);
}

/// The frames.
pub(crate) fn inside(bytes: &[u8]) {
    if let Ok(frames) = FrameReader::begin(bytes) {
        let _opened = open::parts(frames, &mut |_| Ok(()), &mut |_| Ok(()));
    }
}
