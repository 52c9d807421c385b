//! From a ledger into its archive, round after round.
//!
//! A round writes what the log has and the archive's checkpoint doesn't cover, reads each object back, and only then
//! lets the checkpoint follow: so what the checkpoint covers is there, whenever the process ends.

use std::sync::Arc;

use object_store::UpdateVersion;
use prost::bytes::Bytes;
use tokio::task::JoinSet;

use super::{AT_ONCE, ArchiveError, CHECKPOINT, Place, wrong};
use crate::core::tlog::checkpoint::Checkpoint;
use crate::core::tlog::tile::{BundleId, TileId, encode_tile, partial_tiles, tiles_since};
use crate::core::tlog::{Hash, TreeSize};
use crate::node::Node;
use crate::store::{LogHead, Store, StoreError};

/// Most entries of a round: so much is done again when one is interrupted.
const ROUND: u64 = 1 << 16;

/// Brings an archive up to its ledger.
pub struct Publisher {
    node: Arc<Node>,
    place: Place,
    /// Whether an earlier round, of this process or another, may have left something above the checkpoint.
    unsure: bool,
}

/// What a round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// Entries that the archive's checkpoint covers.
    pub size: u64,
    /// Objects that were written.
    pub written: usize,
    /// The log goes on: another round has something to do at once.
    pub more: bool,
}

/// What is written: tiles, and bundles, which lie beside the tiles of level 0.
#[derive(Clone, Copy)]
enum Piece {
    Tile(TileId),
    Bundle(BundleId),
}

impl Piece {
    fn path(self) -> String {
        match self {
            Self::Tile(tile) => tile.path(),
            Self::Bundle(bundle) => bundle.path(),
        }
    }

    const fn is_full(self) -> bool {
        match self {
            Self::Tile(tile) => tile.is_full(),
            Self::Bundle(bundle) => bundle.is_full(),
        }
    }

    fn read(self, store: &Store) -> Result<Bytes, StoreError> {
        let bytes = match self {
            Self::Tile(tile) => encode_tile(&store.tile(tile)?),
            Self::Bundle(bundle) => store.bundle(bundle)?,
        };
        Ok(bytes.into())
    }
}

fn with_bundles(tiles: impl Iterator<Item = TileId>) -> impl Iterator<Item = Piece> {
    tiles.flat_map(|tile| {
        let bundle = (tile.level() == 0).then(|| BundleId::new(tile.index(), tile.width()).ok());
        let bundle = bundle.flatten().map(Piece::Bundle);
        std::iter::once(Piece::Tile(tile)).chain(bundle)
    })
}

impl Publisher {
    /// Nothing is written yet.
    #[must_use]
    pub const fn new(node: Arc<Node>, place: Place) -> Self {
        Self {
            node,
            place,
            unsure: true,
        }
    }

    /// Brings the archive up to the log as it is now, or a good way towards it.
    ///
    /// # Errors
    /// [`ArchiveError`]; unless the archive contradicts the ledger, another try may do.
    pub async fn round(&mut self) -> Result<Round, ArchiveError> {
        let done = self.attempt().await;
        self.unsure = done.is_err();
        done
    }

    async fn attempt(&self) -> Result<Round, ArchiveError> {
        let here = *self.node.head().borrow();
        let (from, version) = self.covered(here.size).await?;
        let next = (from.get() / ROUND + 1).saturating_mul(ROUND);
        let to = TreeSize::new(here.size.min(next));
        if from >= to {
            let size = from.get();
            return Ok(Round {
                size,
                written: 0,
                more: false,
            });
        }
        let head = LogHead {
            size: to.get(),
            root: self.root_at(to).await?,
        };
        let signed = self.node.checkpoint(head).await;
        let checkpoint = signed.map_err(|refusal| ArchiveError::Unsigned(refusal.to_string()))?;
        let written = self.write(with_bundles(tiles_since(from, to))).await?;
        self.clear(from, to).await?;
        let checkpoint = Bytes::from(checkpoint);
        let replaced = self.place.replace_checkpoint(&checkpoint, version);
        let replaced = replaced.await?;
        // What is there now: this one, or a later one of another node.
        let now = self.checkpoint().await?;
        let size = now.map_or(TreeSize::new(0), |(now, _)| now.size());
        if size <= from || (replaced && size < to) {
            return Err(ArchiveError::NotReplaced(CHECKPOINT));
        }
        Ok(Round {
            size: size.get(),
            written: written + usize::from(replaced),
            more: here.size > size.get(),
        })
    }

    async fn root_at(&self, size: TreeSize) -> Result<Hash, ArchiveError> {
        let store = Arc::clone(self.node.store());
        let root = tokio::task::spawn_blocking(move || store.root_at(size.get()));
        Ok(root.await.map_err(|_| ArchiveError::Ended)??)
    }

