//! Reads an archive, and believes nothing of it but what its checkpoint's signature covers.

use std::collections::VecDeque;
use std::future::Future;

use prost::bytes::Bytes;
use tokio::task::{JoinHandle, JoinSet};

use super::{AT_ONCE, ArchiveError, CHECKPOINT, Place, wrong};
use crate::audit::{Auditor, Views};
use crate::core::tlog::checkpoint::Checkpoint;
use crate::core::tlog::note::NoteVerifier;
use crate::core::tlog::tile::{
    BundleId, RightEdge, TILE_WIDTH, TileId, decode_bundle, encode_tile, partial_tiles,
    tiles_of_size,
};
use crate::core::tlog::{Hash, leaf_hash};

/// An archive as of its checkpoint.
pub struct Reader {
    place: Place,
    checkpoint: Checkpoint,
}

impl Reader {
    /// Reads the checkpoint.
    ///
    /// # Errors
    /// [`ArchiveError`] when there is none that the log's key signed.
    pub async fn open(place: Place, log: &NoteVerifier) -> Result<Self, ArchiveError> {
        let note = place.get(CHECKPOINT).await?;
        let (note, _) = note.ok_or_else(|| ArchiveError::Missing(CHECKPOINT.into()))?;
        let trusted = std::slice::from_ref(log);
        let checkpoint = Checkpoint::verify(&note, trusted, log.name().as_str());
        let checkpoint = checkpoint.map_err(|error| wrong(CHECKPOINT, error))?;
        Ok(Self { place, checkpoint })
    }

    /// What is covered.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Gives an audit all entries, compares every tile with them, and says from time to time how far it is.
    ///
    /// # Errors
    /// [`ArchiveError`] names the first object that is missing or wrong.
    pub async fn replay<V: Views>(
        &self,
        auditor: &mut Auditor<V>,
        mut progress: impl FnMut(u64),
    ) -> Result<(), ArchiveError> {
        let size = self.checkpoint.size();
        let level_0 = tiles_of_size(size).take_while(|tile| tile.level() == 0);
        let mut wanted = level_0.filter_map(|tile| BundleId::new(tile.index(), tile.width()).ok());
        let mut ahead = VecDeque::new();
        let mut tiles = Tiles::new(&self.place);
        let mut edge = RightEdge::new();
        loop {
            while ahead.len() < AT_ONCE
                && let Some(bundle) = wanted.next()
            {
                ahead.push_back((bundle, Fetch::new(fetch_bundle(self.place.clone(), bundle))));
            }
            let Some((bundle, fetch)) = ahead.pop_front() else {
                break;
            };
            let mut full = Vec::new();
            for entry in fetch.done().await? {
                let leaf = leaf_hash(&entry);
                auditor.push(entry)?;
                edge.append(leaf, &mut |tile, hashes| full.push((tile, hashes.to_vec())))
                    .map_err(|_| wrong(bundle.path(), "the log is longer than a log can be"))?;
            }
            for (tile, hashes) in full {
                tiles.compare(tile, &hashes).await?;
            }
            progress(edge.size().get());
        }
        for tile in partial_tiles(size) {
            tiles.compare(tile, edge.partial(tile.level())).await?;
        }
        tiles.finish().await?;
        if edge.root() != self.checkpoint.root() {
            return Err(wrong(
                CHECKPOINT,
                "the entries do not lead to the root that it commits to",
            ));
        }
        Ok(())
    }
}

/// A task that is given up when nobody waits for it any more.
struct Fetch<T>(JoinHandle<T>);

impl<T: Send + 'static> Fetch<Result<T, ArchiveError>> {
    fn new(future: impl Future<Output = Result<T, ArchiveError>> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }

    async fn done(mut self) -> Result<T, ArchiveError> {
        (&mut self.0).await.map_err(|_| ArchiveError::Ended)?
    }
}

impl<T> Drop for Fetch<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tiles that are being compared.
struct Tiles<'a> {
    place: &'a Place,
    tasks: JoinSet<Result<(), ArchiveError>>,
}

impl<'a> Tiles<'a> {
    fn new(place: &'a Place) -> Self {
        let tasks = JoinSet::new();
        Self { place, tasks }
    }

    async fn compare(&mut self, tile: TileId, hashes: &[Hash]) -> Result<(), ArchiveError> {
        if self.tasks.len() >= AT_ONCE {
            self.one().await?;
        }
        let (place, expected) = (self.place.clone(), encode_tile(hashes));
        self.tasks.spawn(async move {
            let full = TileId::new(tile.level(), tile.index(), TILE_WIDTH);
            let full = full.map_or_else(|_| tile.path(), TileId::path);
            let found = fetch(&place, tile.path(), full).await?;
            // Of a full one in the place of a partial one, the rest is not covered by the checkpoint.
            let (name, same) = match &found {
                Found::AsNamed(name, bytes) => (name, *bytes == expected),
                Found::Full(name, bytes) => {
                    let whole = bytes.len() == usize::from(TILE_WIDTH) * 32;
                    (name, whole && bytes.starts_with(&expected))
                }
            };
            if same {
                Ok(())
            } else {
                Err(wrong(name, "it does not follow from the entries"))
            }
        });
        Ok(())
    }

    async fn one(&mut self) -> Result<bool, ArchiveError> {
        match self.tasks.join_next().await {
            Some(done) => done.map_err(|_| ArchiveError::Ended)?.map(|()| true),
            None => Ok(false),
        }
    }

    async fn finish(mut self) -> Result<(), ArchiveError> {
        while self.one().await? {}
        Ok(())
    }
}

/// An object by its name.
enum Found {
    AsNamed(String, Bytes),
    /// The full one that took the place of a partial one since the checkpoint was read.
    Full(String, Bytes),
}

/// An object, or the full one.
async fn fetch(place: &Place, name: String, full: String) -> Result<Found, ArchiveError> {
    // Where a key may not list, S3 says of what isn't there that it may not be read.
    let denied = match place.get(&name).await {
        Ok(Some((bytes, _))) => return Ok(Found::AsNamed(name, bytes)),
        Ok(None) => ArchiveError::Missing(name),
        Err(denied @ ArchiveError::Denied { .. }) => denied,
        Err(error) => return Err(error),
    };
    match place.get(&full).await {
        Ok(Some((bytes, _))) => Ok(Found::Full(full, bytes)),
        Ok(None) | Err(ArchiveError::Denied { .. }) => Err(denied),
        Err(error) => Err(error),
    }
}

async fn fetch_bundle(place: Place, bundle: BundleId) -> Result<Vec<Bytes>, ArchiveError> {
    let full = BundleId::new(bundle.index(), TILE_WIDTH);
    let full = full.map_or_else(|_| bundle.path(), BundleId::path);
    let (name, bytes, expected) = match fetch(&place, bundle.path(), full).await? {
        Found::AsNamed(name, bytes) => (name, bytes, bundle.width()),
        Found::Full(name, bytes) => (name, bytes, TILE_WIDTH),
    };
    let entries = decode_bundle(&bytes).map_err(|error| wrong(&name, error))?;
    if entries.len() != usize::from(expected) {
        let what = format!("it has {} entries, not {expected}", entries.len());
        return Err(wrong(name, what));
    }
    let entries = entries.into_iter().take(usize::from(bundle.width()));
    Ok(entries.map(|entry| bytes.slice_ref(entry)).collect())
}
