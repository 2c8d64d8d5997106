//! Answers that are made part by part, as their reader takes them. A part is read when there is room for it in front of
//! the socket, and holds its bytes of the budget until they are written: a reader that does not read costs a part or two.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::blocking;
use crate::{
    ApiError,
    http::{BoxError, Purse},
    limits::READ_BYTES,
};

/// What a streamed answer is.
pub(super) type PartStream = ReceiverStream<Result<Bytes, BoxError>>;

/// How long a part waits for memory before its answer breaks off: as long as others may hold it without reading.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the parts of an answer come from.
pub(super) trait Parts: Send + 'static {
    /// The next part; nothing at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>, ApiError>> + Send;
}

/// Parts that are read by blocking.
pub(super) trait BlockingParts: Send + 'static {
    /// The next part; nothing at the end.
    fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError>;

    /// Bytes that are taken from `memory` while a part is read.
    fn room(&self) -> usize {
        READ_BYTES
    }
}

/// The answer of these parts.
pub(super) fn stream(purse: Purse, parts: impl Parts) -> PartStream {
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(feed(purse, READ_BYTES, parts, send));
    ReceiverStream::new(receive)
}

/// The answer of parts that are read by blocking. The first is read now: an error is still an answer then, and later it
/// can only break the answer off.
pub(super) async fn stream_blocking(
    purse: Purse,
    mut parts: impl BlockingParts,
) -> Result<PartStream, ApiError> {
    let room = parts.room();
    let share = purse.take(room).await?;
    let (parts, first) = blocking(move || {
        let first = parts.next()?;
        Ok((parts, first))
    })
    .await?;
    let (send, receive) = mpsc::channel(1);
    if let Some(first) = first {
        // There is room for it.
        let _ = send.try_send(Ok(share.fix(first.into())));
        tokio::spawn(feed(purse, room, OnThread(Some(parts)), send));
    }
    Ok(ReceiverStream::new(receive))
}

async fn feed(
    purse: Purse,
    room_of_part: usize,
    mut parts: impl Parts,
    send: mpsc::Sender<Result<Bytes, BoxError>>,
) {
    // A caller that has gone takes no more parts.
    while let Ok(room) = send.reserve().await {
        let part = async {
            let share = purse.take_within(room_of_part, PATIENCE).await?;
            Ok(parts.next().await?.map(|part| share.fix(part.into())))
        };
        let part: Result<_, ApiError> = part.await;
        match part {
            Ok(Some(bytes)) => room.send(Ok(bytes)),
            Ok(None) => return,
            Err(error) => return room.send(Err(error.into())),
        }
    }
}

/// Reads each part on a thread for what blocks. Empty after an error.
struct OnThread<P>(Option<P>);

impl<P: BlockingParts> Parts for OnThread<P> {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        let Some(mut parts) = self.0.take() else { return Ok(None) };
        let (parts, part) = blocking(move || {
            let part = parts.next()?;
            Ok((parts, part))
        })
        .await?;
        self.0 = Some(parts);
        Ok(part)
    }
}
