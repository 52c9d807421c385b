//! `PrivateService`: texts that must be erasable.

use std::sync::Arc;

use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::listing::Sight;
use super::pages::{DEFAULT_PAGE, MAX_PAGE, page_size};
use super::{errors, token};
use crate::core::apply::state::{Parties, Read};
use crate::core::credit::SALT_BYTES;
use crate::core::credit::salted_commitment;
use crate::core::id::PartyId;
use crate::core::record::Role;
use crate::core::refusal::{Reason, Refusal};
use crate::core::wire;
use crate::core::wire::private_service_server::PrivateService;
use crate::node::Node;
use crate::private::{
    self, COMMITMENT_BYTES, Change, ChangeError, Class, Kept, MAX_TEXT, MAX_TEXTS, Row,
};

pub(super) struct Private {
    node: Arc<Node>,
}

impl Private {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }

    async fn change(&self, change: Change) -> Result<(), Status> {
        let changed = self.node.change(change).await;
        let changed = changed.map_err(|refusal| super::status(&refusal))?;
        changed.map_err(refused)
    }

    /// Whom a call is about, and who calls: the party itself or a regulator.
    fn caller(&self, metadata: &MetadataMap, subject: &str) -> Result<Call<'_>, Status> {
        let caller = token::authenticated(metadata, &self.node)?;
        let subject: PartyId = subject.parse().map_err(errors::bad_id("subject"))?;
        if caller.party != subject && !caller.is(Role::Regulator) {
            return Err(token::role_missing(
                "a party's texts are for itself and for regulators",
            ));
        }
        let sight = Sight::new(&self.node, Some(caller))?;
        Ok(Call {
            node: &self.node,
            subject,
            sight,
        })
    }
}

struct Call<'a> {
    node: &'a Node,
    subject: PartyId,
    sight: Sight<'a>,
}

impl Call<'_> {
    fn by(&self) -> PartyId {
        let caller = self.sight.caller.as_ref();
        caller.map_or(self.subject, |caller| caller.party)
    }

    fn row(&self, commitment: &[u8; COMMITMENT_BYTES]) -> Result<Row, Status> {
        let row = private::get(self.node.store(), self.subject, commitment);
        let row = row.map_err(errors::store)?;
        row.ok_or_else(|| errors::not_found("no such text of this party is kept here"))
    }
}

#[tonic::async_trait]
impl PrivateService for Private {
    async fn put_private(
        &self,
        request: Request<wire::PutPrivateRequest>,
    ) -> Result<Response<wire::PutPrivateResponse>, Status> {
        let call = self.caller(request.metadata(), &request.get_ref().subject)?;
        let (_, _, request) = request.into_parts();
        let known = call.sight.view.get::<Parties>(&call.subject);
        if known.map_err(errors::store)?.is_none() {
            return Err(errors::not_found(format!(
                "{} is not registered",
                call.subject
            )));
        }
        let class = class(request.class())?;
        let salt: [u8; SALT_BYTES] = request
            .salt
            .as_slice()
            .try_into()
            .map_err(|_| errors::invalid("salt", "a salt has 16 random bytes"))?;
        if !(1..=MAX_TEXT).contains(&request.text.len()) {
            return Err(errors::invalid("text", format!("1 to {MAX_TEXT} bytes")));
        }
        let kept = Kept {
            salt,
            text: request.text,
        };
        let (subject, put_by, put) = (call.subject, call.by(), call.sight.now);
        drop(call);
        let commitment = salted_commitment(&kept.salt, &kept.text);
        let store = self.node.store();
        let known = private::get(store, subject, &commitment).map_err(errors::store)?;
        if known.is_none() && !private::has_room(store, subject).map_err(errors::store)? {
            let message = format!("{MAX_TEXTS} texts about this party are kept already");
            return Err(errors::overloaded(message));
        }
        let change = Change::Put {
            subject,
            class,
            put_by,
            put,
            kept,
        };
        self.change(change).await?;
        let row = private::get(self.node.store(), subject, &commitment).map_err(errors::store)?;
        let text = row.map(|row| about(&self.node, subject, &commitment, &row));
        Ok(Response::new(wire::PutPrivateResponse { text }))
    }

