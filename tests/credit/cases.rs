//! Cases.

use std::sync::Arc;

use custody::core::wire;
use custody::core::wire::record::Body;
use tonic::Code;

use crate::common::*;
use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn given_every_step_of_a_case_when_everybody_tries_it_then_only_the_agency_in_charge_does() {
    let mut w = World::start().await;
    let (root, agency, platform) = w.offices();
    let (maker, courier) = (Arc::clone(&w.trade.maker), Arc::clone(&w.trade.courier));
    let device = Arc::clone(&w.trade.scanner);
    let firms = [&maker, &courier, &device, &platform];
    let grounds = |subject: &str| {
        Some(wire::CaseGrounds {
            subjects: vec![subject.into()],
            ..Default::default()
        })
    };
    let opening = Body::OpenCase(wire::OpenCase {
        kind: wire::CaseKind::FakeOrders.into(),
        grounds: grounds(MAKER),
        document: "K-1".into(),
    });
    let case = w.only(&root, &firms, opening).await;
    let not_in_charge = [&maker, &courier, &device, &platform, &agency];
    let more = Body::AddToCase(wire::AddToCase {
        case,
        grounds: grounds(COURIER),
        document: "K-2".into(),
    });
    w.only(&root, &not_in_charge, more).await;
    let referral = Body::ReferCase(wire::ReferCase {
        case,
        to: gln(1),
        days: 30,
        document: "K-3".into(),
    });
    w.only(&root, &not_in_charge, referral).await;
    let end = Body::CloseCase(wire::CloseCase {
        case,
        outcome: wire::CaseOutcome::NoViolation.into(),
        legal_basis: "Administrative Penalty Law, art. 33".into(),
        document: "K-4".into(),
    });
    let queue = async |w: &World| {
        let ledger = w.server.as_party(&w.agency, &gln(1)).await;
        let request = wire::ListCasesRequest {
            agency: gln(1),
            ..Default::default()
        };
        let answer = ledger.case().list_cases(request).await.unwrap();
        let cases = answer.into_inner().cases.into_iter();
        cases.map(|case| case.log_index).collect::<Vec<_>>()
    };
    assert_eq!(queue(&w).await, [case]);
    w.only(&agency, &firms, end).await;
    assert_eq!(queue(&w).await, [0; 0]);
    for (signer, party) in [(&maker, MAKER), (&platform, &*gln(2))] {
        let ledger = w.server.as_party(signer, party).await;
        let request = wire::GetCaseRequest { log_index: case };
        let status = ledger.case().get_case(request).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    w.audited();
}
