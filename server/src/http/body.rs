//! The bodies of requests: small ones whole and bounded, uploads as a stream of any size. A sender that
//! brings less than a minimum rate is given up; time in which the server itself does not read is not
//! counted against it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};

use super::{Purse, Share};
use crate::{ApiError, ErrorStatus, Limits, limits::FREE_BYTES};

/// Why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It came more slowly than the minimum rate.
    #[error("the body did not arrive in time")]
    Slow,
    /// It is over its limit.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection or its framing broke within the body.
    #[error("the body ended early or is malformed")]
    Broken(#[source] hyper::Error),
    /// It is not the body that was signed.
    #[error("the body is not the one that was signed: its SHA-256 differs from x-amz-content-sha256")]
    Hash,
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Slow => Self::new(ErrorStatus::RequestTimeout, "The body did not arrive in time."),
            BodyError::TooLarge(limit) => Self::too_large(format!(
                "The body is larger than {limit} bytes, the limit for this operation."
            )),
            BodyError::Broken(_) => {
                Self::bad_request("The body ended early or its chunks are malformed.").because(error)
            }
            BodyError::Hash => Self::forbidden(
                "The body is not the one that was signed: its SHA-256 differs from x-amz-content-sha256.",
            ),
        }
    }
}

/// A body that is read as it arrives. [`BodyStream::next`] is cancel-safe.
#[derive(Debug)]
pub struct BodyStream {
    incoming: Incoming,
    hash: Option<(Sha256, [u8; 32])>,
    window: Duration,
    rate: u64,
    waited: Duration,
    in_window: u64,
    read: u64,
}

impl BodyStream {
    pub(super) fn new(incoming: Incoming, expected: Option<[u8; 32]>, limits: &Limits) -> Self {
        Self {
            incoming,
            hash: expected.map(|expected| (Sha256::new(), expected)),
            window: limits.body,
            rate: limits.body_rate,
            waited: Duration::ZERO,
            in_window: 0,
            read: 0,
        }
    }

    /// The next bytes; `None` at the clean end. If the sender signed the body's hash, a body that differs
    /// ends with [`BodyError::Hash`] and never cleanly.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let started = Instant::now();
            let arrived = timeout(self.window.saturating_sub(self.waited), self.incoming.frame()).await;
            self.waited += started.elapsed();
            let frame = match arrived {
                Ok(None) => return self.end(),
                Ok(Some(frame)) => Some(frame.map_err(BodyError::Broken)?),
                Err(_) => {
                    self.waited = self.waited.max(self.window);
                    None
                }
            };
            // Trailers have no meaning here.
            let data = frame.and_then(|frame| frame.into_data().ok());
            self.in_window += data.as_ref().map_or(0, |data| data.len() as u64);
            if self.waited >= self.window {
                if (self.in_window as f64) < self.rate as f64 * self.window.as_secs_f64() {
                    return Err(BodyError::Slow);
                }
                (self.waited, self.in_window) = (Duration::ZERO, 0);
            }
            if let Some(data) = data.filter(|data| !data.is_empty()) {
                self.read += data.len() as u64;
                if let Some((hasher, _)) = &mut self.hash {
                    hasher.update(&data);
                }
                return Ok(Some(data));
            }
        }
    }

    fn end(&mut self) -> Result<Option<Bytes>, BodyError> {
        let differs = |(hasher, expected): (Sha256, [u8; 32])| hasher.finalize().as_slice() != expected;
        if self.hash.take().is_some_and(differs) { Err(BodyError::Hash) } else { Ok(None) }
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    /// The length that the sender announced, if it did.
    pub fn remaining_hint(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }
}

/// Reads a whole body of at most `limit` bytes within `time`. Beyond its first bytes it takes from the budget what it
/// said it has, or else the limit, before more of it is read: who sent it is not known yet.
pub(super) async fn read_whole(
    mut incoming: Incoming,
    limit: usize,
    time: Duration,
    purse: &Purse,
) -> Result<(Bytes, Option<Share>), ApiError> {
    // What announces itself as too large is refused before a byte of it is read.
    if incoming.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge(limit).into());
    }
    let announced = incoming.size_hint().exact().and_then(|len| usize::try_from(len).ok());
    let read = async {
        let mut share = None;
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else { continue };
            if first.len() + rest.len() + data.len() > limit {
                return Err(BodyError::TooLarge(limit).into());
            }
            if share.is_none() && first.len() + rest.len() + data.len() > FREE_BYTES {
                share = Some(purse.take(announced.unwrap_or(limit)).await?);
            }
            if first.is_empty() && rest.is_empty() {
                first = data;
                continue;
            }
            if rest.is_empty() {
                rest.reserve(announced.unwrap_or(0));
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
        if let Some(share) = &mut share {
            share.keep(first.len() + rest.len());
        }
        if rest.is_empty() {
            return Ok((first, share));
        }
        Ok((rest.freeze(), share))
    };
    timeout(time, read).await.unwrap_or(Err(BodyError::Slow.into()))
}