    async fn get_private(
        &self,
        request: Request<wire::GetPrivateRequest>,
    ) -> Result<Response<wire::GetPrivateResponse>, Status> {
        let call = self.caller(request.metadata(), &request.get_ref().subject)?;
        call.sight.needs_open_file(call.subject)?;
        let commitment = commitment(&request.get_ref().commitment)?;
        let row = call.row(&commitment)?;
        let about = Some(about(call.node, call.subject, &commitment, &row));
        let kept = row
            .kept
            .ok_or_else(|| errors::not_found("the text was erased"))?;
        Ok(Response::new(wire::GetPrivateResponse {
            about,
            salt: kept.salt.to_vec(),
            text: kept.text,
        }))
    }

    async fn list_private(
        &self,
        request: Request<wire::ListPrivateRequest>,
    ) -> Result<Response<wire::ListPrivateResponse>, Status> {
        let call = self.caller(request.metadata(), &request.get_ref().subject)?;
        call.sight.needs_open_file(call.subject)?;
        let request = request.get_ref();
        let size = page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?;
        let from = hex::decode(&request.page_token)
            .map_err(|_| errors::invalid("page_token", "use the token of the page before"))?;
        let (mut texts, mut next_page_token) = (Vec::new(), String::new());
        private::scan(call.node.store(), call.subject, &from, |commitment, row| {
            if texts.len() == size {
                next_page_token = hex::encode(commitment);
                return false;
            }
            texts.push(about(call.node, call.subject, commitment, &row));
            true
        })
        .map_err(errors::store)?;
        Ok(Response::new(wire::ListPrivateResponse {
            texts,
            next_page_token,
        }))
    }

    async fn erase_private(
        &self,
        request: Request<wire::ErasePrivateRequest>,
    ) -> Result<Response<wire::ErasePrivateResponse>, Status> {
        let commitment = commitment(&request.get_ref().commitment)?;
        let subject = {
            let call = self.caller(request.metadata(), &request.get_ref().subject)?;
            call.sight.needs_open_file(call.subject)?;
            let row = call.row(&commitment)?;
            let caller = call.sight.caller.as_ref();
            let regulator = caller.is_some_and(|caller| caller.is(Role::Regulator));
            if row.put_by != call.by() && !regulator {
                return Err(token::role_missing(
                    "a text is erased by who put it, or by a regulator",
                ));
            }
            call.subject
        };
        let change = Change::Erase {
            subject,
            commitment,
        };
        self.change(change).await?;
        let answer = super::off_thread(&self.node, move |node| {
            private::scrub(node.store()).map_err(errors::store)
        });
        answer.await?;
        Ok(Response::new(wire::ErasePrivateResponse {}))
    }
}

fn about(node: &Node, subject: PartyId, commitment: &[u8], row: &Row) -> wire::PrivateText {
    wire::PrivateText {
        commitment: commitment.to_vec(),
        subject: subject.to_string(),
        class: class_number(row.class).into(),
        put_by: row.put_by.to_string(),
        put_ms: row.put.0,
        keep_until_ms: node.retention().until(row.class, row.put).0,
        erased: row.kept.is_none(),
    }
}

fn commitment(bytes: &[u8]) -> Result<[u8; COMMITMENT_BYTES], Status> {
    bytes
        .try_into()
        .map_err(|_| errors::invalid("commitment", "a commitment has 32 bytes"))
}

fn refused(error: ChangeError) -> Status {
    let reason = match error {
        ChangeError::Unanswered => Reason::OrderUnavailable,
        ChangeError::Erased => Reason::FailedPrecondition,
        ChangeError::Store(error) => return errors::store(error),
    };
    super::status(&Refusal::new(reason, error.to_string()))
}

fn class(class: wire::RetentionClass) -> Result<Class, Status> {
    match class {
        wire::RetentionClass::Registration => Ok(Class::Registration),
        wire::RetentionClass::Credit => Ok(Class::Credit),
        wire::RetentionClass::Claim => Ok(Class::Claim),
        wire::RetentionClass::Unspecified => Err(errors::invalid(
            "class",
            "REGISTRATION, CREDIT or CLAIM: it says how long the text is kept",
        )),
    }
}

const fn class_number(class: Class) -> wire::RetentionClass {
    match class {
        Class::Registration => wire::RetentionClass::Registration,
        Class::Credit => wire::RetentionClass::Credit,
        Class::Claim => wire::RetentionClass::Claim,
    }
}
