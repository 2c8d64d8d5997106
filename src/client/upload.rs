//! A file or a pipe as the body of a request, of any size in bounded memory.

use std::{
    io,
    os::fd::AsFd as _,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::Method;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::io::ReaderStream;

use super::{Client, Payload};

/// Bytes that are read at a time.
const CHUNK: usize = 256 << 10;
/// How long a server may take nothing, or not answer when it has all.
const STALL: Duration = Duration::from_secs(300);

/// How far an upload is.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    bytes: AtomicU64,
    /// 0 while unknown.
    total: AtomicU64,
}

impl Sent {
    /// Bytes sent, and all of them.
    pub(crate) fn now(&self) -> (u64, u64) {
        (self.bytes.load(Relaxed), self.total.load(Relaxed))
    }
}

impl Client {
    /// Posts a file; the server's answer is read by the caller.
    pub(crate) async fn upload_file(
        &self,
        path: &str,
        file: &Path,
        sent: &Arc<Sent>,
    ) -> anyhow::Result<reqwest::Response> {
        let unreadable = || format!("failed to read {}", file.display());
        let hash = if self.signs() { Some(hash(file).await.with_context(unreadable)?) } else { None };
        let opened = tokio::fs::File::open(file).await.with_context(unreadable)?;
        let length = opened.metadata().await.with_context(unreadable)?.len();
        sent.total.store(length, Relaxed);
        let payload = hash.as_deref().map_or(Payload::Unsigned, Payload::Hash);
        self.upload(path, opened.take(length), Some(length), payload, sent).await
    }

    /// Posts standard input. No one knows its hash beforehand: a server that wants signatures takes it over TLS or
    /// from its own machine only.
    pub(crate) async fn upload_stdin(
        &self,
        path: &str,
        sent: &Arc<Sent>,
    ) -> anyhow::Result<reqwest::Response> {
        let descriptor = io::stdin().as_fd().try_clone_to_owned().context("failed to read standard input")?;
        let from = tokio::fs::File::from_std(descriptor.into());
        self.upload(path, from, None, Payload::Unsigned, sent).await
    }

    async fn upload(
        &self,
        path: &str,
        from: impl AsyncRead + Send + Sync + 'static,
        length: Option<u64>,
        payload: Payload<'_>,
        sent: &Arc<Sent>,
    ) -> anyhow::Result<reqwest::Response> {
        let patient = self.patient()?;
        let stream = Box::pin(ReaderStream::with_capacity(from, CHUNK));
        let body = Upload { stream, length, sent: Arc::clone(sent) };
        let request = patient.request(Method::POST, path, Some("application/octet-stream"), payload)?;
        let answer = request.body(reqwest::Body::wrap(body)).send();
        let answer = tokio::select! {
            answer = answer => answer.map_err(|error| self.broken(&error))?,
            () = stalled(sent) => anyhow::bail!("the server took nothing for {} s", STALL.as_secs()),
        };
        Ok(self.judge(answer).await?)
    }
}

/// Ends when nothing was sent for long.
async fn stalled(sent: &Sent) {
    let mut before = u64::MAX;
    loop {
        let now = sent.now().0;
        if now == before {
            return;
        }
        before = now;
        tokio::time::sleep(STALL).await;
    }
}

/// The SHA-256 of a file in hexadecimal digits.
async fn hash(file: &Path) -> io::Result<String> {
    let file = file.to_owned();
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hash = Sha256::new();
        let mut buffer = vec![0; CHUNK];
        let mut file = std::fs::File::open(file)?;
        loop {
            match io::Read::read(&mut file, &mut buffer)? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
        Ok(pinport_model::hex(hash.finalize()))
    });
    hashed.await.map_err(io::Error::other)?
}

struct Upload<R> {
    stream: Pin<Box<ReaderStream<R>>>,
    length: Option<u64>,
    sent: Arc<Sent>,
}

impl<R: AsyncRead> Body for Upload<R> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        use tokio_stream::Stream as _;

        let this = self.get_mut();
        let next = ready!(this.stream.as_mut().poll_next(cx));
        if let Some(Ok(bytes)) = &next {
            this.sent.bytes.fetch_add(bytes.len() as u64, Relaxed);
        }
        Poll::Ready(next.map(|next| next.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
