//! Where answers go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, oneshot};

use super::{Answer, Answers};

/// Where the answers to a submission go, one a record.
#[derive(Debug)]
pub struct Reply {
    to: oneshot::Sender<Vec<Answer>>,
    progress: Option<Arc<Progress>>,
}

impl Reply {
    /// A way for answers, and where they come out.
    #[must_use]
    pub fn new() -> (Self, Answers) {
        Self::counted(None)
    }

    /// The same, counted when it is given, whether or not anybody takes the answers.
    #[must_use]
    pub fn counted(progress: Option<Arc<Progress>>) -> (Self, Answers) {
        let (to, answers) = oneshot::channel();
        (Self { to, progress }, answers)
    }

    /// For nobody.
    #[must_use]
    pub fn nobody() -> Self {
        Self::new().0
    }

    /// Gives the answers. Whoever is gone gets its receipt when it sends the record again.
    pub fn send(self, answers: Vec<Answer>) {
        let _ = self.to.send(answers);
        if let Some(progress) = self.progress {
            progress.add();
        }
    }
}

/// How many submissions that belong together are answered.
#[derive(Debug, Default)]
pub struct Progress {
    count: AtomicU64,
    more: Notify,
}

impl Progress {
    fn add(&self) {
        self.count.fetch_add(1, Ordering::Release);
        self.more.notify_waiters();
    }

    /// Waits until so many are.
    pub async fn reaches(&self, submissions: u64) {
        loop {
            let more = self.more.notified();
            let mut more = std::pin::pin!(more);
            more.as_mut().enable(); // Before the look, so that nothing is missed after it.
            if self.count.load(Ordering::Acquire) >= submissions {
                return;
            }
            more.await;
        }
    }
}
