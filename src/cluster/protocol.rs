//! The protocol by which nodes agree on one order, without a clock, a network or a store: what to
//! propose, what an answer means, and what comes next.
//!
//! ```text
//!  propose n:  if head = (n-1, hash)  then  head := (n, hash'), group/n := bytes
//! ```
//!
//! The comparison is of the whole name of the group before, so there is no gap and no fork; a group
//! whose number was taken by another can never be committed later, nor can those built on it, however
//! late a copy of the request arrives. So a proposal may be sent again when its answer was lost. What
//! was not committed goes to the front of what is proposed next, in order.
//!
//! Several proposals are under way at once, each built on the one before. Only the order decides what
//! became of one: its answer says so, or the group that is found under its number.

use std::collections::VecDeque;

use prost::bytes::Bytes;

use super::group::{self, Encoded, GroupError};
use crate::core::order::GroupId;
use crate::core::record::Millis;
use crate::core::wire;

#[cfg(test)]
mod tests;

/// One node's side of the protocol; `W` is what it carries for those who wait.
#[derive(Debug)]
pub struct Protocol<W> {
    /// The last group that came out.
    delivered: GroupId,
    /// The furthest group that was heard of.
    head: GroupId,
    /// Most proposals under way.
    window: usize,
    flight: VecDeque<InFlight<W>>,
}

#[derive(Debug)]
struct InFlight<W> {
    group: Encoded,
    work: W,
    state: State,
    /// What had come out when it was sent last: the order was at least there when it was answered.
    since: GroupId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be sent.
    Idle,
    /// To be sent again, once it is known what came of the one before.
    Early,
    /// Sent; no answer yet.
    Sent,
    /// The order has it.
    Committed,
    /// The order has gone past it, or can't reach it: what lies under its number says what became of it.
    Undecided,
}

/// What came of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The order has it.
    Committed,
    /// The comparison failed; this is the head, if there is one.
    Refused(Option<GroupId>),
    /// Nobody knows: the request or its answer was lost.
    Unknown,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing that is known of.
    Nothing,
    /// The oldest proposal of this node: [`Protocol::deliver`] it.
    Own,
    /// The group with this number: read it and say so to [`Protocol::read`].
    Read(u64),
}

/// A group that came out.
#[derive(Debug)]
pub enum Delivered<W> {
    /// This node's own: when it was made, and what it carries.
    Own(Millis, W),
    /// Another's.
    Foreign(wire::CommitGroup),
}

/// Why a node can't go on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum OrderError {
    #[error(
        "the order ends at group {found}, but this node has applied {applied}: the store of the order was \
         set back; reconcile with `custody cluster reset` before anything is signed"
    )]
    SetBack { found: String, applied: GroupId },
    #[error(transparent)]
    Group(#[from] GroupError),
}

impl<W> Protocol<W> {
    /// Goes on after a group that was applied, with so many proposals under way at most.
    #[must_use]
    pub fn new(delivered: GroupId, window: usize) -> Self {
        Self {
            delivered,
            head: delivered,
            window: window.max(1),
            flight: VecDeque::new(),
        }
    }

    /// The last group that came out.
    #[must_use]
    pub const fn delivered(&self) -> GroupId {
        self.delivered
    }

    /// The furthest group that was heard of.
    #[must_use]
    pub const fn head(&self) -> GroupId {
        self.head
    }

