//! Secrets in files: 32-byte keys as 64 hex digits, readable by their owner alone.
//!
//! A file that others may read is refused, not repaired: by then the secret may be known. No message shows
//! any of a file's content.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

/// Hex digits of a key.
const DIGITS: usize = 64;

/// 32 secret bytes, wiped when dropped. Not printable, not copyable, on purpose.
#[derive(ZeroizeOnDrop)]
pub struct KeyBytes([u8; 32]);

impl KeyBytes {
    /// Takes over `bytes`; the caller wipes his own copy.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret itself.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// From 64 hex digits of either case.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits: &[u8; DIGITS] = text.as_bytes().try_into().ok()?;
        let mut key = Self([0; 32]);
        for (byte, pair) in key.0.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(key)
    }

    /// As 64 lower-case hex digits, wiped when dropped.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(DIGITS));
        for byte in self.0 {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        text
    }

    /// From 32 to 64 hex digits: a key of 128 to 256 bits, with zeros behind it, which HMAC takes for the same key.
    #[must_use]
    pub fn from_short_hex(text: &str) -> Option<Self> {
        if !(DIGITS / 2..=DIGITS).contains(&text.len()) || !text.len().is_multiple_of(2) {
            return None;
        }
        // Room for all of it: growing would leave a copy behind.
        let mut whole = Zeroizing::new(String::with_capacity(DIGITS));
        whole.push_str(text);
        while whole.len() < DIGITS {
            whole.push('0');
        }
        Self::from_hex(&whole)
    }

    fn random() -> io::Result<Self> {
        let mut key = Self([0; 32]);
        getrandom::fill(&mut key.0).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(key)
    }
}

impl<'de> serde::Deserialize<'de> for KeyBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?;
        let key = Self::from_hex(&text);
        text.zeroize();
        key.ok_or_else(|| serde::de::Error::custom("expected a key of 64 hex digits in quotes"))
    }
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Why a secret cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no such file.
    #[error(
        "{0} does not exist: make a key with `openssl rand -hex 32` or copy the one agreed on, then `chmod 600` it"
    )]
    Missing(PathBuf),
    /// Others than the owner may read or write it.
    #[error(
        "{path} may be read or written by others (mode {mode:04o}): make a new key if they could have, then `chmod 600 {path}`"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It does not hold 64 hex digits.
    #[error("{path} holds {found}: a key file holds 64 hex digits on one line and nothing else")]
    Content {
        /// The file.
        path: PathBuf,
        /// What it holds instead, told without showing it.
        found: String,
    },
    /// It does not hold 32 to 64 hex digits.
    #[error(
        "{path} holds {found}: the key of a mobile node has 32 to 64 hex digits on one line and nothing else"
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// What it holds instead, told without showing it.
        found: String,
    },
    /// A new file was to be made but one is there.
    #[error("{0} exists already and is not overwritten")]
    Exists(PathBuf),
    /// The operating system refused.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: io::Error,
    },
}

/// When a key file was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// By this call.
    Now,
    /// It was there before.
    Before,
}

/// Reads a key: 64 hex digits with at most a line end after them, in a file of its owner alone.
///
/// # Errors
/// See [`SecretError`].
pub fn read_key(path: &Path) -> Result<KeyBytes, SecretError> {
    let text = read_private(path)?;
    let line = line_of(&text);
    KeyBytes::from_hex(line)
        .ok_or_else(|| SecretError::Content { path: path.to_owned(), found: what_is_wrong(line) })
}

/// Reads a key of 128 to 256 bits that another make of software was given too: 32 to 64 hex digits, with zeros behind
/// them, which leave it the same key for HMAC.
///
/// # Errors
/// See [`SecretError`].
pub fn read_short_key(path: &Path) -> Result<KeyBytes, SecretError> {
    let text = read_private(path)?;
    let line = line_of(&text);
    KeyBytes::from_short_hex(line)
        .ok_or_else(|| SecretError::Short { path: path.to_owned(), found: what_is_wrong(line) })
}

fn line_of(text: &str) -> &str {
    let line = text.strip_suffix('\n').unwrap_or(text);
    line.strip_suffix('\r').unwrap_or(line)
}

