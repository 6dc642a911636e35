//! Objects as files below one folder.
//!
//! An object is written to a temporary file and renamed, so a reader sees all of it or nothing. What lies below `live/` is not synced to disk: it
//! does not outlive the process anyway. Everything else (recordings, videos, pictures) is on the disk, name and all, before `put` says so, because
//! an index or a row is written next that takes it for kept.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use nova_core::store::{BoxFuture, ObjectStore, StoreError};

/// Where what passes lies: see the module.
pub(crate) const PASSING: &str = "live/";

/// A folder of objects. Clones share it.
#[derive(Clone, Debug)]
pub struct LocalStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    temporary: AtomicU64,
}

impl LocalStore {
    /// Opens the folder `root`, making it if need be.
    pub fn open(root: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(root)?;
        Ok(Self(Arc::new(Inner {
            root: root.to_owned(),
            temporary: AtomicU64::new(0),
        })))
    }
}

impl Inner {
    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        check_key(key)?;
        Ok(self.root.join(key))
    }

    fn put(&self, key: &str, pieces: &[Bytes]) -> Result<(), StoreError> {
        let path = self.path(key)?;
        let folder = path.parent().unwrap_or(&self.root);
        let temporary = folder.join(format!(".{}.tmp", self.temporary.fetch_add(1, Ordering::Relaxed)));
        let written = write(&temporary, pieces).or_else(|error| {
            if error.kind() != ErrorKind::NotFound {
                return Err(error);
            }
            std::fs::create_dir_all(folder)?;
            write(&temporary, pieces)
        });
        let written = written.and_then(|file| {
            if key.starts_with(PASSING) {
                return std::fs::rename(&temporary, &path);
            }
            file.sync_data()?;
            std::fs::rename(&temporary, &path)?;
            sync_names(folder, &self.root)
        });
        written.map_err(|source| {
            // What was written of it would only take the space that is missing.
            let _may_not_exist = std::fs::remove_file(&temporary);
            let key = key.to_owned();
            match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full { key, source },
                _ => StoreError::Io { key, source },
            }
        })
    }

    fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        let failed = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound => StoreError::NotFound(key.to_owned()),
            _ => StoreError::Io {
                key: key.to_owned(),
                source,
            },
        };
        let mut file = std::fs::File::open(self.path(key)?).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.read_to_end(&mut bytes).map_err(failed)?;
        Ok(Bytes::from(bytes))
    }

    /// A second name for the same file: nothing here writes into a file that has its name, so neither can change the other.
    fn copy(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let (source, target) = (self.path(from)?, self.path(to)?);
        let linked = std::fs::hard_link(&source, &target).or_else(|error| {
            if error.kind() != ErrorKind::NotFound {
                return Err(error);
            }
            std::fs::create_dir_all(target.parent().unwrap_or(&self.root))?;
            std::fs::hard_link(&source, &target)
        });
        match linked {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::NotFound(from.to_owned())),
            // What cannot be linked (another file system, too many names, a name that is taken) is written once more.
            Err(_) => self.put(to, &[self.get(from)?]),
        }
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        match std::fs::remove_file(self.path(key)?) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(StoreError::Io {
                key: key.to_owned(),
                source,
            }),
            _ => Ok(()),
        }
    }

    fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        let key = prefix.trim_end_matches('/');
        match std::fs::remove_dir_all(self.path(key)?) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(StoreError::Io {
                key: key.to_owned(),
                source,
            }),
            _ => Ok(()),
        }
    }
}

/// Refuses a key that would leave a store or mean something else in a URL.
pub(crate) fn check_key(key: &str) -> Result<(), StoreError> {
    let good = !key.is_empty()
        && key.len() <= 512
        && key.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        });
    if good {
        Ok(())
    } else {
        Err(StoreError::BadKey(key.to_owned()))
    }
}

