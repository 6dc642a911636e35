//! The HTTP listeners. A connection lives on the delivery runtime; media is answered right there, everything else on the API runtime, so that a
//! slow query cannot delay a part.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use ipnet::IpNet;
use nova_cdn::path_token::Opened;
use nova_cdn::{Origin, PathTokens, Viewer, What};
use nova_core::clock::Clock;
use nova_core::config::HttpConfig;
use nova_core::shutdown::Shutdown;
use nova_domain::db::Id;
use nova_domain::http::client::{Client, forwarded};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::addresses::Addresses;
use crate::quiet::{Activity, Open, Watched};
#[cfg(target_os = "linux")]
use crate::socket::MediaSocket;
use crate::tls::Certificates;

/// Time without an acknowledgement after which a peer counts as gone.
const VANISHED_AFTER: Duration = Duration::from_secs(60);

/// What all connections share.
pub(crate) struct Server {
    pub(crate) origin: Origin,
    /// Tokens in the paths of addresses; nothing where none are configured.
    pub(crate) tokens: Option<PathTokens>,
    pub(crate) pages: axum::Router,
    pub(crate) clock: Clock,
    pub(crate) api: Handle,
    pub(crate) config: HttpConfig,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) shutdown: Shutdown,
    /// Proxies that are believed about a client's address.
    pub(crate) proxies: Vec<IpNet>,
}

