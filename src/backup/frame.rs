//! Frames, and the chain over them.

use std::io::{self, Read, Write};

use age::stream::StreamWriter;

use super::BackupError;
use crate::crypto::{Digest, sha256_parts};
use crate::failpoint::{Failpoint, reached};

const MAGIC: &[u8; 8] = b"RTBACKUP";
const VERSION: u8 = 1;
const LABEL: &[u8] = b"runtools-backup-frame";
/// No frame's body is longer.
pub(super) const MAX_BODY: usize = 1 << 20;
/// What a reader is given when a file is cut, or altered: age says the same of both.
const BROKEN: BackupError = BackupError::Damaged {
    what: "it was altered, or is cut off",
};

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Head,
    Settings,
    Records,
    Ring,
    Segment,
    End,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Head,
        Self::Settings,
        Self::Records,
        Self::Ring,
        Self::Segment,
        Self::End,
    ];

    const fn byte(self) -> u8 {
        match self {
            Self::Head => 1,
            Self::Settings => 2,
            Self::Records => 3,
            Self::Ring => 4,
            Self::Segment => 5,
            Self::End => 6,
        }
    }

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }

    /// Whether there may be more than one.
    const fn is_many(self) -> bool {
        matches!(self, Self::Records | Self::Segment)
    }
}

fn link(chain: &Digest, kind: Kind, body: &[u8]) -> Digest {
    sha256_parts(&[LABEL, chain, &[kind.byte()], body])
}

/// Writes frames.
pub(super) struct Frames<W: Write> {
    out: StreamWriter<W>,
    chain: Digest,
}

impl<W: Write> Frames<W> {
    pub(super) fn begin(mut out: StreamWriter<W>) -> Result<Self, BackupError> {
        out.write_all(MAGIC)
            .and_then(|()| out.write_all(&[VERSION]))
            .map_err(writing())?;
        Ok(Self {
            out,
            chain: [0; 32],
        })
    }

    pub(super) fn write(&mut self, kind: Kind, body: &[u8]) -> Result<(), BackupError> {
        self.chain = link(&self.chain, kind, body);
        self.put(kind, &[body])?;
        reached(Failpoint::BackupFrame);
        Ok(())
    }

    /// Writes the end, with what `sign` says of the chain, and ends the file.
    pub(super) fn end(
        mut self,
        body: &[u8],
        sign: impl FnOnce(&Digest) -> [u8; 64],
    ) -> Result<W, BackupError> {
        let signature = sign(&link(&self.chain, Kind::End, body));
        self.put(Kind::End, &[body, &signature])?;
        self.out.finish().map_err(writing())
    }

    fn put(&mut self, kind: Kind, parts: &[&[u8]]) -> Result<(), BackupError> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        // Settings are as long as somebody wrote them, and what no reader takes is not to be written.
        let length = u32::try_from(length).ok();
        let length =
            length.filter(|length| usize::try_from(*length).is_ok_and(|it| it <= MAX_BODY));
        let length = length.ok_or_else(|| writing()(io::ErrorKind::FileTooLarge.into()))?;
        let mut put = || -> io::Result<()> {
            self.out.write_all(&[kind.byte()])?;
            self.out.write_all(&length.to_be_bytes())?;
            parts.iter().try_for_each(|part| self.out.write_all(part))
        };
        put().map_err(writing())
    }
}

fn writing() -> impl Fn(io::Error) -> BackupError {
    BackupError::io("writing the backup")
}

/// Reads frames, in their order.
pub(super) struct FrameReader<R: Read> {
    input: R,
    chain: Digest,
    last: Option<Kind>,
    body: Vec<u8>,
}

impl<R: Read> FrameReader<R> {
    pub(super) fn begin(mut input: R) -> Result<Self, BackupError> {
        let mut magic = [0; 8];
        let mut version = [0];
        fill(&mut input, &mut magic)?;
        if magic != *MAGIC {
            return Err(BackupError::NotABackup);
        }
        fill(&mut input, &mut version)?;
        if version != [VERSION] {
            let [version] = version;
            return Err(BackupError::Version(version));
        }
        Ok(Self {
            input,
            chain: [0; 32],
            last: None,
            body: Vec::new(),
        })
    }

    /// Reads the next frame. The chain is moved on by [`FrameReader::link`].
    pub(super) fn next(&mut self) -> Result<Kind, BackupError> {
        let mut header = [0; 5];
        fill(&mut self.input, &mut header)?;
        let [kind, length @ ..] = header;
        let kind = Kind::of(kind).ok_or(BROKEN)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let in_order = match self.last {
            None => kind == Kind::Head,
            Some(last) => kind > last || (kind == last && kind.is_many()),
        };
        if !in_order || length > MAX_BODY {
            return Err(BROKEN);
        }
        self.last = Some(kind);
        self.body.resize(length, 0);
        fill(&mut self.input, &mut self.body)?;
        Ok(kind)
    }

    /// Takes into the chain what of the frame is covered.
    pub(super) fn link(&mut self, kind: Kind, covered: usize) {
        let covered = self.body.get(..covered).unwrap_or(&self.body);
        self.chain = link(&self.chain, kind, covered);
    }

    /// The body of the frame that was read last.
    pub(super) const fn body(&self) -> &[u8] {
        self.body.as_slice()
    }

    /// The chain, when nothing follows.
    pub(super) fn end(mut self) -> Result<Digest, BackupError> {
        let mut more = [0];
        match self.input.read(&mut more) {
            Ok(0) => Ok(self.chain),
            _ => Err(BROKEN),
        }
    }
}

/// Reads as many bytes as there is room for.
fn fill(input: &mut impl Read, room: &mut [u8]) -> Result<(), BackupError> {
    input.read_exact(room).map_err(|error| match error.kind() {
        // What age found out, and what it ends at.
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::Other => BROKEN,
        kind => BackupError::Io {
            doing: "reading the backup",
            kind,
        },
    })
}