    /// Proposals under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flight.len()
    }

    /// What is carried by the proposals under way.
    pub fn work_mut(&mut self) -> impl Iterator<Item = &mut W> {
        self.flight.iter_mut().map(|flying| &mut flying.work)
    }

    /// The group that the next proposal has to follow; none while there is no sense in one.
    #[must_use]
    pub fn room(&self) -> Option<GroupId> {
        let last = self.flight.back();
        if last.is_some_and(|last| last.state == State::Undecided) {
            return None;
        }
        let tail = last.map_or(self.delivered, |last| last.group.id);
        let behind = self.head.number > tail.number;
        (!behind && self.flight.len() < self.window).then_some(tail)
    }

    /// Takes a proposal that follows [`Protocol::room`].
    pub fn propose(&mut self, group: Encoded, work: W) {
        debug_assert_eq!(self.room(), Some(group.previous));
        self.flight.push_back(InFlight {
            group,
            work,
            state: State::Idle,
            since: self.delivered,
        });
    }

    /// The next proposal to send, oldest first.
    pub fn send(&mut self) -> Option<Encoded> {
        let mut open = false;
        let next = self.flight.iter_mut().find(|flying| {
            let ready = flying.state == State::Idle || (flying.state == State::Early && !open);
            open = matches!(flying.state, State::Idle | State::Sent | State::Early);
            ready
        })?;
        next.state = State::Sent;
        next.since = self.delivered;
        Some(next.group.clone())
    }

    /// What came of a proposal.
    ///
    /// # Errors
    /// [`OrderError::SetBack`] when the order is not where this node knows it was.
    pub fn answered(&mut self, id: GroupId, answer: Answer) -> Result<(), OrderError> {
        let Some(at) = self.flight.iter().position(|f| f.group.id == id) else {
            return Ok(()); // It came out, or was given up, before the answer came.
        };
        if let Answer::Refused(head) = answer {
            self.read_head(head, self.flight[at].since)?;
        }
        let previous = self.flight[at].group.previous;
        self.flight[at].state = match answer {
            Answer::Committed => State::Committed,
            Answer::Unknown => State::Idle,
            Answer::Refused(Some(head)) if head == id => State::Committed,
            // What it builds on was not there yet, and may come.
            Answer::Refused(Some(head)) if head.number < previous.number => State::Early,
            Answer::Refused(_) => State::Undecided,
        };
        if self.flight[at].state == State::Committed && self.head.number < id.number {
            self.head = id;
        }
        Ok(())
    }

    /// The head of the order, as some message told: it may be an old one.
    pub fn heard(&mut self, head: GroupId) {
        if head.number > self.head.number {
            self.head = head;
        }
        let own = self.flight.iter_mut().find(|f| f.group.id == head);
        if let Some(own) = own {
            own.state = State::Committed;
        }
    }

    /// The head of the order, as it was some time after a group had come out here.
    ///
    /// # Errors
    /// [`OrderError::SetBack`] when the order is not where this node knows it was.
    pub fn read_head(&mut self, head: Option<GroupId>, applied: GroupId) -> Result<(), OrderError> {
        let Some(head) = head else {
            let found = "nothing".to_owned();
            return Err(OrderError::SetBack { found, applied });
        };
        if head.number < applied.number || (head.number == applied.number && head != applied) {
            let found = head.to_string();
            return Err(OrderError::SetBack { found, applied });
        }
        self.heard(head);
        Ok(())
    }

    /// What comes next.
    #[must_use]
    pub fn next(&self) -> Next {
        match self.flight.front() {
            Some(own) if own.state == State::Committed => Next::Own,
            _ if self.head.number > self.delivered.number => Next::Read(self.delivered.number + 1),
            _ => Next::Nothing,
        }
    }

    /// Takes out the oldest proposal, which [`Protocol::next`] said is committed.
    pub fn deliver(&mut self) -> Option<(Encoded, W)> {
        if self.next() != Next::Own {
            return None;
        }
        let own = self.flight.pop_front()?;
        self.came(own.group.id);
        Some((own.group, own.work))
    }

    /// The bytes that lie under the next number. Gives the group, and the work of the proposals that can't be
    /// committed any more, oldest first: it has to be proposed again, before any other.
    ///
    /// # Errors
    /// [`OrderError::Group`] when it doesn't follow what came out before.
    pub fn read(&mut self, bytes: Bytes) -> Result<(GroupId, Delivered<W>, Vec<W>), OrderError> {
        let number = self.delivered.number + 1;
        let id = GroupId::of(number, &bytes);
        if self.flight.front().is_some_and(|own| own.group.id == id)
            && let Some(own) = self.flight.pop_front()
        {
            self.came(id);
            return Ok((id, Delivered::Own(own.group.time, own.work), Vec::new()));
        }
        let (id, group) = group::decode(self.delivered, bytes)?;
        self.came(id);
        let lost = self.flight.drain(..).map(|flying| flying.work).collect();
        Ok((id, Delivered::Foreign(group), lost))
    }

    fn came(&mut self, id: GroupId) {
        self.delivered = id;
        if self.head.number < id.number {
            self.head = id;
        }
    }
}
