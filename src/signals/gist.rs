//! Of a record only what is counted and noted of each: to decode the rest costs several times as much.

use prost::Message;

/// The place, and what an event is known by.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Gist {
    #[prost(message, optional, tag = "8")]
    pub place: Option<Place>,
    #[prost(message, optional, tag = "11")]
    pub context: Option<Context>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Place {
    #[prost(string, tag = "2")]
    pub region: String,
    #[prost(string, tag = "3")]
    pub city: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Context {
    #[prost(string, tag = "1")]
    pub event_id: String,
    #[prost(message, optional, tag = "19")]
    pub error_declaration: Option<Anything>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Anything {}

impl Gist {
    /// Of a record's payload; empty where that is none.
    pub(super) fn of(payload: &[u8]) -> Self {
        Self::decode(payload).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::wire;

    #[test]
    fn what_is_read_of_a_record_is_as_the_whole_record_has_it() {
        let place = wire::Place {
            region: "CN-FJ".into(),
            city: "福州".into(),
            location: "414/0614141000005".into(),
            ..wire::Place::default()
        };
        let context = wire::EventContext {
            event_id: "urn:uuid:1".into(),
            error_declaration: Some(wire::ErrorDeclaration::default()),
            ..wire::EventContext::default()
        };
        let record = wire::Record {
            origin: "x".into(),
            nonce: vec![1; 16],
            place: Some(place),
            context: Some(context),
            ..wire::Record::default()
        };
        let gist = Gist::of(&record.encode_to_vec());
        let place = gist.place.unwrap();
        assert_eq!((&*place.region, &*place.city), ("CN-FJ", "福州"));
        let context = gist.context.unwrap();
        assert_eq!(context.event_id, "urn:uuid:1");
        assert!(context.error_declaration.is_some());
        assert_eq!(Gist::of(b"\xff"), Gist::default());
    }
}
