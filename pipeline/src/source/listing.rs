//! Which objects a bucket's source means: the exact key or the prefix, in key order, judged one by one.

use std::{
    collections::{HashSet, VecDeque, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    sync::Arc,
};

use pinport_model::{Format, PlannedObject};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::{
    SourceError, SourceOptions,
    matching::{Verdict, Way, judge},
    remote::{Bucket, Fetched, Next, Page},
};
use crate::{
    buffers::{Buffers, Chunk},
    limits::{EMPTY_PAGES, LISTED, LISTED_HELD, LISTING_LOOK, LISTING_LOOKS},
};

/// Where the listing of a bucket gets on.
pub(super) struct Lister<'a> {
    pub(super) bucket: &'a Arc<Bucket>,
    pub(super) io: &'a Handle,
    pub(super) options: &'a SourceOptions,
}

/// Why an object is not read, by its first bytes if they are there.
type Content<'a> = &'a dyn Fn(&PlannedObject, Option<Vec<u8>>) -> Result<Option<String>, SourceError>;
type Each<'a> = &'a mut dyn FnMut(PlannedObject) -> Result<(), SourceError>;
type PageTask = AbortOnDropHandle<Result<Page, SourceError>>;

impl Lister<'_> {
    /// Every object whose key begins with `prefix`, in key order; only the one with exactly that key if there
    /// is one. The flag says that it is that one.
    pub(super) fn keys(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(PlannedObject, bool) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let may_be_key = !prefix.is_empty() && !prefix.ends_with('/');
        let mut held: Vec<PlannedObject> = Vec::new();
        let (mut sorted, mut streaming) = (true, false);
        let mut last: Option<String> = None;
        let mut task = self.page(prefix, None);
        let mut endless = Endless::default();
        loop {
            let page = match self.wait(task) {
                Err(SourceError::AccessDenied { credentials, .. }) if may_be_key && last.is_none() => {
                    // Not allowed to list, but perhaps to read this one object.
                    return match self.stat(prefix) {
                        Ok(object) => each(object, true),
                        Err(SourceError::AccessDenied { url, reason, .. }) => {
                            Err(SourceError::AccessDenied { url, reason, credentials })
                        }
                        Err(error) => Err(error),
                    };
                }
                page => page?,
            };
            let next = page.next;
            if let Some(reason) = endless.judge(page.objects.len(), next.as_ref()) {
                return Err(self.other(reason));
            }
            // The next page is asked for while this one is worked on.
            let ahead = next.map(|next| self.page(prefix, Some(next)));
            for object in page.objects {
                if may_be_key && object.key == prefix {
                    return each(object, true);
                }
                let ordered = last.as_ref().is_none_or(|last| *last < object.key);
                if !ordered && streaming {
                    return Err(
                        self.other("the store's listing is not in key order, and too long to be sorted")
                    );
                }
                sorted &= ordered;
                last = Some(object.key.clone());
                if streaming {
                    each(object, false)?;
                } else {
                    held.push(object);
                }
            }
            if !streaming && sorted && held.len() >= LISTED_HELD && ahead.is_some() {
                streaming = true;
                for object in held.drain(..) {
                    each(object, false)?;
                }
            }
            if held.len() > self.options.max_unsorted {
                return Err(SourceError::TooLarge {
                    url: self.bucket.url(prefix),
                    byte: 0,
                    decoded: 0,
                    reason: format!(
                        "the store's listing is not in key order, and at most {} objects can be sorted",
                        self.options.max_unsorted
                    ),
                    object: false,
                });
            }
            match ahead {
                Some(ahead) => task = ahead,
                None => break,
            }
        }
        held.sort_by(|a, b| a.key.cmp(&b.key));
        if held.windows(2).any(|pair| pair[0].key == pair[1].key) {
            return Err(self.other("the store's listing has a key twice"));
        }
        held.into_iter().try_for_each(|object| each(object, false))
    }

    fn page(&self, prefix: &str, next: Option<Next>) -> PageTask {
        let (bucket, prefix) = (self.bucket.clone(), prefix.to_owned());
        AbortOnDropHandle::new(self.io.spawn(async move { bucket.page(&prefix, next.as_ref()).await }))
    }

    fn stat(&self, key: &str) -> Result<PlannedObject, SourceError> {
        let (bucket, key) = (self.bucket.clone(), key.to_owned());
        self.wait(AbortOnDropHandle::new(self.io.spawn(async move { bucket.stat(&key).await })))
    }

    fn wait<T>(&self, task: AbortOnDropHandle<Result<T, SourceError>>) -> Result<T, SourceError> {
        super::remote::wait(self.io, &self.options.cancel, task).and_then(|result| result)
    }

    fn other(&self, reason: &str) -> SourceError {
        SourceError::Other { url: self.bucket.url(""), reason: reason.into(), object: false }
    }
}