    /// How many entries the archive covers; none where there is none yet.
    ///
    /// # Errors
    /// [`ArchiveError`] when it can't be read, or isn't one of this log.
    pub async fn archived(&self) -> Result<u64, ArchiveError> {
        let here = self.node.head().borrow().size;
        let (size, version) = self.covered(here).await?;
        if version.is_none() {
            self.place.probe().await?;
        }
        Ok(size.get())
    }

    async fn checkpoint(&self) -> Result<Option<(Checkpoint, UpdateVersion)>, ArchiveError> {
        let Some((note, version)) = self.place.get(CHECKPOINT).await? else {
            return Ok(None);
        };
        let trusted = [self.node.log_verifier()];
        let checkpoint = Checkpoint::verify(&note, &trusted, self.node.origin());
        let checkpoint = checkpoint.map_err(|error| wrong(CHECKPOINT, error))?;
        Ok(Some((checkpoint, version)))
    }

    /// The same, and which version of its checkpoint says so.
    async fn covered(&self, here: u64) -> Result<(TreeSize, Option<UpdateVersion>), ArchiveError> {
        let Some((checkpoint, version)) = self.checkpoint().await? else {
            return Ok((TreeSize::new(0), None));
        };
        let size = checkpoint.size();
        if size.get() > here {
            // A node of a cluster may be behind the one that wrote it, but none can have signed it unnoted.
            let noted = self.node.noted().await;
            let noted = noted.map_err(|error| ArchiveError::Unsigned(error.to_string()))?;
            if noted.is_none_or(|noted| noted < size.get()) {
                let archived = size.get();
                return Err(ArchiveError::Ahead { archived, here });
            }
            return Ok((size, Some(version)));
        }
        if self.root_at(size).await? != checkpoint.root() {
            return Err(ArchiveError::Forked(size.get()));
        }
        Ok((size, Some(version)))
    }

    async fn write(&self, pieces: impl Iterator<Item = Piece>) -> Result<usize, ArchiveError> {
        let mut tasks = JoinSet::new();
        let mut written = 0;
        for piece in pieces {
            if tasks.len() >= AT_ONCE {
                written += usize::from(one_of(&mut tasks).await?);
            }
            let (store, place) = (Arc::clone(self.node.store()), self.place.clone());
            tasks.spawn(write(store, place, piece, self.unsure));
        }
        while !tasks.is_empty() {
            written += usize::from(one_of(&mut tasks).await?);
        }
        Ok(written)
    }

    /// Takes away the partial objects of tiles that are full now (tlog-tiles, section "Partial Tiles").
    async fn clear(&self, from: TreeSize, to: TreeSize) -> Result<(), ArchiveError> {
        let all = with_bundles(tiles_since(from, to)).filter(|_| self.unsure);
        // Those of the last checkpoint, in their present width; all others were taken away in their round.
        let known =
            partial_tiles(from).filter_map(|tile| TileId::in_log(tile.level(), tile.index(), to));
        let known = with_bundles(known).filter(|_| !self.unsure);
        let mut tasks = JoinSet::new();
        for piece in all.chain(known).filter(|piece| piece.is_full()) {
            if tasks.len() >= AT_ONCE {
                one_of(&mut tasks).await?;
            }
            let place = self.place.clone();
            tasks.spawn(async move { place.remove_below(&format!("{}.p", piece.path())).await });
        }
        while !tasks.is_empty() {
            one_of(&mut tasks).await?;
        }
        Ok(())
    }
}

/// What came of one of several tasks.
async fn one_of<T: Default + 'static>(
    tasks: &mut JoinSet<Result<T, ArchiveError>>,
) -> Result<T, ArchiveError> {
    match tasks.join_next().await {
        Some(done) => done.map_err(|_| ArchiveError::Ended)?,
        None => Ok(T::default()),
    }
}

/// Writes one object, unless it is there already. What an earlier round left above the checkpoint may be of a log that was
/// lost, and is replaced; later, nobody but a fork of this ledger can have written it.
async fn write(
    store: Arc<Store>,
    place: Place,
    piece: Piece,
    unsure: bool,
) -> Result<bool, ArchiveError> {
    let bytes = tokio::task::spawn_blocking(move || piece.read(&store));
    let bytes = bytes.await.map_err(|_| ArchiveError::Ended)??;
    let name = piece.path();
    // A look saves sending what an interrupted round has written.
    if unsure
        && place
            .get(&name)
            .await?
            .is_some_and(|(found, _)| found == bytes)
    {
        return Ok(false);
    }
    place.put(&name, &bytes, unsure).await
}
