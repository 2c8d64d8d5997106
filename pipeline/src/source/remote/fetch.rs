//! Bytes of objects, by ranged GETs through an [`ObjectStore`], held against what was listed: tag and length.
//! A request that fails is tried again at the byte that was reached.

use std::collections::VecDeque;

use http::HeaderMap;
use object_store::{GetOptions, GetRange, ObjectStore};
use pinport_model::{PlannedObject, with_causes};
use tokio_stream::StreamExt as _;

use super::{
    checksum::Checksum,
    connector::{Wanted, changed, cut_off, failure_in},
    key,
    retry::{Asked, Backoff, Failure},
};
use crate::{
    buffers::{Buffers, Chunk, Chunks},
    limits::LEAST_PROGRESS,
    source::{SourceError, SourceOptions},
};

/// Bytes of an object.
pub(in crate::source) struct Fetched {
    pub(in crate::source) chunks: VecDeque<Chunk>,
    /// The sum they must have. The thread that takes them computes it: that is no work for the runtime.
    pub(super) checksum: Option<Checksum>,
}

/// What came of a range.
struct Got {
    chunks: Chunks,
    /// Where it ends.
    byte: u64,
    checksum: Option<Checksum>,
    tries: u32,
}

/// A store with what its answers are like.
#[derive(Clone, Copy)]
pub(super) struct Store<'a> {
    pub(super) store: &'a dyn ObjectStore,
    /// Whether only a request without a range is answered with the checksum of the object: S3.
    pub(super) sums_whole: bool,
}

/// The bytes from `start` to `end` of an object.
pub(super) async fn range(
    from: Store<'_>,
    options: &SourceOptions,
    mut asked: Asked,
    object: &PlannedObject,
    (start, end): (u64, u64),
    buffers: Buffers,
) -> Result<Fetched, SourceError> {
    let mut got = Got { chunks: Chunks::new(buffers, end - start), byte: start, checksum: None, tries: 0 };
    let mut backoff = Backoff::new(options);
    while got.byte < end {
        asked.byte = got.byte;
        let wanted = Wanted { asked: asked.clone(), size: object.size, start: got.byte, end };
        if let Err(failure) = get(from, options, object, wanted, &mut got).await {
            // So little progress is none: a store that sends a byte a try would keep us for ever.
            if got.byte - asked.byte >= LEAST_PROGRESS {
                backoff.progress();
            }
            let wait = backoff.next(failure)?;
            tracing::debug!(url = asked.url, byte = got.byte, ?wait, "trying again");
            tokio::time::sleep(wait).await;
        }
    }
    Ok(Fetched { chunks: got.chunks.done(), checksum: got.checksum })
}

async fn get(
    from: Store<'_>,
    options: &SourceOptions,
    object: &PlannedObject,
    wanted: Wanted,
    got: &mut Got,
) -> Result<(), Failure> {
    let Wanted { asked, start, end, .. } = wanted.clone();
    // Some stores answer a request without a range without a length too, so another try names the range.
    let plain = from.sums_whole && wanted.is_whole() && got.tries == 0;
    got.tries += 1;
    let mut request = GetOptions { if_match: object.etag.clone(), ..GetOptions::default() };
    request.range = (!plain).then_some(GetRange::Bounded(start..end));
    let whole = wanted.is_whole();
    request.extensions.insert(wanted);
    let failure = |error: object_store::Error| match failure_in(&error) {
        Some(failure) => failure.clone(),
        None => Failure::lasting(SourceError::Other {
            url: asked.url.clone(),
            reason: with_causes(&error),
            object: true,
        }),
    };
    let answer = from.store.get_opts(&key::to_path(&object.key), request).await.map_err(failure)?;
    if let (Some(found), Some(listed)) = (&answer.meta.e_tag, &object.etag)
        && bare(found) != bare(listed)
    {
        return Err(changed(&asked, format!("its entity tag was {listed} and is {found}")));
    }
    if whole && let Some(headers) = answer.extensions.get::<HeaderMap>() {
        got.checksum = Checksum::from_headers(headers, options.verify_all);
    }
    let mut chunks = answer.into_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(failure)?;
        if chunk.len() as u64 > end - got.byte {
            return Err(changed(&asked, "the store sent more bytes than were asked for"));
        }
        got.byte += chunk.len() as u64;
        // Its memory is free at once, and the next bytes are received in it.
        got.chunks.push(&chunk);
    }
    if got.byte < end {
        return Err(cut_off(&asked, format!("the answer ended {} bytes too early", end - got.byte)));
    }
    Ok(())
}

/// An entity tag without quotes or weakness, which stores add and drop.
fn bare(etag: &str) -> &str {
    // Without a quote after it, it is a part of the tag: GCS lists bare tags in base64.
    let strong = etag.strip_prefix("W/").filter(|rest| rest.starts_with('"'));
    strong.unwrap_or(etag).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt as _, memory::InMemory};

    use super::*;

    #[test]
    fn tags_are_compared_without_quotes_and_weakness() {
        for (etag, bare) in
            [("\"a\"", "a"), ("W/\"a\"", "a"), ("a", "a"), ("W/a+b=", "W/a+b="), ("\"W/a\"", "W/a")]
        {
            assert_eq!(super::bare(etag), bare);
        }
    }

    #[tokio::test]
    async fn any_object_store_can_be_read() {
        let store = InMemory::new();
        let put = store.put(&key::to_path("dir//a "), "0123456789".into()).await.unwrap();
        let mut object = PlannedObject { key: "dir//a ".into(), size: 10, etag: put.e_tag, skipped: None };
        let options = SourceOptions { retries: 0, ..SourceOptions::default() };
        let asked = || Asked { url: "s3://b/dir//a ".into(), bucket: "s3://b".into(), object: true, byte: 0 };
        let read = async |object: &PlannedObject, start, end, sums_whole| {
            let store = Store { store: &store, sums_whole };
            let fetched = range(store, &options, asked(), object, (start, end), Buffers::new(4)).await?;
            Ok::<_, SourceError>(fetched.chunks.iter().flat_map(Chunk::bytes).copied().collect::<Vec<u8>>())
        };
        assert_eq!(read(&object, 0, 10, true).await.unwrap(), b"0123456789");
        assert_eq!(read(&object, 0, 10, false).await.unwrap(), b"0123456789");
        assert_eq!(read(&object, 3, 7, true).await.unwrap(), b"3456");
        // A store that has less than was listed must not pass for a whole object.
        object.size = 12;
        assert!(matches!(read(&object, 0, 12, true).await, Err(SourceError::Truncated { .. })));
        object.etag = Some("another".into());
        assert!(read(&object, 0, 12, true).await.is_err());
    }
}
