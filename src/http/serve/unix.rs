//! The Unix socket: a file that only one broker may own.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::listen::ListenError;
use super::peer::Peer;

/// The longest path the kernel takes, in bytes, without its closing zero.
pub const MAX_SOCKET_PATH_BYTES: usize = 107;

#[derive(Debug)]
pub(super) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Which file is ours, so that a successor's is left alone.
    file: (u64, u64),
}

impl UnixSocket {
    /// Takes `path`, replacing a socket file that nobody listens on, and gives it `mode`.
    pub(super) fn bind(path: &Path, mode: u32) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Socket {
            path: path.to_owned(),
            source,
        };
        if path.as_os_str().len() > MAX_SOCKET_PATH_BYTES {
            return Err(ListenError::SocketPathTooLong {
                path: path.to_owned(),
                max: MAX_SOCKET_PATH_BYTES,
            });
        }
        make_folder(path).map_err(failed)?;
        clear_stale(path)?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
        let meta = fs::symlink_metadata(path).map_err(failed)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            file: (meta.dev(), meta.ino()),
        })
    }

    pub(super) async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = self.listener.accept().await?;
        let cred = stream.peer_cred()?;
        let peer = Peer::Unix {
            uid: cred.uid(),
            gid: cred.gid(),
            pid: cred.pid(),
        };
        Ok((stream, peer))
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == self.file);
        if ours && fs::remove_file(&self.path).is_err() {
            tracing::warn!("the socket file could not be removed");
        }
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)
        }
        _ => Ok(()),
    }
}

/// Only a refused connection proves that nobody listens; every doubt leaves the file alone.
fn clear_stale(path: &Path) -> Result<(), ListenError> {
    let failed = |source| ListenError::Socket {
        path: path.to_owned(),
        source,
    };
    let meta = match fs::symlink_metadata(path) {
        Err(none) if none.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(other) => return Err(failed(other)),
        Ok(meta) => meta,
    };
    if !meta.file_type().is_socket() {
        return Err(ListenError::NotASocket(path.to_owned()));
    }
    match StdUnixStream::connect(path) {
        Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(other) => Err(failed(other)),
        Ok(_) => Err(ListenError::SocketInUse(path.to_owned())),
    }
}
