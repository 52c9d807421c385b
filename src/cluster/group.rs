//! What a commit group is as bytes.

use prost::Message as _;
use prost::bytes::Bytes;

use crate::core::order::GroupId;
use crate::core::record::Millis;
use crate::core::wire;

/// Most bytes of a group: etcd takes 1.5 MiB in a request, keys and comparisons included.
pub const MAX_GROUP_BYTES: usize = 1 << 20;

/// A group that was made, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The group before it.
    pub previous: GroupId,
    /// Its own name.
    pub id: GroupId,
    /// Clock of whoever made it.
    pub time: Millis,
    /// The bytes.
    pub bytes: Bytes,
    /// What its proposer has to say after it.
    pub after: After,
}

/// What a node has to say after a group, as far as it knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum After {
    #[default]
    Nothing,
    /// Another group, in its next turn.
    Later,
    /// Another group, at once.
    Now,
}

/// What is wrong with a group.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum GroupError {
    #[error("group {number} does not decode: {error}")]
    Encoding {
        number: u64,
        error: prost::DecodeError,
    },
    #[error("under number {number} lies group {found}")]
    Misplaced { number: u64, found: u64 },
    #[error("group {number} follows another group than {last}, which was applied here")]
    Fork { number: u64, last: GroupId },
}

/// The group after another one.
#[must_use]
pub fn encode(
    previous: GroupId,
    time: Millis,
    proposer: &str,
    records: Vec<wire::Envelope>,
    private_changes: Vec<Vec<u8>>,
) -> Encoded {
    let number = previous.number + 1;
    let group = wire::CommitGroup {
        number,
        previous: previous.hash.to_vec(),
        time_ms: time.0,
        proposer: proposer.to_owned(),
        records,
        private_changes,
    };
    let bytes = Bytes::from(group.encode_to_vec());
    Encoded {
        previous,
        id: GroupId::of(number, &bytes),
        time,
        bytes,
        after: After::default(),
    }
}

/// Reads the group after another one.
///
/// # Errors
/// [`GroupError`] when it isn't that.
pub fn decode(last: GroupId, bytes: Bytes) -> Result<(GroupId, wire::CommitGroup), GroupError> {
    let number = last.number + 1;
    let id = GroupId::of(number, &bytes);
    let group = wire::CommitGroup::decode(bytes);
    let group = group.map_err(|error| GroupError::Encoding { number, error })?;
    if group.number != number {
        let found = group.number;
        return Err(GroupError::Misplaced { number, found });
    }
    if group.previous != last.hash {
        return Err(GroupError::Fork { number, last });
    }
    Ok((id, group))
}