impl Server {
    /// Accepts until viewers have had the end of their streams.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, tls: Option<Arc<Certificates>>) {
        let closing = self.shutdown.close().clone();
        loop {
            let Ok(permit) = Arc::clone(&self.connections).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = closing.cancelled() => return,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: the next accept would fail at once as well.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Some(place) = self.addresses.take(peer.ip()) else {
                metrics::counter!("nova_http_refused_total", "reason" => "limit_per_ip").increment(1);
                continue;
            };
            let (server, tls) = (Arc::clone(&self), tls.clone());
            self.shutdown.spawn(&Handle::current(), async move {
                server.connection(socket, peer, tls).await;
                drop((permit, place));
            });
        }
    }

    async fn connection(self: Arc<Self>, socket: TcpStream, peer: SocketAddr, tls: Option<Arc<Certificates>>) {
        // Conformance 85: without it, a keep-alive request waits for the client's delayed acknowledgement.
        if socket.set_nodelay(true).is_err() {
            return;
        }
        // A viewer that has vanished (a phone in a tunnel) is let go although it never said so.
        let options = socket2::SockRef::from(&socket);
        let _best_effort = options.set_tcp_user_timeout(Some(VANISHED_AFTER));
        let _best_effort = options.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(VANISHED_AFTER));
        match tls {
            #[cfg(target_os = "linux")]
            None => self.http(MediaSocket(socket), peer, false).await,
            #[cfg(not(target_os = "linux"))]
            None => self.http(socket, peer, false).await,
            Some(certificates) => {
                let handshake = certificates.acceptor().accept(socket);
                let limit = Duration::from_millis(self.config.header_timeout_ms);
                if let Ok(Ok(stream)) = tokio::time::timeout(limit, handshake).await {
                    self.http(stream, peer, true).await;
                }
            }
        }
    }

    async fn http(
        self: Arc<Self>,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        tls: bool,
    ) {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().max_headers(64);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(128)
            .max_header_list_size(16 << 10)
            .initial_connection_window_size(1 << 20)
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(20));
        let limit = Duration::from_millis(self.config.header_timeout_ms);
        let activity = Activity::default();
        let socket = Watched {
            socket: io,
            activity: activity.clone(),
        };
        // Each of these is looked at when it has something to say, not whenever the connection moves.
        let (closing, ending) = (self.shutdown.close().clone(), self.shutdown.end().clone());
        let mut events = FuturesUnordered::<Pin<Box<dyn Future<Output = Told> + Send>>>::new();
        events.push(Box::pin(closing.cancelled_owned().map(|()| Told::Close)));
        events.push(Box::pin(ending.cancelled_owned().map(|()| Told::End)));
        let watch = activity.clone();
        events.push(Box::pin(async move {
            watch.quiet_for(limit).await;
            Told::End
        }));
        let service = hyper::service::service_fn(move |request| {
            let (server, open) = (Arc::clone(&self), activity.request());
            async move {
                let response = server.answer(request, peer.ip(), tls).await?;
                Ok::<_, Infallible>(response.map(|body| Answer { body, _open: open }))
            }
        });
        let connection = builder.serve_connection(TokioIo::new(socket), service);
        tokio::pin!(connection);
        loop {
            tokio::select! {
                // A client that breaks off or sends nonsense is no event worth a line.
                _closed = connection.as_mut() => return,
                Some(told) = events.next() => match told {
                    Told::Close => connection.as_mut().graceful_shutdown(),
                    Told::End => return,
                },
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr, tls: bool) -> Result<Response<Body>, Infallible> {
        let uri = request.uri();
        let now = self.clock.now().0 / 1_000_000;
        let opened = self.tokens.as_ref().and_then(|tokens| tokens.open(uri.path(), now));
        let (path, proven) = match opened {
            None => (uri.path(), false),
            Some(Opened::Yes(path)) => (path, true),
            Some(Opened::No) => return Ok(self.origin.ended().map(Body::Media)),
        };
        let media = match path.strip_prefix("/live/") {
            Some(path) => Some((What::Live, path)),
            None => match path.strip_prefix("/vod/") {
                Some(path) => Some((What::Vod, path)),
                None => path.strip_prefix("/media/images/").map(|path| (What::Images, path)),
            },
        };
        if let Some((what, path)) = media {
            let (address, _) = forwarded(peer, request.headers(), &self.proxies);
            let viewer = Viewer {
                address,
                plain: !tls && request.version() < Version::HTTP_2,
                proven,
            };
            let response = self
                .origin
                .respond(what, request.method(), path, uri.query(), request.headers(), viewer)
                .await;
            return Ok(response.map(Body::Media));
        }
        if path == "/time" {
            return Ok(self.time());
        }
        let client = self.client(&request, peer, tls);
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(client);
        let answer = self.api.spawn(self.pages.clone().oneshot(request)).await;
        Ok(match answer {
            Ok(Ok(response)) => response.map(Body::Page),
            Err(failed) => {
                tracing::error!(error = %failed, "a request handler failed");
                let mut response = Response::new(Body::Page(axum::body::Body::empty()));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        })
    }

    fn client(&self, request: &Request<Incoming>, peer: IpAddr, tls: bool) -> Client {
        let (ip, secure) = forwarded(peer, request.headers(), &self.proxies);
        let agent = request
            .headers()
            .get(http::header::USER_AGENT)
            .and_then(|agent| agent.to_str().ok());
        Client {
            ip,
            secure: secure.unwrap_or(tls),
            agent: agent.unwrap_or_default().chars().take(200).collect(),
            request_id: Id::<Self>::new(self.clock.now()).to_string(),
        }
    }

    /// Server time for DASH clients (`urn:mpeg:dash:utc:http-xsdate:2014`): the time that manifests speak of.
    fn time(&self) -> Response<Body> {
        let mut response = Response::new(Body::Media(nova_cdn::Body::full(
            self.clock.media_now().to_rfc3339_millis().into(),
        )));
        let headers = response.headers_mut();
        headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(http::header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }
}

/// What a connection hears from outside.
enum Told {
    /// Finish what is being answered, take nothing new.
    Close,
    /// It is over.
    End,
}

/// A body and the request it answers.
struct Answer {
    body: Body,
    _open: Open,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body of either side.
pub(crate) enum Body {
    Media(nova_cdn::Body),
    Page(axum::body::Body),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut *self {
            Self::Media(body) => Pin::new(body).poll_frame(context).map_err(axum::Error::new),
            Self::Page(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Media(body) => body.is_end_stream(),
            Self::Page(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Media(body) => body.size_hint(),
            Self::Page(body) => body.size_hint(),
        }
    }
}
