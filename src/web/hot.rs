//! Pages that many ask for at once: what was made within the same second is sent again. A page says how long
//! the log was when it was made, so one that is a second old is as true as one that took a second to arrive.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::body::Bytes;

use crate::core::lang::Lang;

/// How long a page is sent again.
const FOR: Duration = Duration::from_secs(1);
/// Most pages that are kept.
const MAX_PAGES: usize = 1_024;
/// Most bytes of them.
const MAX_BYTES: usize = 32 << 20;

/// Path and query, and the language.
pub(super) type Asked = (String, Lang);

/// The pages of a moment.
pub(super) struct Hot(Mutex<Moment>);

struct Moment {
    began: Instant,
    pages: HashMap<Asked, Bytes>,
    bytes: usize,
}

impl Moment {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            pages: HashMap::new(),
            bytes: 0,
        }
    }
}

impl Default for Hot {
    fn default() -> Self {
        Self(Mutex::new(Moment::new()))
    }
}

impl Hot {
    pub(super) fn get(&self, asked: &Asked) -> Option<Bytes> {
        self.moment(|moment| moment.pages.get(asked).cloned())
    }

    pub(super) fn put(&self, asked: Asked, page: &Bytes) {
        self.moment(|moment| {
            let fits = moment.bytes + page.len() <= MAX_BYTES && moment.pages.len() < MAX_PAGES;
            if fits && moment.pages.insert(asked, page.clone()).is_none() {
                moment.bytes += page.len();
            }
        });
    }

    fn moment<T>(&self, work: impl FnOnce(&mut Moment) -> T) -> T {
        let mut moment = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if moment.began.elapsed() >= FOR {
            *moment = Moment::new();
        }
        work(&mut moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(n: usize) -> Asked {
        (format!("/{n}"), Lang::Zh)
    }

    #[test]
    fn a_page_is_sent_again_in_its_own_language_and_no_longer_than_its_moment() {
        let hot = Hot::default();
        hot.put(asked(1), &Bytes::from_static(b"page"));
        assert_eq!(hot.get(&asked(1)).unwrap(), "page");
        assert_eq!(hot.get(&("/1".into(), Lang::En)), None);
        hot.moment(|moment| moment.began -= FOR);
        assert_eq!(hot.get(&asked(1)), None);
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let hot = Hot::default();
        let large = Bytes::from(vec![0; MAX_BYTES / 2]);
        (0..3).for_each(|n| hot.put(asked(n), &large));
        assert!(hot.get(&asked(1)).is_some() && hot.get(&asked(2)).is_none());
        let hot = Hot::default();
        (0..MAX_PAGES + 1).for_each(|n| hot.put(asked(n), &Bytes::new()));
        assert!(hot.get(&asked(MAX_PAGES)).is_none());
    }
}
