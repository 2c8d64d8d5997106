//! A page of a list. It ends at the number of items that was asked for, or before at [`PAGE_BYTES`]: the rest is after
//! its token. Items are written as they are read, so a page holds its own bytes and one step of the store's.

use http::StatusCode;
use serde::Serialize;

use super::stored;
use crate::{ApiError, http::Response, limits::PAGE_BYTES};

/// Records that are read from the store at a time for a page.
pub(super) const STEP: usize = 32;

/// A page while it is filled. `K` is what its token leads after.
pub(super) struct Page<K> {
    json: Vec<u8>,
    limit: usize,
    items: usize,
    last: Option<K>,
    more: bool,
}

impl<K: Copy> Page<K> {
    /// An empty page for at most `limit` items, which are the member `name` of the answer.
    pub(super) fn new(name: &str, limit: usize) -> Self {
        Self { json: format!("{{\"{name}\":[").into_bytes(), limit, items: 0, last: None, more: false }
    }

    /// Writes an item, if it is in this page; whether it is. An item that is not is the first of the next page.
    pub(super) fn push<T: Serialize>(
        &mut self,
        key: K,
        item: impl FnOnce() -> Result<T, ApiError>,
    ) -> Result<bool, ApiError> {
        if self.items >= self.limit || self.json.len() >= PAGE_BYTES {
            self.more = true;
            return Ok(false);
        }
        let before = self.json.len();
        if self.items > 0 {
            self.json.push(b',');
        }
        serde_json::to_writer(&mut self.json, &item()?).map_err(ApiError::internal)?;
        if self.items > 0 && self.json.len() > PAGE_BYTES {
            self.json.truncate(before);
            self.more = true;
            return Ok(false);
        }
        self.items += 1;
        self.last = Some(key);
        Ok(true)
    }

    /// Fills the page from a list that is read in steps, each after the last record of the one before. `item` says
    /// what is shown of a record, if anything.
    pub(super) fn fill<R, T: Serialize>(
        &mut self,
        mut behind: Option<K>,
        key: impl Fn(&R) -> K,
        read: impl Fn(Option<K>, usize) -> pinport_store::Result<Vec<R>>,
        item: impl Fn(R) -> Result<Option<T>, ApiError>,
    ) -> Result<(), ApiError> {
        loop {
            let records = read(behind, STEP).map_err(stored)?;
            let whole = records.len() == STEP;
            for record in records {
                let own = key(&record);
                behind = Some(own);
                // What is not shown is passed over, also after the last item: a token leads to something.
                if let Some(item) = item(record)?
                    && !self.push(own, || Ok(item))?
                {
                    return Ok(());
                }
            }
            if !whole {
                return Ok(());
            }
        }
    }

    /// The page as the service writes it: `NextToken` is null on the last one.
    pub(super) fn of_service(self, token: impl FnOnce(K) -> String) -> Result<Response, ApiError> {
        self.end("NextToken", true, token)
    }

    /// The page as pinport's own operations write it: the last one has no `next_token`.
    pub(super) fn of_ours(self, token: impl FnOnce(K) -> String) -> Result<Response, ApiError> {
        self.end("next_token", false, token)
    }

    /// The page of an operation whose answer has no token: what did not fit is left out.
    pub(super) fn whole(mut self, status: StatusCode) -> Result<Response, ApiError> {
        self.json.extend_from_slice(b"]}");
        Ok(Response::written(status, self.json))
    }

    fn end(mut self, name: &str, null: bool, token: impl FnOnce(K) -> String) -> Result<Response, ApiError> {
        self.json.push(b']');
        let token = self.last.filter(|_| self.more).map(token);
        if token.is_some() || null {
            self.json.extend_from_slice(format!(",\"{name}\":").as_bytes());
            serde_json::to_writer(&mut self.json, &token).map_err(ApiError::internal)?;
        }
        self.json.push(b'}');
        Ok(Response::written(StatusCode::OK, self.json))
    }
}
