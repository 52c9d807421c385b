//! What records of access say, checked. The proto explains each.

use crate::core::id::PartyId;
use crate::core::record::{Kind, Millis};

/// Who may read what.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the same words as in the proto, which explains each
pub enum AccessBody {
    OpenFile {
        subject: PartyId,
        purpose: String,
        document: String,
    },
    AuthoriseView {
        viewer: PartyId,
        /// None ends it.
        until: Option<Millis>,
    },
}

impl AccessBody {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::OpenFile { .. } => Kind::OpenFile,
            Self::AuthoriseView { .. } => Kind::AuthoriseView,
        }
    }
}
