//! Where an archive is: a bucket and a prefix, a folder, or (to read only) a web site.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Certificate, ClientOptions, Error, ObjectStore, ObjectStoreExt as _,
    PutMode, PutOptions, RetryConfig, UpdateVersion,
};
use prost::bytes::Bytes;
use tokio_stream::StreamExt as _;
use url::Url;

use super::{ArchiveError, CHECKPOINT};

/// What names the folder's only writer; beside the log's own names, so no client asks for it.
const LOCK: &str = "writer.lock";
/// Larger than any object of a log: a full bundle of the longest entries.
const MAX_OBJECT_BYTES: u64 = 256 * (2 + u16::MAX as u64);
/// How long one object is tried again and again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The place of an archive.
#[derive(Clone, Debug)]
pub struct Place {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    kind: Kind,
    /// Held while a folder is written to.
    _lock: Option<Arc<File>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    Bucket,
    Site,
}

impl Place {
    /// An archive to read: `s3://bucket/prefix`, `file:///folder`, or `https://site/prefix`. What S3 needs besides
    /// comes from the environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL` and so on).
    ///
    /// # Errors
    /// [`ArchiveError::Url`] says what the address lacks.
    pub fn to_read(url: &str, ca: Option<&[u8]>) -> Result<Self, ArchiveError> {
        Self::open(url, ca, false)
    }

    /// An archive to write to, of one of the first two kinds; a folder is made, and belongs to this process alone.
    ///
    /// # Errors
    /// [`ArchiveError::Url`], [`ArchiveError::File`], [`ArchiveError::Locked`].
    pub fn to_write(url: &str) -> Result<Self, ArchiveError> {
        Self::open(url, None, true)
    }