/// Reads a text file after making sure that only its owner can.
///
/// # Errors
/// See [`SecretError`].
pub fn read_private(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let io = |reason| SecretError::Io { path: path.to_owned(), reason };
    let mut file = File::open(path).map_err(|reason| match reason.kind() {
        io::ErrorKind::NotFound => SecretError::Missing(path.to_owned()),
        _ => io(reason),
    })?;
    // The mode of the open file, not of the name, which could be swapped in between.
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

/// Reads the key at `path`, or makes a random one there first.
///
/// # Errors
/// See [`SecretError`]; a file that is there but wrong is never replaced.
pub fn create_if_absent(path: &Path) -> Result<(KeyBytes, Created), SecretError> {
    match read_key(path) {
        Err(SecretError::Missing(_)) => {}
        known => return known.map(|key| (key, Created::Before)),
    }
    let key = KeyBytes::random().map_err(|reason| SecretError::Io { path: path.to_owned(), reason })?;
    match write_key(path, &key) {
        // Another process was faster: its key is the one.
        Err(SecretError::Exists(_)) => read_key(path).map(|key| (key, Created::Before)),
        done => done.map(|()| (key, Created::Now)),
    }
}

/// Writes `key` to a new file of mode 0600 and waits until it is on the disk.
///
/// # Errors
/// See [`SecretError`]; an existing file is never overwritten.
pub fn write_key(path: &Path, key: &KeyBytes) -> Result<(), SecretError> {
    let mut line = key.to_hex();
    line.push('\n');
    let temporary = write_beside(path, line.as_bytes())?;
    // A hard link, unlike a rename, fails if the name is taken, and the file appears whole or not at all.
    let linked = std::fs::hard_link(&temporary, path);
    let _ = std::fs::remove_file(&temporary);
    linked.map_err(|reason| match reason.kind() {
        io::ErrorKind::AlreadyExists => SecretError::Exists(path.to_owned()),
        _ => SecretError::Io { path: path.to_owned(), reason },
    })?;
    sync_folder(path)
}

/// Puts `content` at `path` with mode 0600, whole or not at all, replacing what was there, and waits until it
/// is on the disk.
///
/// # Errors
/// If the operating system refuses; the old content is then still there.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), SecretError> {
    let temporary = write_beside(path, content)?;
    std::fs::rename(&temporary, path).map_err(|reason| {
        let _ = std::fs::remove_file(&temporary);
        SecretError::Io { path: path.to_owned(), reason }
    })?;
    sync_folder(path)
}

/// Writes a synced file of mode 0600 in the same folder and returns its name.
fn write_beside(path: &Path, content: &[u8]) -> Result<PathBuf, SecretError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = PathBuf::from(name);
    let _ = std::fs::remove_file(&temporary);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|reason| {
        let _ = std::fs::remove_file(&temporary);
        SecretError::Io { path: path.to_owned(), reason }
    })?;
    Ok(temporary)
}

/// Without this a crash could lose the name of a file whose content is safe.
fn sync_folder(path: &Path) -> Result<(), SecretError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|reason| SecretError::Io { path: path.to_owned(), reason })
}

fn what_is_wrong(line: &str) -> String {
    if line.is_empty() {
        "nothing".to_owned()
    } else if line.bytes().all(|digit| nibble(digit).is_some()) {
        format!("{} hex digits", line.len())
    } else {
        "other characters than hex digits".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn file(content: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    fn refusal(content: &str, mode: u32) -> String {
        let (_folder, path) = file(content, mode);
        match read_key(&path) {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_key_with_or_without_line_end_is_read() {
        for content in [HEX.to_owned(), format!("{HEX}\n"), format!("{}\r\n", HEX.to_uppercase())] {
            let (_folder, path) = file(&content, 0o600);
            let key = read_key(&path).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(key.expose()[31], 31);
            assert_eq!(*key.to_hex(), HEX);
        }
    }

    #[test]
    fn a_shorter_key_has_zeros_behind_it() {
        for (digits, last) in [(32, 15), (34, 16), (64, 31)] {
            let (_folder, path) = file(&format!("{}\n", &HEX[..digits]), 0o600);
            let key = read_short_key(&path).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(key.expose()[last], u8::try_from(last).unwrap());
            assert!(key.expose()[last + 1..].iter().all(|byte| *byte == 0));
        }
        for wrong in [&HEX[..30], &HEX[..33], &format!("{HEX}ab"), "", &HEX.replace('0', "x")] {
            let (_folder, path) = file(wrong, 0o600);
            let Err(error) = read_short_key(&path) else { panic!("accepted") };
            assert!(error.to_string().contains("32 to 64 hex digits"), "{error}");
            assert!(!error.to_string().contains("0405"), "{error}");
        }
        let (_folder, path) = file(&HEX[..32], 0o640);
        assert!(matches!(read_short_key(&path), Err(SecretError::Exposed { .. })));
    }

    #[test]
    fn a_file_others_may_read_or_write_is_refused() {
        for mode in [0o640, 0o604, 0o620, 0o602, 0o660, 0o777] {
            let message = refusal(HEX, mode);
            assert!(message.contains("chmod 600") && message.contains(&format!("{mode:04o}")), "{message}");
        }
    }

    #[test]
    fn wrong_content_is_refused_without_showing_it() {
        for (content, told) in [
            ("", "nothing"),
            (&HEX[..63], "63 hex digits"),
            (&format!("{HEX}ab"), "66 hex digits"),
            (&HEX.replace('0', "x"), "other characters"),
            (&format!("{HEX}\n\n"), "other characters"),
        ] {
            let message = refusal(content, 0o600);
            assert!(message.contains(told), "{message}");
            assert!(!message.contains("0405"), "{message}");
        }
    }

    #[test]
    fn an_absent_key_is_made_once_and_then_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ha.kek");
        let (first, made) = create_if_absent(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(made, Created::Now);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (second, made) = create_if_absent(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(made, Created::Before);
        assert_eq!(first.expose(), second.expose());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_wrong_key_file_is_never_replaced() {
        let (_folder, path) = file("short", 0o600);
        assert!(matches!(create_if_absent(&path), Err(SecretError::Content { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "short");
    }

    #[test]
    fn a_new_key_never_overwrites_but_private_content_does() {
        let (_folder, path) = file("old", 0o600);
        assert!(matches!(write_key(&path, &KeyBytes::new([7; 32])), Err(SecretError::Exists(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        write_private(&path, b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
