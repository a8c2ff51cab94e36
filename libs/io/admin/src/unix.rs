//! A gRPC server on a Unix socket that only its owner may open.

use std::{
    fs::{self, File, Permissions},
    io,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt as _, net::UnixListener as StdUnixListener},
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, SockAddr, Socket as RawSocket, Type};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{service::Routes, transport::Server};

/// Longest path that fits into a socket address, without its end.
const MAX_PATH: usize = 107;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum UnixError {
    /// Another process answers on it.
    #[error("{0}: another process answers on this socket; is the daemon running already?")]
    InUse(PathBuf),
    /// Something that is no socket stands there.
    #[error("{0} exists and is not a socket; it is not replaced")]
    NotSocket(PathBuf),
    /// The kernel's limit.
    #[error("{path}: a socket's path has at most {MAX_PATH} octets, this one {length}")]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length in octets.
        length: usize,
    },
    /// The operating system refused.
    #[error("{path}: {reason}")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// The server failed.
    #[error("the operator's socket failed: {0}")]
    Serve(#[from] tonic::transport::Error),
}

/// A bound socket of mode 0600. Its name is removed when it is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    name: Name,
}

#[derive(Debug)]
struct Name(PathBuf);

impl Drop for Name {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Socket {
    /// Binds `path`, in place of a socket that a killed process left behind. Needs a tokio runtime.
    ///
    /// # Errors
    /// See [`UnixError`].
    pub fn bind(path: &Path) -> Result<Self, UnixError> {
        let length = path.as_os_str().len();
        if length > MAX_PATH {
            return Err(UnixError::TooLong { path: path.to_owned(), length });
        }
        remove_stale(path)?;
        let listener = bind_private(path)
            .and_then(UnixListener::from_std)
            .map_err(|reason| UnixError::Io { path: path.to_owned(), reason })?;
        Ok(Self { listener, name: Name(path.to_owned()) })
    }

    /// Answers until the future is dropped.
    ///
    /// # Errors
    /// If the server fails.
    pub async fn serve(self, routes: Routes) -> Result<(), UnixError> {
        let Self { listener, name: _name } = self;
        Server::builder().add_routes(routes).serve_with_incoming(UnixListenerStream::new(listener)).await?;
        Ok(())
    }
}

/// Only a socket on which nobody answers is removed.
fn remove_stale(path: &Path) -> Result<(), UnixError> {
    let io = |reason| UnixError::Io { path: path.to_owned(), reason };
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(UnixError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            use std::os::unix::fs::FileTypeExt as _;
            if fs::symlink_metadata(path).map_err(io)?.file_type().is_socket() {
                fs::remove_file(path).map_err(io)
            } else {
                Err(UnixError::NotSocket(path.to_owned()))
            }
        }
        Err(error) => Err(io(error)),
    }
}

/// The mode is set on the socket before it gets its name, so that there is no moment in which others could
/// connect, and the process's umask stays as it is.
fn bind_private(path: &Path) -> io::Result<StdUnixListener> {
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let file = File::from(OwnedFd::from(socket));
    file.set_permissions(Permissions::from_mode(0o600))?;
    let socket = RawSocket::from(OwnedFd::from(file));
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(StdUnixListener::from(OwnedFd::from(socket)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_owner_may_open_it_and_it_goes_with_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ha.sock");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_socket_of_a_killed_process_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ha.sock");
        drop(StdUnixListener::bind(&path).unwrap());
        assert!(path.exists());
        Socket::bind(&path).unwrap();
    }

    #[tokio::test]
    async fn the_socket_of_a_living_process_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ha.sock");
        let _first = Socket::bind(&path).unwrap();
        assert!(matches!(Socket::bind(&path), Err(UnixError::InUse(_))));
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_file_and_a_long_path_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Socket::bind(&path), Err(UnixError::NotSocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let long = folder.path().join("x".repeat(108));
        assert!(matches!(Socket::bind(&long), Err(UnixError::TooLong { .. })));
    }
}