    fn open(address: &str, ca: Option<&[u8]>, write: bool) -> Result<Self, ArchiveError> {
        let refused = |why: String| ArchiveError::Url {
            url: address.to_owned(),
            why,
        };
        let url = Url::parse(address).map_err(|error| refused(error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(refused(
                "it has no user, password or query; secrets are in the environment".into(),
            ));
        }
        // The only TLS in this program; a second call finds it done.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut options = ClientOptions::new().with_allow_http(true);
        if let Some(ca) = ca {
            let all =
                Certificate::from_pem_bundle(ca).map_err(|error| refused(error.to_string()))?;
            options = all
                .into_iter()
                .fold(options, ClientOptions::with_root_certificate);
        }
        let retry = RetryConfig {
            retry_timeout: PATIENCE,
            ..RetryConfig::default()
        };
        let prefix =
            |url: &Url| Path::from_url_path(url.path()).map_err(|error| refused(error.to_string()));
        match url.scheme() {
            "file" => Self::folder(&url, address, write),
            "s3" => {
                let bucket = AmazonS3Builder::from_env()
                    .with_url(address)
                    .with_retry(retry);
                let bucket = bucket.build().map_err(|error| refused(error.to_string()))?;
                Ok(Self {
                    objects: Arc::new(bucket),
                    prefix: prefix(&url)?,
                    kind: Kind::Bucket,
                    _lock: None,
                })
            }
            "http" | "https" if !write => {
                let site = HttpBuilder::new()
                    .with_url(address)
                    .with_client_options(options)
                    .with_retry(retry);
                let site = site.build().map_err(|error| refused(error.to_string()))?;
                Ok(Self {
                    objects: Arc::new(site),
                    prefix: Path::default(),
                    kind: Kind::Site,
                    _lock: None,
                })
            }
            other => Err(refused(format!("`{other}` is no way to an archive"))),
        }
    }

    fn folder(url: &Url, address: &str, write: bool) -> Result<Self, ArchiveError> {
        let path = url.to_file_path().map_err(|()| ArchiveError::Url {
            url: address.to_owned(),
            why: "it names no folder of this machine".into(),
        })?;
        let file = |error| ArchiveError::File {
            path: path.clone(),
            error,
        };
        let lock = if write {
            std::fs::create_dir_all(&path).map_err(file)?;
            let lock = File::create(path.join(LOCK)).map_err(file)?;
            lock.try_lock().map_err(|error| match error {
                std::fs::TryLockError::WouldBlock => ArchiveError::Locked(address.to_owned()),
                std::fs::TryLockError::Error(error) => file(error),
            })?;
            Some(Arc::new(lock))
        } else {
            None
        };
        let folder =
            LocalFileSystem::new_with_prefix(&path).map_err(|error| ArchiveError::Object {
                name: path.display().to_string(),
                error,
            })?;
        Ok(Self {
            objects: Arc::new(folder.with_fsync(true).with_automatic_cleanup(true)),
            prefix: Path::default(),
            kind: Kind::Folder,
            _lock: lock,
        })
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), Path::join)
    }

    /// An object and which version of it that is; none where there is none.
    ///
    /// # Errors
    /// [`ArchiveError::Object`] when the place doesn't answer.
    pub(super) async fn get(
        &self,
        name: &str,
    ) -> Result<Option<(Bytes, UpdateVersion)>, ArchiveError> {
        let found = match self.objects.get(&self.path(name)).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(object(name, error)),
        };
        if found.meta.size > MAX_OBJECT_BYTES {
            let what = format!(
                "{} bytes are more than any file of a log has",
                found.meta.size
            );
            return Err(super::wrong(name, what));
        }
        let version = UpdateVersion {
            e_tag: found.meta.e_tag.clone(),
            version: found.meta.version.clone(),
        };
        let bytes = found.bytes().await.map_err(|error| object(name, error))?;
        Ok(Some((bytes, version)))
    }

    /// Writes an object, and reads it back.
    ///
    /// # Errors
    /// [`ArchiveError::Object`], [`ArchiveError::ReadBack`].
    pub(super) async fn put(&self, name: &str, bytes: &Bytes) -> Result<(), ArchiveError> {
        self.put_as(name, bytes, PutMode::Overwrite)
            .await
            .map_err(|error| object(name, error))?;
        match self.get(name).await? {
            Some((found, _)) if found == *bytes => Ok(()),
            _ => Err(ArchiveError::ReadBack { name: name.into() }),
        }
    }

    /// Writes a checkpoint over the one that was read before; false when another writer was faster.
    ///
    /// # Errors
    /// As [`Place::put`].
    pub(super) async fn replace_checkpoint(
        &self,
        bytes: &Bytes,
        before: Option<UpdateVersion>,
    ) -> Result<bool, ArchiveError> {
        let mode = match (self.kind, before) {
            // A folder has one writer.
            (Kind::Folder | Kind::Site, _) => PutMode::Overwrite,
            (Kind::Bucket, None) => PutMode::Create,
            (Kind::Bucket, Some(version)) => PutMode::Update(version),
        };
        match self.put_as(CHECKPOINT, bytes, mode).await {
            Ok(()) => {}
            Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => return Ok(false),
            Err(error) => return Err(object(CHECKPOINT, error)),
        }
        match self.get(CHECKPOINT).await? {
            // In a bucket another may have written a later one since, which is as good.
            Some((found, _)) if found == *bytes || self.kind == Kind::Bucket => Ok(true),
            _ => Err(ArchiveError::ReadBack {
                name: CHECKPOINT.into(),
            }),
        }
    }

    async fn put_as(&self, name: &str, bytes: &Bytes, mode: PutMode) -> Result<(), Error> {
        let mut attributes = Attributes::new();
        if self.kind == Kind::Bucket {
            let (kind, caching) = headers(name);
            attributes.insert(Attribute::ContentType, kind.into());
            attributes.insert(Attribute::CacheControl, caching.into());
        }
        let options = PutOptions {
            mode,
            attributes,
            ..PutOptions::default()
        };
        let path = self.path(name);
        let put = self.objects.put_opts(&path, bytes.clone().into(), options);
        put.await.map(|_| ())
    }

    /// Takes away what lies below a name.
    ///
    /// # Errors
    /// [`ArchiveError::Object`].
    pub(super) async fn remove_below(&self, name: &str) -> Result<(), ArchiveError> {
        let failed = |error| object(name, error);
        let below = self.path(name);
        let mut found = self.objects.list(Some(&below));
        while let Some(one) = found.next().await {
            let one = match one {
                Ok(one) => one.location,
                Err(Error::NotFound { .. }) => continue,
                Err(error) => return Err(failed(error)),
            };
            match self.objects.delete(&one).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }
}

/// What a bucket that is served as a web site says of an object. Bundles are not for everyone.
fn headers(name: &str) -> (&'static str, &'static str) {
    const FOR_EVER: &str = "public, max-age=31536000, immutable";
    if name == CHECKPOINT {
        ("text/plain; charset=utf-8", "no-cache")
    } else if name.starts_with("tile/entries/") {
        ("application/octet-stream", "private, max-age=86400")
    } else {
        ("application/octet-stream", FOR_EVER)
    }
}

fn object(name: &str, error: Error) -> ArchiveError {
    ArchiveError::Object {
        name: name.into(),
        error,
    }
}
