//! Stands between the socket and hyper. It holds a head back until it is whole and well formed, and
//! keeps the time limits that hyper does not: for a head, for rest between requests, for a reader that
//! does not read. It answers nothing itself: in place of a refused head hyper gets a stand-in, and the
//! [`Exchange`] tells the one funnel of answers why, so a refusal has the same form, order and log line
//! as every other answer. After a refusal nothing more is read as a request.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::Sleep,
};
use tokio_util::io::poll_read_buf;

use super::framing::{Framing, Refused, Step};
use crate::{ErrorStatus, Limits};

/// What hyper reads in place of a refused head.
const STAND_IN: &[u8] = b"GET /refused HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n";

const READ_BYTES: usize = 8 << 10;
const BODY_READ_BYTES: usize = 64 << 10;

/// What the guard knows of a head that it let pass.
#[derive(Debug)]
pub(super) struct HeadNote {
    /// When the head was whole.
    pub(super) at: Instant,
    /// The refusal that the stand-in stands for.
    pub(super) refused: Option<(ErrorStatus, &'static str)>,
}

/// What the guard of a connection and the funnel share.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    heads: Mutex<VecDeque<HeadNote>>,
    in_flight: AtomicUsize,
}

impl Exchange {
    /// The note for the request that hyper has just read. Nothing: hyper saw a request that the guard did
    /// not, which must not be served.
    pub(super) fn next(&self) -> Option<HeadNote> {
        self.heads.lock().pop_front()
    }

    /// An answer has ended; its connection may rest.
    pub(super) fn answered(&self) {
        // A request that hyper saw and the guard did not was never counted.
        let _ = self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
    }

    fn passed(&self, refused: Option<(ErrorStatus, &'static str)>) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        self.heads.lock().push_back(HeadNote { at: Instant::now(), refused });
    }

    fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) > 0
    }
}

/// What the running clock is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The first head of a connection, or the rest of one that has begun.
    Head,
    /// The next request.
    Idle,
    /// Nothing runs.
    None,
}

/// A socket under guard.
pub(super) struct Guard<S> {
    socket: S,
    exchange: Arc<Exchange>,
    limits: Arc<Limits>,
    framing: Framing,
    /// Bytes that came and were not looked at, or belong to an unfinished head.
    raw: BytesMut,
    /// Bytes that hyper may have.
    out: BytesMut,
    served_one: bool,
    stopped: bool,
    wait: Wait,
    timer: Pin<Box<Sleep>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    linger: Option<(Pin<Box<Sleep>>, u64)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    pub(super) fn new(socket: S, exchange: Arc<Exchange>, limits: Arc<Limits>) -> Self {
        Self {
            socket,
            exchange,
            framing: Framing::new(limits.head_bytes, limits.headers),
            raw: BytesMut::new(),
            out: BytesMut::new(),
            served_one: false,
            stopped: false,
            wait: Wait::None,
            timer: Box::pin(tokio::time::sleep(limits.head)),
            write_timer: None,
            linger: None,
            limits,
        }
    }

    /// Replaces the head at hand by the stand-in; nothing after it is a request.
    fn refuse(&mut self, status: ErrorStatus, reason: &'static str) {
        self.stopped = true;
        self.raw.clear();
        self.out.extend_from_slice(STAND_IN);
        self.exchange.passed(Some((status, reason)));
    }

