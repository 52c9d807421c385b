//! Drafts as JSON: the protobuf JSON mapping of `custody.v1.Record`.
//!
//! A drafter writes what happened (`units`, `place`, one body); format, origin, key, nonce, time
//! and heads are filled in when it is signed.

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde::de::DeserializeSeed as _;

use super::ClientError;
use crate::core::wire;

/// Reads a draft.
///
/// # Errors
/// [`ClientError::Draft`] says what is wrong, and where.
pub fn parse(json: &str) -> Result<wire::Record, ClientError> {
    let draft = |error: String| ClientError::Draft(error);
    let record = descriptors()?
        .get_message_by_name("custody.v1.Record")
        .ok_or_else(|| draft("no custody.v1.Record".into()))?;
    let mut json = serde_json::Deserializer::from_str(json);
    let message = record
        .deserialize(&mut json)
        .map_err(|error| draft(error.to_string()))?;
    json.end().map_err(|error| draft(error.to_string()))?;
    wire::Record::decode(message.encode_to_vec().as_slice())
        .map_err(|error| draft(error.to_string()))
}

/// Any message of the proto files as JSON.
///
/// # Errors
/// [`ClientError::Draft`] for a name that is not in the proto files.
pub fn to_json<M: prost::Message>(
    name: &str,
    message: &M,
) -> Result<serde_json::Value, ClientError> {
    let draft = |error: String| ClientError::Draft(error);
    let descriptor = descriptors()?
        .get_message_by_name(&format!("custody.v1.{name}"))
        .ok_or_else(|| draft(format!("no message {name}")))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .map_err(|error| draft(error.to_string()))?;
    let options = SerializeOptions::new()
        .skip_default_fields(true)
        .stringify_64_bit_integers(false);
    dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| draft(error.to_string()))
}

/// The descriptors of all messages and services.
///
/// # Errors
/// None: they were compiled with the program, and a test reads them.
pub fn descriptors() -> Result<DescriptorPool, ClientError> {
    static POOL: std::sync::OnceLock<Option<DescriptorPool>> = std::sync::OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(wire::FILE_DESCRIPTOR_SET).ok())
        .clone()
        .ok_or_else(|| ClientError::Draft("the descriptors don't parse".into()))
}
