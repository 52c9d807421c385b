//! The gRPC services. Each is thin: it checks what a peer sent, asks the node or the store, and
//! writes the answer; nothing is decided here.

mod alert;
pub mod arriving;
mod case;
mod claim;
mod credit;
pub(crate) mod errors;
mod event;
mod export;
mod inspection;
pub(crate) mod leaving;
mod ledger;
mod listing;
pub(crate) mod log;
mod measure;
mod pages;
mod private;
pub(crate) mod provenance;
mod read;
mod registry;
mod regulator;
mod replica;
mod report;
mod score;
pub mod session;
pub mod token;
mod upload;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tonic::service::Routes;

use crate::core::wire;
use crate::node::Node;
use crate::store::{LogHead, Reach, View};

pub use errors::status;

/// Most bytes of one message in.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// Most streams and calls open on one connection.
pub const MAX_CONCURRENT_STREAMS: u32 = 1024;
/// A stream on which nothing comes for so long is ended.
pub const STREAM_IDLE: Duration = Duration::from_secs(300);
/// Most bytes of one page or one streamed message of entries.
pub const MAX_PAGE_BYTES: usize = 4 << 20;

/// The place of a stream, if there is one.
fn granted<P>(place: Option<P>) -> Result<P, tonic::Status> {
    place.ok_or_else(|| errors::overloaded("too many streams are open; try again later"))
}

/// Answers a question that mostly is a short one: from what is in memory on the thread that serves the call, which takes
/// less than to wake another one. What would wait for the disk, or is a long one after all, goes off that thread: a few
/// cold look-ups would else hold up everybody, those who submit included.
async fn answer<T: Send + 'static>(
    node: &Arc<Node>,
    luck: &Luck,
    read: impl Fn(&View<'_>) -> Result<T, tonic::Status> + Send + 'static,
) -> Result<T, tonic::Status> {
    let at_hand = luck.is_worth_a_try().then(|| {
        let view = node.store().view_within(Reach::Memory);
        let answer = read(&view);
        let is_long = |status: &tonic::Status| status.code() == tonic::Code::ResourceExhausted;
        luck.note(!view.missed());
        let goes_on = view.missed() || answer.as_ref().is_err_and(is_long);
        (!goes_on).then_some(answer)
    });
    match at_hand.flatten() {
        Some(answer) => answer,
        None => look_up(node, move |node| read(&node.store().view())).await,
    }
}

/// Whether look-ups of a kind found in memory what they asked for last: where they mostly did not, to look there first is
/// work for nothing.
struct Luck {
    /// One more for each that did, one less for each that did not.
    score: AtomicU32,
    asked: AtomicU32,
}

impl Luck {
    const MOST: u32 = 16;
    /// Of so many without luck one tries it all the same.
    const TRY_EVERY: u32 = 8;

    const fn new() -> Self {
        Self {
            score: AtomicU32::new(Self::MOST),
            asked: AtomicU32::new(0),
        }
    }

    fn is_worth_a_try(&self) -> bool {
        // Whoever misses a change of the other guesses a little worse.
        self.score.load(Ordering::Relaxed) >= Self::MOST / 2
            || self
                .asked
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(Self::TRY_EVERY)
    }

    fn note(&self, found: bool) {
        let score = self.score.load(Ordering::Relaxed);
        let score = if found {
            (score + 1).min(Self::MOST)
        } else {
            score.saturating_sub(1)
        };
        self.score.store(score, Ordering::Relaxed);
    }
}

/// Runs a look-up that may have to wait for the disk off the threads that serve calls.
async fn look_up<T: Send + 'static>(
    node: &Arc<Node>,
    read: impl FnOnce(&Node) -> Result<T, tonic::Status> + Send + 'static,
) -> Result<T, tonic::Status> {
    in_place(node.look_up_place().await, node, read).await
}

/// Runs a read that may take long off the threads that serve calls.
async fn off_thread<T: Send + 'static>(
    node: &Arc<Node>,
    read: impl FnOnce(&Node) -> Result<T, tonic::Status> + Send + 'static,
) -> Result<T, tonic::Status> {
    in_place(node.read_place().await, node, read).await
}