    /// Looks at what came. `Ok(true)`: something is ready for hyper.
    fn advance(&mut self) -> io::Result<bool> {
        let in_head = self.framing.in_head();
        match self.framing.step(&self.raw) {
            Ok(Step::More) => return Ok(false),
            Ok(Step::Head { skip, len }) => {
                self.raw.advance(skip);
                self.out.unsplit(self.raw.split_to(len));
                self.served_one = true;
                self.wait = Wait::None;
                self.exchange.passed(None);
            }
            Ok(Step::Body(len)) => self.out.unsplit(self.raw.split_to(len)),
            Err(Refused(reason)) if in_head => self.refuse(ErrorStatus::BadRequest, reason),
            // The body's reader gets the error and answers it.
            Err(Refused(reason)) => {
                self.stopped = true;
                self.raw.clear();
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
        }
        Ok(true)
    }

    /// Runs the clock for the wait that applies now; whether its time is over.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let wait = match () {
            () if !self.framing.in_head() => Wait::None,
            () if !self.raw.is_empty() => Wait::Head,
            () if self.exchange.is_busy() => Wait::None,
            () if self.served_one => Wait::Idle,
            () => Wait::Head,
        };
        if wait != self.wait {
            self.wait = wait;
            let time = if wait == Wait::Head { self.limits.head } else { self.limits.idle };
            self.timer.as_mut().reset(tokio::time::Instant::now() + time);
        }
        wait != Wait::None && self.timer.as_mut().poll(cx).is_ready()
    }

    /// Reads into `raw`; the number of bytes.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.framing.in_head() {
            self.raw.reserve(BODY_READ_BYTES);
            return poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.raw);
        }
        // By way of the stack, so that a resting connection owns no buffer.
        let mut space = [std::mem::MaybeUninit::uninit(); READ_BYTES];
        let mut buf = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf))?;
        self.raw.extend_from_slice(buf.filled());
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Fails a write that has made no progress for too long.
    fn stalled<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write_timer = None;
            return result;
        }
        let limit = self.limits.write_stall;
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the reader of the answer does not read")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.out.is_empty() {
                let len = this.out.len().min(buf.remaining());
                buf.put_slice(&this.out.split_to(len));
                return Poll::Ready(Ok(()));
            }
            if this.stopped {
                // An end of file would make hyper drop the answer it still owes.
                return Poll::Pending;
            }
            if !this.raw.is_empty() && this.advance()? {
                continue;
            }
            if let Some(left) = this.framing.sized_left() {
                let before = buf.filled().len();
                // Straight into hyper's buffer, and never beyond the body.
                ready!(Pin::new(&mut (&mut this.socket).take(left)).poll_read(cx, buf))?;
                let len = buf.filled().len() - before;
                this.framing.take_sized(len as u64);
                return Poll::Ready(Ok(()));
            }
            if this.is_late(cx) {
                if this.raw.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                this.refuse(ErrorStatus::RequestTimeout, "The head of the request did not arrive in time.");
                continue;
            }
            let len = ready!(this.fill(cx))?;
            if len == 0 {
                // Empty lines alone are no request.
                if this.framing.in_head() && this.raw.iter().any(|byte| !byte.is_ascii_whitespace()) {
                    this.refuse(ErrorStatus::BadRequest, "The request ends within its head.");
                    continue;
                }
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_write(cx, buf);
        this.stalled(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_write_vectored(cx, bufs);
        this.stalled(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_flush(cx);
        this.stalled(cx, result)
    }

    /// Closes so that the last answer arrives: closing a socket with unread bytes makes the kernel send a
    /// reset, which may overtake the answer. So what is left of a refused request is read and dropped, up
    /// to a limit.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            let result = Pin::new(&mut this.socket).poll_shutdown(cx);
            ready!(this.stalled(cx, result))?;
            if !this.stopped && this.framing.in_head() && this.raw.is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.raw.clear();
            let timer = Box::pin(tokio::time::sleep(this.limits.drain));
            this.linger = Some((timer, this.limits.drain_bytes));
        }
        loop {
            let Some((timer, left)) = &mut this.linger else { return Poll::Ready(Ok(())) };
            if *left == 0 || timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let left = *left;
            match ready!(this.fill(cx)) {
                Ok(len) if len > 0 => {
                    this.raw.clear();
                    if let Some((_, rest)) = &mut this.linger {
                        *rest = left.saturating_sub(len as u64);
                    }
                }
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}
