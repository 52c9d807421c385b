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

use super::bounded::Bounded;
use super::{ArchiveError, CHECKPOINT};

/// What names the folder's only writer; beside the log's own names, so no client asks for it.
const LOCK: &str = "writer.lock";
/// Larger than any object of a log: a full bundle of the longest entries.
const MAX_OBJECT_BYTES: u64 = 256 * (2 + u16::MAX as u64);
/// Most letters of what a server says that are told on.
const MAX_TOLD: usize = 400;
/// How long one object is tried again and again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The place of an archive.
#[derive(Clone, Debug)]
pub struct Place {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// It says of each object what it is; a folder can't.
    is_bucket: bool,
    /// Held while a folder is written to.
    _lock: Option<Arc<File>>,
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
        let address = address.trim_end_matches('/');
        let refused = |url: &str, why: String| ArchiveError::Url {
            url: url.to_owned(),
            why,
        };
        let mut url = Url::parse(address).map_err(|error| refused(address, error.to_string()))?;
        let plain = url.username().is_empty() && url.password().is_none();
        if !plain || url.query().is_some() {
            // Told on without the secrets that may be in it; where none can be, there is nothing to take out.
            let _ = (url.set_username(""), url.set_password(None));
            url.set_query(None);
            let why = "it has a user, password or query; secrets are in the environment";
            return Err(refused(url.as_str(), why.into()));
        }
        let unusable = |error: &dyn std::fmt::Display| refused(address, error.to_string());
        // The TLS of HTTP here; a second call finds it done.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let retry = RetryConfig {
            retry_timeout: PATIENCE,
            ..RetryConfig::default()
        };
        let bounded = || Bounded(usize::try_from(MAX_OBJECT_BYTES).unwrap_or(usize::MAX));
        let trusting = |ca: &[u8]| {
            let all = Certificate::from_pem_bundle(ca).map_err(|error| unusable(&error))?;
            let options = ClientOptions::new().with_allow_http(true);
            let all = all.into_iter();
            Ok::<_, ArchiveError>(all.fold(options, ClientOptions::with_root_certificate))
        };
        match url.scheme() {
            "file" => Self::folder(&url, address, write),
            "s3" => {
                let mut bucket = AmazonS3Builder::from_env()
                    .with_url(address)
                    .with_retry(retry)
                    .with_http_connector(bounded());
                if let Some(ca) = ca {
                    bucket = bucket.with_client_options(trusting(ca)?);
                }
                let prefix = Path::from_url_path(url.path()).map_err(|error| unusable(&error))?;
                Ok(Self {
                    objects: Arc::new(bucket.build().map_err(|error| unusable(&error))?),
                    prefix,
                    is_bucket: true,
                    _lock: None,
                })
            }
            "http" | "https" if !write => {
                let options = trusting(ca.unwrap_or_default())?;
                let site = HttpBuilder::new()
                    .with_url(address)
                    .with_client_options(options)
                    .with_retry(retry)
                    .with_http_connector(bounded());
                Ok(Self {
                    objects: Arc::new(site.build().map_err(|error| unusable(&error))?),
                    prefix: Path::default(),
                    is_bucket: false,
                    _lock: None,
                })
            }
            other => Err(unusable(&format!("`{other}` is no way to an archive"))),
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
        let folder = LocalFileSystem::new_with_prefix(&path)
            .map_err(|error| object(&path.display().to_string(), &error))?;
        Ok(Self {
            objects: Arc::new(folder.with_fsync(true).with_automatic_cleanup(true)),
            prefix: Path::default(),
            is_bucket: false,
            _lock: lock,
        })
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), Path::join)
    }

    /// That the bucket is there.
    ///
    /// # Errors
    /// [`ArchiveError::NoBucket`], [`ArchiveError::Object`].
    pub(super) async fn probe(&self) -> Result<(), ArchiveError> {
        match self.objects.list(Some(&self.prefix)).next().await {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(Error::NotFound { .. })) => {
                Err(ArchiveError::NoBucket(self.objects.to_string()))
            }
            Some(Err(error)) => Err(object("the archive", &error)),
        }
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
            Err(Error::PermissionDenied { .. } | Error::Unauthenticated { .. }) => {
                return Err(ArchiveError::Denied { name: name.into() });
            }
            Err(error) => return Err(object(name, &error)),
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
        let bytes = found.bytes().await.map_err(|error| object(name, &error))?;
        Ok(Some((bytes, version)))
    }

    /// Writes an object that never changes, and reads it back; false when it is there already. One that is there and
    /// differs is replaced only if it may be.
    ///
    /// # Errors
    /// [`ArchiveError::Object`], [`ArchiveError::ReadBack`], [`ArchiveError::Foreign`].
    pub(super) async fn put(
        &self,
        name: &str,
        bytes: &Bytes,
        may_replace: bool,
    ) -> Result<bool, ArchiveError> {
        match self.put_as(name, bytes, PutMode::Create).await {
            Ok(()) => {}
            // The server has no such condition, or it was met: then what is there says what to do.
            Err(
                Error::AlreadyExists { .. }
                | Error::Precondition { .. }
                | Error::NotImplemented { .. },
            ) => {
                let found = self.get(name).await?;
                if let Some((found, version)) = found {
                    if found == *bytes {
                        return Ok(false);
                    }
                    if !may_replace {
                        return Err(ArchiveError::Foreign(name.into()));
                    }
                    self.replace(name, bytes, version).await?;
                } else {
                    let put = self.put_as(name, bytes, PutMode::Overwrite).await;
                    put.map_err(|error| object(name, &error))?;
                }
            }
            Err(error) => return Err(object(name, &error)),
        }
        match self.get(name).await? {
            Some((found, _)) if found == *bytes => Ok(true),
            _ => Err(ArchiveError::ReadBack { name: name.into() }),
        }
    }

    /// Replaces a version of an object; false when another writer was faster.
    async fn replace(
        &self,
        name: &str,
        bytes: &Bytes,
        before: UpdateVersion,
    ) -> Result<bool, ArchiveError> {
        match self.put_as(name, bytes, PutMode::Update(before)).await {
            Ok(()) => Ok(true),
            Err(Error::Precondition { .. }) => Ok(false),
            // A folder, which has one writer; or a server without conditions, which has to have one.
            Err(Error::NotImplemented { .. }) => {
                let put = self.put_as(name, bytes, PutMode::Overwrite).await;
                put.map(|()| true).map_err(|error| object(name, &error))
            }
            Err(error) => Err(object(name, &error)),
        }
    }

    /// Writes a checkpoint over the one that was read before; false when another writer was faster. It is for the
    /// caller to read what is there then.
    ///
    /// # Errors
    /// [`ArchiveError::Object`].
    pub(super) async fn replace_checkpoint(
        &self,
        bytes: &Bytes,
        before: Option<UpdateVersion>,
    ) -> Result<bool, ArchiveError> {
        if let Some(before) = before {
            return self.replace(CHECKPOINT, bytes, before).await;
        }
        match self.put(CHECKPOINT, bytes, false).await {
            Ok(_) => Ok(true),
            Err(ArchiveError::Foreign(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn put_as(&self, name: &str, bytes: &Bytes, mode: PutMode) -> Result<(), Error> {
        let mut attributes = Attributes::new();
        if self.is_bucket {
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
        let failed = |error: Error| object(name, &error);
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

/// What went wrong, in one line: a server's answer may be a page, or more.
fn object(name: &str, error: &Error) -> ArchiveError {
    let said = error.to_string();
    let said = said.chars().take(MAX_TOLD);
    ArchiveError::Object {
        name: name.into(),
        what: said.map(|c| if c.is_control() { ' ' } else { c }).collect(),
    }
}