/// Makes the name of a new file last, and those of the folders down to it, which may be as new.
pub(crate) fn sync_names(folder: &Path, root: &Path) -> std::io::Result<()> {
    for folder in folder.ancestors().take_while(|folder| folder.starts_with(root)) {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Writes a new file in one go.
pub(crate) fn write(path: &Path, pieces: &[Bytes]) -> std::io::Result<std::fs::File> {
    let mut file = std::fs::File::create(path)?;
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(file)
}

/// Runs file work on the runtime's blocking pool.
pub(crate) async fn blocking<T: Send + 'static>(
    key: &str,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failed) => Err(StoreError::Io {
            key: key.to_owned(),
            source: std::io::Error::other(failed),
        }),
    }
}

impl ObjectStore for LocalStore {
    fn put<'a>(&'a self, key: &'a str, pieces: Vec<Bytes>) -> BoxFuture<'a, Result<(), StoreError>> {
        let (inner, name) = (Arc::clone(&self.0), key.to_owned());
        Box::pin(blocking(key, move || inner.put(&name, &pieces)))
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        let (inner, name) = (Arc::clone(&self.0), key.to_owned());
        Box::pin(blocking(key, move || inner.get(&name)))
    }

    fn copy<'a>(&'a self, from: &'a str, to: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        let (inner, source, target) = (Arc::clone(&self.0), from.to_owned(), to.to_owned());
        Box::pin(blocking(to, move || inner.copy(&source, &target)))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        let (inner, name) = (Arc::clone(&self.0), key.to_owned());
        Box::pin(blocking(key, move || inner.delete(&name)))
    }

    fn delete_prefix<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        let (inner, name) = (Arc::clone(&self.0), prefix.to_owned());
        Box::pin(blocking(prefix, move || inner.delete_prefix(&name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_object_is_whole_and_goes_with_its_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path()).unwrap();
        store
            .put("live/a/v0/1.m4s", vec!["ab".into(), Bytes::new(), "c".into()])
            .await
            .unwrap();
        assert_eq!(store.get("live/a/v0/1.m4s").await.unwrap(), "abc");
        assert!(matches!(
            store.get("live/a/v0/2.m4s").await,
            Err(StoreError::NotFound(_))
        ));
        store.delete_prefix("live/a/").await.unwrap();
        assert!(matches!(
            store.get("live/a/v0/1.m4s").await,
            Err(StoreError::NotFound(_))
        ));
        store.delete_prefix("live/a/").await.unwrap();
        store.delete("live/a/v0/1.m4s").await.unwrap();
    }

    #[tokio::test]
    async fn a_copy_is_the_same_file_and_stays_when_the_first_goes() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path()).unwrap();
        store.put("vod/a/v0/1.m4s", vec!["abc".into()]).await.unwrap();
        store.copy("vod/a/v0/1.m4s", "vod/b/v0/1.m4s").await.unwrap();
        // A job that is done again finds what it made.
        store.copy("vod/a/v0/1.m4s", "vod/b/v0/1.m4s").await.unwrap();
        let inode = |key: &str| std::fs::metadata(dir.path().join(key)).unwrap().ino();
        store.copy("vod/a/v0/1.m4s", "vod/c/v0/1.m4s").await.unwrap();
        assert_eq!(inode("vod/a/v0/1.m4s"), inode("vod/c/v0/1.m4s"));
        store.delete_prefix("vod/a/").await.unwrap();
        assert_eq!(store.get("vod/b/v0/1.m4s").await.unwrap(), "abc");
        assert!(matches!(
            store.copy("vod/a/v0/1.m4s", "vod/d/v0/1.m4s").await,
            Err(StoreError::NotFound(_))
        ));
    }

    #[tokio::test]
    async fn keys_cannot_leave_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path()).unwrap();
        for key in [
            "../x",
            "/etc/passwd",
            "a//b",
            "a/../b",
            ".hidden",
            "a/.t",
            "",
            "a\0b",
            "a b",
        ] {
            assert!(
                matches!(store.put(key, vec![]).await, Err(StoreError::BadKey(_))),
                "{key:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_told_apart_and_leaves_nothing_behind() {
        // /dev/full answers every write with ENOSPC; linked under the name the store will open first.
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path()).unwrap();
        std::os::unix::fs::symlink("/dev/full", dir.path().join(".0.tmp")).unwrap();
        assert!(matches!(
            store.put("a", vec!["x".into()]).await,
            Err(StoreError::Full { .. })
        ));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        store.put("a", vec!["x".into()]).await.unwrap();
    }
}