/// Distinguishes a listing that never ends from a long one.
#[derive(Default)]
struct Endless {
    /// Hashes of the tokens so far.
    tokens: HashSet<u64>,
    /// Pages without an object, up to this one.
    empty: usize,
    listed: u64,
}

impl Endless {
    /// Why the page after one with so many objects is not asked for.
    fn judge(&mut self, objects: usize, next: Option<&Next>) -> Option<&'static str> {
        let next = next?;
        let mut hash = DefaultHasher::new();
        next.hash(&mut hash);
        self.listed += objects as u64;
        self.empty = if objects == 0 { self.empty + 1 } else { 0 };
        match () {
            () if !self.tokens.insert(hash.finish()) => Some(
                "the store's listing leads back to a page that it has given before, so it would never end",
            ),
            () if self.empty >= EMPTY_PAGES => Some(
                "the store's listing has had 1,000 pages without an object, so it is taken for one that never ends",
            ),
            () if self.listed > LISTED => Some(
                "the store's listing has more than 1,000,000,000 objects, so it is taken for one that never ends",
            ),
            () => None,
        }
    }
}

/// Hands objects on in order while the contents of those before are still being looked at.
pub(super) struct Looks<'a> {
    lister: Lister<'a>,
    format: Format,
    waiting: VecDeque<(PlannedObject, Option<LookTask>)>,
    /// Judges an object whose first bytes these are.
    content: Content<'a>,
    each: Each<'a>,
}

type LookTask = AbortOnDropHandle<Result<Fetched, SourceError>>;

impl<'a> Looks<'a> {
    pub(super) fn new(lister: Lister<'a>, format: Format, content: Content<'a>, each: Each<'a>) -> Self {
        Self { lister, format, waiting: VecDeque::new(), content, each }
    }

    pub(super) fn push(&mut self, mut object: PlannedObject, way: Way) -> Result<(), SourceError> {
        let task = match judge(&object.key, object.size, self.format, way) {
            Verdict::Read => None,
            Verdict::Skip(reason) => {
                object.skipped = Some(reason);
                None
            }
            Verdict::Look => {
                let (bucket, object) = (self.lister.bucket.clone(), object.clone());
                let bytes = object.size.min(LISTING_LOOK);
                let task =
                    async move { bucket.range(&object, (0, bytes), Buffers::new(bytes as usize)).await };
                Some(AbortOnDropHandle::new(self.lister.io.spawn(task)))
            }
        };
        self.waiting.push_back((object, task));
        self.hand_on(LISTING_LOOKS)
    }

    /// Hands on until at most `keep` wait.
    pub(super) fn hand_on(&mut self, keep: usize) -> Result<(), SourceError> {
        while self.waiting.len() > keep || self.waiting.front().is_some_and(|(_, task)| task.is_none()) {
            let Some((mut object, task)) = self.waiting.pop_front() else { break };
            if let Some(task) = task {
                object.skipped = match self.lister.wait(task) {
                    Ok(fetched) => {
                        let bytes = fetched.chunks.iter().flat_map(Chunk::bytes).copied().collect();
                        (self.content)(&object, Some(bytes))?
                    }
                    // Reading it will say the same where it belongs.
                    Err(error) if error.is_object_error() => None,
                    Err(error) => return Err(error),
                };
            }
            (self.each)(object)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_that_never_ends_is_not_taken_for_a_long_one() {
        let token = |number: usize| Next::Token(number.to_string());
        let mut long = Endless::default();
        for page in 0..10_000 {
            assert_eq!(long.judge(page % 999, Some(&token(page))), None);
        }
        assert_eq!(long.judge(0, None), None, "the last page");
        assert!(long.judge(1, Some(&token(7))).unwrap().contains("leads back"));

        let mut empty = Endless::default();
        let found = (0..).find_map(|page| Some(page).zip(empty.judge(0, Some(&token(page)))));
        assert_eq!(found.map(|(page, _)| page), Some(EMPTY_PAGES - 1));
        let mut large = Endless { listed: LISTED, ..Endless::default() };
        assert!(large.judge(1, Some(&token(1))).is_some());
    }
}
