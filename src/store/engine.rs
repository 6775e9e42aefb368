//! What an engine has to offer: ordered bytes, and one way to change them.

use std::fmt;

use super::{DiskEngine, StoreError};

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Who is shown pairs by [`Engine::visit`]; an error ends the visit.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'a;

/// One change. It lends its bytes: an engine copies them once, to where it keeps them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Write<'a> {
    /// This key has this value from now on.
    Put(&'a [u8], &'a [u8]),
    /// This key has no value from now on.
    Delete(&'a [u8]),
}

impl fmt::Debug for Write<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(key, value) => write!(f, "Put({} + {} bytes)", key.len(), value.len()),
            Self::Delete(key) => write!(f, "Delete({} bytes)", key.len()),
        }
    }
}

/// An ordered map of bytes. It is synchronous: a cached read takes about a microsecond, less than
/// handing it to another thread, and all writes come from one thread of the store's own.
///
/// No method panics, whatever stands on disk.
pub trait Engine: Send + Sync + fmt::Debug {
    /// A word for logs.
    fn name(&self) -> &'static str;

    /// The value of a key.
    ///
    /// # Errors
    /// When it cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// At most `limit` pairs in order of their keys, all of which begin with `prefix` and, if given,
    /// come after `after`.
    ///
    /// # Errors
    /// When they cannot be read.
    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError>;

    /// Shows every pair from `from` up to, not including, `until`. Two threads may each visit a part.
    ///
    /// # Errors
    /// When they cannot be read, or what `each` returns: it ends the visit.
    fn visit(
        &self,
        from: &[u8],
        until: Option<&[u8]>,
        each: &mut Visitor<'_>,
    ) -> Result<(), StoreError>;

    /// Makes all changes or none, durable when it returns: a power cut cannot undo them.
    /// No key occurs twice. Only one thread calls it at a time.
    ///
    /// # Errors
    /// When it could not be done. Whether it was is then unknown.
    fn apply(&self, writes: &[Write<'_>]) -> Result<(), StoreError>;

    /// How many pairs there are. May visit them all.
    ///
    /// # Errors
    /// When they cannot be read.
    fn len(&self) -> Result<u64, StoreError> {
        let mut count = 0_u64;
        self.visit(&[], None, &mut |_, _| {
            count = count.saturating_add(1);
            Ok(())
        })?;
        Ok(count)
    }

    /// Whether there is no pair at all.
    ///
    /// # Errors
    /// When that cannot be read.
    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.scan(&[], None, 1)?.is_empty())
    }

    /// What `key` is ordered by where it is kept, against others: those that are near to each other there are
    /// best read and written one after the other.
    fn rank(&self, key: &[u8]) -> Vec<u8> {
        key.to_vec()
    }

    /// Which order pairs are in: a number that grows whenever names come to stand under another key.
    fn order(&self) -> u32 {
        0
    }

    /// The engine of a store on disk, whose files can be replaced; `None` for any other.
    fn disk(&self) -> Option<&DiskEngine> {
        None
    }

    /// How much room it takes, in bytes.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn size_bytes(&self) -> Result<u64, StoreError>;
}