async fn in_place<T: Send + 'static>(
    place: Option<OwnedSemaphorePermit>,
    node: &Arc<Node>,
    read: impl FnOnce(&Node) -> Result<T, tonic::Status> + Send + 'static,
) -> Result<T, tonic::Status> {
    let node = Arc::clone(node);
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        read(&node)
    });
    done.await
        .unwrap_or_else(|_| Err(tonic::Status::internal("the read ended early")))
}

/// Everything that proves a unit's history.
pub(crate) async fn unit_bundle(
    node: &Arc<Node>,
    unit: crate::core::id::UnitId,
) -> Result<wire::UnitBundle, tonic::Status> {
    let (head, mut bundle) = off_thread(node, move |node| read::bundle(node, unit)).await?;
    bundle.checkpoint = checkpoint(node, head).await?;
    bundle.digest = crate::core::bundle::digest(&bundle);
    Ok(bundle)
}

/// A signed checkpoint of a head.
pub(crate) async fn checkpoint(node: &Node, head: LogHead) -> Result<Vec<u8>, tonic::Status> {
    let signed = node.checkpoint(head).await;
    signed.map_err(|refusal| status(&refusal))
}

/// Name of a party for people; its id where the name is not public.
pub(crate) fn party_name(
    node: &Node,
    party: crate::core::id::PartyId,
) -> Result<String, tonic::Status> {
    read::party_name(&node.store().view(), party)
}

/// All services. The second is where their health is told.
///
/// # Errors
/// When the descriptors don't parse, which a test shows they do.
pub fn services(
    node: &Arc<Node>,
) -> Result<(Routes, tonic_health::server::HealthReporter), tonic_reflection::server::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(wire::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let routes = Routes::new(health)
        .add_service(reflection)
        .add_service(
            wire::ledger_service_server::LedgerServiceServer::new(ledger::Ledger::new(node))
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::provenance_service_server::ProvenanceServiceServer::new(
                provenance::Provenance::new(node),
            )
            .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::registry_service_server::RegistryServiceServer::new(registry::Registry::new(
                node,
            ))
            .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::regulator_service_server::RegulatorServiceServer::new(regulator::Regulator::new(
                node,
            ))
            .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::alert_service_server::AlertServiceServer::new(alert::AlertDesk::new(node))
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::case_service_server::CaseServiceServer::new(case::CaseDesk::new(node))
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::claim_service_server::ClaimServiceServer::new(claim::ClaimDesk::new(node))
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::credit_service_server::CreditServiceServer::new(credit::Credit::new(node))
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::listing_service_server::ListingServiceServer::new(listing::Lists::new(node))
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::measure_service_server::MeasureServiceServer::new(measure::MeasureDesk::new(
                node,
            ))
            .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::inspection_service_server::InspectionServiceServer::new(
                inspection::InspectionDesk::new(node),
            )
            .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::export_service_server::ExportServiceServer::new(export::Export::new(node))
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::event_service_server::EventServiceServer::new(event::Events::new(node))
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::private_service_server::PrivateServiceServer::new(private::Private::new(node))
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::report_service_server::ReportServiceServer::new(report::Reports::new(node))
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::replica_service_server::ReplicaServiceServer::new(replica::Replica::new(node))
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            wire::log_service_server::LogServiceServer::new(log::Log::new(node))
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        );
    let session = axum::middleware::from_fn_with_state(Arc::clone(node), session::layer);
    let routes = Routes::from(routes.into_axum_router().layer(session));
    Ok((routes, reporter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_look_ups_that_miss_when_more_come_then_few_try_until_they_find_again() {
        let luck = Luck::new();
        assert!((0..4).all(|_| luck.is_worth_a_try()));
        (0..Luck::MOST).for_each(|_| luck.note(false));
        let tries = (0..80).filter(|_| luck.is_worth_a_try()).count();
        assert_eq!(tries, 10);
        (0..Luck::MOST / 2).for_each(|_| luck.note(true));
        assert!((0..4).all(|_| luck.is_worth_a_try()));
    }
}
