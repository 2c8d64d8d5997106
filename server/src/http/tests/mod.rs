//! A real server on port 0, spoken to in raw bytes.

mod cors;
mod limits;
mod raw;
mod signed;
mod stop;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::{ApiError, Limits, access::Access, metrics::Metrics, tls::Tls};

/// A server with a few operations that show what reached them.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) access: Arc<Access>,
    /// What `Hold` waits for.
    pub(crate) hold: Arc<Notify>,
    /// Operations that ran to their end.
    pub(crate) ended: Arc<Mutex<Vec<String>>>,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<Drained>,
    _guard: DropGuard,
}

impl TestServer {
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::start_with(limits, Access::open(), None).await
    }

    pub(crate) async fn start_with(limits: Limits, access: Access, tls: Option<Arc<Tls>>) -> Self {
        let hold = Arc::new(Notify::new());
        let ended = Arc::new(Mutex::new(Vec::new()));
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (socket.local_addr().unwrap(), CancellationToken::new());
        let (access, metrics) = (Arc::new(access), Arc::new(Metrics::new("test")));
        let server = Arc::new(Server {
            router: router(&hold, &ended),
            access: Arc::clone(&access),
            metrics: Arc::clone(&metrics),
            limits,
        });
        let served = tokio::spawn(serve([Listener::new(socket, tls)], server, stop.clone()));
        Self { address, metrics, access, hold, ended, served, _guard: stop.clone().drop_guard(), stop }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes, ends the sending side, and returns all that came back.
    pub(crate) async fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut socket = self.connect().await;
        // The server may close before it has read everything.
        let _ = socket.write_all(request.as_ref()).await;
        read_all(&mut socket).await
    }
}

/// Everything up to the end of the connection.
pub(crate) async fn read_all(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _: io::Result<_> = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut answer))
        .await
        .expect("the server closes the connection");
    String::from_utf8(answer).unwrap()
}

/// One answer with a known length, on a connection that stays open.
pub(crate) async fn read_answer(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return String::from_utf8(answer).unwrap();
            }
        }
        assert!(socket.read_buf(&mut answer).await.unwrap() > 0, "the connection ended: {text}");
    }
}

fn router(hold: &Arc<Notify>, ended: &Arc<Mutex<Vec<String>>>) -> Router {
    let mut router = Router::new("This test has few paths.");
    router.add(Route::new("GET", "/livez", "Livez").public(), |_| async {
        Ok(Response::bytes("text/plain", "ok"))
    });
    router.add(Route::new("GET", "/v1/apps/{application-id}", "GetApp"), |request: Request| async move {
        let shown = format!("{} {:?}", request.param("application-id"), request.query().pairs());
        Ok(Response::bytes("text/plain", shown))
    });
    router.add(Route::new("POST", "/v1/apps", "CreateApp"), |request: Request| async move {
        Ok(Response::bytes("text/plain", request.bytes().clone()))
    });
    router.add(Route::new("PUT", "/json", "Json"), |request: Request| async move {
        let value: std::collections::BTreeMap<String, u32> = request.json()?;
        Response::json(StatusCode::CREATED, &value)
    });
    router.add(Route::new("DELETE", "/empty", "Empty"), |_| async {
        Ok(Response::empty(StatusCode::NO_CONTENT))
    });
    router.add(
        Route::new("POST", "/uploads", "Upload").body(BodyMode::Stream),
        |mut request: Request| async move {
            let mut stream = request.take_stream().ok_or_else(|| ApiError::internal("no stream"))?;
            while stream.next().await?.is_some() {}
            Ok(Response::bytes("text/plain", stream.bytes_read().to_string()))
        },
    );
    router.add(Route::new("GET", "/panic", "Panic"), |_| async { panic!("on purpose") });
    router
        .add(Route::new("GET", "/fault", "Fault"), |_| async { Err(ApiError::internal("the disk is gone")) });
    router.add(Route::new("GET", "/late", "Late"), |_| async {
        Err(ApiError::too_many_requests("later", Duration::from_millis(1500)))
    });
    let (wait, done) = (Arc::clone(hold), Arc::clone(ended));
    router.add(Route::new("GET", "/hold/{name}", "Hold"), move |request: Request| {
        let (wait, done) = (Arc::clone(&wait), Arc::clone(&done));
        async move {
            done.lock().push(format!("{} began", request.param("name")));
            wait.notified().await;
            done.lock().push(format!("{} ended", request.param("name")));
            Ok(Response::bytes("text/plain", "held"))
        }
    });
    router.add(Route::new("GET", "/broken", "Broken"), |_| async {
        let mut parts = vec![Err(BoxError::from("gone")), Ok(Bytes::from_static(b"part"))];
        Ok(Response::stream("text/plain", tokio_stream::iter(std::iter::from_fn(move || parts.pop()))))
    });
    router.add(Route::new("GET", "/zeros", "Zeros"), |_| async {
        let block = Bytes::from(vec![0; 1 << 20]);
        Ok(Response::stream(
            "application/octet-stream",
            tokio_stream::iter(std::iter::repeat_with(move || Ok(block.clone()))),
        ))
    });
    router
}
