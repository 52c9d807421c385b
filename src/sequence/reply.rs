//! Where answers go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, oneshot};

use super::{Answer, Answers};

/// Where the answers to a submission go, one a record.
#[derive(Debug)]
pub struct Reply {
    to: Option<oneshot::Sender<Vec<Answer>>>,
    progress: Option<Arc<Progress>>,
}

impl Drop for Reply {
    /// Answered or lost: nothing more comes.
    fn drop(&mut self) {
        if let Some(progress) = &self.progress {
            progress.add();
        }
    }
}

impl Reply {
    /// A way for answers, and where they come out.
    #[must_use]
    pub fn new() -> (Self, Answers) {
        Self::counted(None)
    }

    /// The same, counted when answers are given or none will be, whether or not anybody takes them.
    #[must_use]
    pub fn counted(progress: Option<Arc<Progress>>) -> (Self, Answers) {
        let (to, answers) = oneshot::channel();
        let to = Some(to);
        (Self { to, progress }, answers)
    }

    /// For nobody.
    #[must_use]
    pub fn nobody() -> Self {
        Self::new().0
    }

    /// Gives the answers. Whoever is gone gets its receipt when it sends the record again.
    pub fn send(mut self, answers: Vec<Answer>) {
        let _ = self.to.take().map(|to| to.send(answers));
    }
}

/// How many submissions that belong together are answered, or lost.
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
