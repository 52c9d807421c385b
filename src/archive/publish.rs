//! From a ledger into its archive, round after round.
//!
//! A round writes what the log has and the archive's checkpoint doesn't cover, reads each object back, and only then
//! lets the checkpoint follow: so what the checkpoint covers is there, whenever the process ends.

use std::sync::Arc;

use object_store::UpdateVersion;
use prost::bytes::Bytes;
use tokio::task::JoinSet;

use super::{AT_ONCE, ArchiveError, CHECKPOINT, Place, wrong};
use crate::core::tlog::TreeSize;
use crate::core::tlog::checkpoint::Checkpoint;
use crate::core::tlog::tile::{BundleId, TileId, encode_tile, partial_tiles, tiles_since};
use crate::node::Node;
use crate::store::{Store, StoreError};

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

    /// Brings the archive up to the log as it is now.
    ///
    /// # Errors
    /// [`ArchiveError`]; unless the archive contradicts the ledger, another try may do.
    pub async fn round(&mut self) -> Result<Round, ArchiveError> {
        let done = self.attempt().await;
        self.unsure = done.is_err();
        done
    }

    async fn attempt(&self) -> Result<Round, ArchiveError> {
        let head = *self.node.head().borrow();
        let (from, version) = self.covered(head.size).await?;
        let to = TreeSize::new(head.size);
        if from >= to {
            let (size, written) = (from.get(), 0);
            return Ok(Round { size, written });
        }
        let signed = self.node.checkpoint(head).await;
        let checkpoint = signed.map_err(|refusal| ArchiveError::Unsigned(refusal.to_string()))?;
        let checkpoint = Bytes::from(checkpoint);
        let mut written = self.write(with_bundles(tiles_since(from, to))).await?;
        self.clear(from, to).await?;
        let replaced = self.place.replace_checkpoint(&checkpoint, version);
        written += usize::from(replaced.await?);
        let size = to.get();
        Ok(Round { size, written })
    }

    /// How many entries the archive covers; none where there is none yet.
    ///
    /// # Errors
    /// [`ArchiveError`] when it can't be read, or isn't one of this log.
    pub async fn archived(&self) -> Result<u64, ArchiveError> {
        let here = self.node.head().borrow().size;
        Ok(self.covered(here).await?.0.get())
    }

    /// The same, and which version of its checkpoint says so.
    async fn covered(&self, here: u64) -> Result<(TreeSize, Option<UpdateVersion>), ArchiveError> {
        let Some((note, version)) = self.place.get(CHECKPOINT).await? else {
            return Ok((TreeSize::new(0), None));
        };
        let trusted = [self.node.log_verifier()];
        let checkpoint = Checkpoint::verify(&note, &trusted, self.node.origin());
        let checkpoint = checkpoint.map_err(|error| wrong(CHECKPOINT, error))?;
        let size = checkpoint.size();
        if size.get() > here {
            // A node of a cluster may be behind the one that wrote it, and soon has what is missing.
            if self.node.group().is_some() {
                return Ok((size, Some(version)));
            }
            let archived = size.get();
            return Err(ArchiveError::Ahead { archived, here });
        }
        let store = Arc::clone(self.node.store());
        let root = tokio::task::spawn_blocking(move || store.root_at(size.get()));
        if root.await.map_err(|_| ArchiveError::Ended)?? != checkpoint.root() {
            return Err(ArchiveError::Forked(size.get()));
        }
        Ok((size, Some(version)))
    }

    async fn write(&self, pieces: impl Iterator<Item = Piece>) -> Result<usize, ArchiveError> {
        let mut tasks = JoinSet::new();
        let mut written = 0;
        for piece in pieces {
            if tasks.len() >= AT_ONCE
                && let Some(done) = tasks.join_next().await
            {
                written += usize::from(done.map_err(|_| ArchiveError::Ended)??);
            }
            let (store, place) = (Arc::clone(self.node.store()), self.place.clone());
            tasks.spawn(write(store, place, piece, self.unsure));
        }
        while let Some(done) = tasks.join_next().await {
            written += usize::from(done.map_err(|_| ArchiveError::Ended)??);
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
        for piece in all.chain(known).filter(|piece| piece.is_full()) {
            self.place
                .remove_below(&format!("{}.p", piece.path()))
                .await?;
        }
        Ok(())
    }
}

/// Writes one object, unless it is known to be there: a lookup saves what an interrupted round has written.
async fn write(
    store: Arc<Store>,
    place: Place,
    piece: Piece,
    look: bool,
) -> Result<bool, ArchiveError> {
    let bytes = tokio::task::spawn_blocking(move || piece.read(&store));
    let bytes = bytes.await.map_err(|_| ArchiveError::Ended)??;
    let name = piece.path();
    if look
        && place
            .get(&name)
            .await?
            .is_some_and(|(found, _)| found == bytes)
    {
        return Ok(false);
    }
    place.put(&name, &bytes).await?;
    Ok(true)
}
