//! The platform around the video: the database, the domains on it, and the API they share.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use nova_core::clock::Clock;
use nova_core::config::{Config, PublishAuth, PublishConfig};
use nova_core::error::Kind;
use nova_core::publish::StaticAuthorizer;
use nova_core::shutdown::Shutdown;
use nova_domain::db::Db;
use nova_domain::http::limit::{self, Limits, Rule};
use nova_domain::http::{Client, caller, headers, idempotency};
use nova_domain::outbox::{Relay, admin};
use nova_domain::{Authenticator, Context, Domain, Problem};
use nova_identity::Identity;
use nova_media::{Live, Media};
use tokio::runtime::Handle;
use tower::ServiceBuilder;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

/// Longest time a request of the API may take. A database that hangs becomes 503 for its callers, not a pile of waiting requests.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);
/// Longest time a piece of an upload may take; a client that stands still is let go much sooner.
const UPLOAD_LIMIT: Duration = Duration::from_secs(6 * 3600);
/// The same for a picture, which comes over a phone's connection and may wait for its turn.
const PICTURE_LIMIT: Duration = Duration::from_secs(120);
/// Largest body of a request, where a route says nothing else.
const BODY_LIMIT: usize = 256 << 10;
/// How long a start waits for a database server.
const DATABASE_PATIENCE: Duration = Duration::from_secs(60);
/// How often what is kept for a while is looked through.
const SWEEP: Duration = Duration::from_secs(60);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Nova",
        description = "Live and recorded video with the platform around it. Times are RFC 3339, ids are UUIDs, lists are pages by cursor, errors are \
                       problem+json (RFC 9457). A request that makes something may carry an Idempotency-Key.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "auth", description = "Accounts, sessions and what proves them"),
        (name = "users", description = "Profiles, and who follows, blocks and mutes whom"),
        (name = "moderation", description = "Reports and what comes of them"),
        (name = "streams", description = "Live streams and their keys"),
        (name = "images", description = "Pictures that people upload, in the sizes that pages show"),
        (name = "videos", description = "Recordings and uploads"),
    )
)]
struct Api;

/// The platform, built and not running yet.
pub(crate) struct Platform {
    /// The database.
    pub(crate) db: Db,
    /// Accounts, for the command line.
    pub(crate) identity: Identity,
    /// What the live side asks: who may publish, and who may watch.
    pub(crate) media: Media,
    domains: Vec<Domain>,
    context: Context,
}

/// Where the database is.
pub(crate) fn database_url(config: &Config) -> String {
    if config.database_url.is_empty() {
        format!("sqlite://{}", config.data_dir.join("nova.db").display())
    } else {
        config.database_url.clone()
    }
}

/// Opens the database with every migration applied.
pub(crate) async fn open(config: &Config) -> anyhow::Result<Db> {
    Db::open(&database_url(config), config.database.connections, DATABASE_PATIENCE)
        .await
        .context("database")
}

impl Platform {
    /// Opens the database and builds the domains that are switched on. `public_url` is the base of absolute URLs, `live` what is on air.
    pub(crate) async fn build(config: &Config, clock: &Clock, public_url: &str, live: Live) -> anyhow::Result<Self> {
        let db = open(config).await?;
        let context = Context {
            db: db.clone(),
            clock: clock.clone(),
            limits: Limits::new(config.limits.scale),
            public_url: public_url.trim_end_matches('/').to_owned(),
            personal: Arc::default(),
        };
        let directory = nova_users::directory(db.clone(), &context.public_url);
        let outgoing = nova_identity::Outgoing {
            url: config.mail.url.clone(),
            from: config.mail.from.clone(),
            name: config.mail.name.clone(),
        };
        let settings = nova_domain::section(&config.domains, "identity")?;
        let (identity, accounts) =
            Identity::new(&context, settings, &outgoing, &config.data_dir, Arc::clone(&directory)).await?;
        let (media, streams) = Media::new(
            &context,
            nova_domain::section(&config.domains, "media")?,
            live,
            listed(&config.publish),
            &config.data_dir,
            directory,
            identity.accounts(),
        )?;
        let settings = nova_domain::section(&config.domains, "users")?;
        let users = nova_users::domain(
            &context,
            settings,
            identity.accounts(),
            Arc::clone(&media.images),
            vec![Arc::clone(&media.reportable)],
        );
        let mut domains = vec![accounts, users, streams];
        for name in config.domains.keys() {
            anyhow::ensure!(
                domains.iter().any(|domain| domain.name == name),
                "domains.{name}: there is no such domain"
            );
        }
        domains.retain(|domain| is_enabled(config, domain.name));
        Domain::join(&domains, &context);
        Ok(Self {
            db,
            identity,
            media,
            domains,
            context,
        })
    }

    /// Starts what runs beside, and gives the routes of the API.
    pub(crate) fn start(self, config: &Config, runtime: &Handle, shutdown: &Shutdown) -> Router {
        let Context { db, clock, limits, .. } = self.context;
        let relay = Relay::new(db.clone(), clock.clone());
        shutdown.spawn(runtime, relay.run(shutdown.close().clone()));
        let kept = idempotency::Kept {
            db: db.clone(),
            clock: clock.clone(),
            // A picture of `domains.media.image_max_bytes` as it is made, with the form around it.
            larger: &[("/api/v1/images", 11 << 20)],
        };
        shutdown.spawn(runtime, sweep(limits.clone(), kept.clone(), shutdown.close().clone()));
        let (mut routes, mut root) = (OpenApiRouter::with_openapi(Api::openapi()), OpenApiRouter::new());
        for domain in self.domains {
            routes = routes.nest("/api/v1", domain.routes);
            root = root.merge(domain.root);
            for (name, task) in domain.tasks {
                tracing::debug!(task = name, "starts");
                shutdown.spawn(runtime, task(shutdown.close().clone()));
            }
        }
        let (router, mut description) = routes.merge(root).split_for_parts();
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        description
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", bearer);
        let description: Arc<str> = description.to_json().unwrap_or_default().into();
        let per_ip = Rule::new(
            "api.ip",
            config.limits.requests_per_ip.saturating_mul(10),
            config.limits.requests_per_ip,
            Duration::from_secs(1),
        );
        let identity: Arc<dyn Authenticator> = self.identity.authenticator();
        router
            .route(
                "/api/openapi.json",
                get(move || {
                    let description = Arc::clone(&description);
                    async move {
                        (
                            [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")],
                            description.to_string(),
                        )
                    }
                }),
            )
            .route("/api/{*rest}", axum::routing::any(|| async { Problem::not_found() }))
            .method_not_allowed_fallback(|| async {
                Problem::new(
                    http::StatusCode::METHOD_NOT_ALLOWED,
                    "this address does not know this method",
                )
            })
            .layer(
                ServiceBuilder::new()
                    .layer(middleware::from_fn(headers::secure))
                    .layer(middleware::from_fn(bounded))
                    .layer(middleware::from_fn_with_state((limits, per_ip), limited))
                    .layer(DefaultBodyLimit::max(BODY_LIMIT))
                    .layer(middleware::from_fn_with_state(identity, caller::identify))
                    .layer(middleware::from_fn_with_state(kept, idempotency::once)),
            )
    }
}

/// Who may publish beside the owners of streams.
fn listed(publish: &PublishConfig) -> StaticAuthorizer {
    match publish.auth {
        PublishAuth::Open => StaticAuthorizer::Open,
        PublishAuth::Key => {
            StaticAuthorizer::keys(publish.keys.iter().map(|(stream, key)| (key.as_str(), stream.as_str())))
        }
    }
}

fn is_enabled(config: &Config, name: &str) -> bool {
    let section = config.domains.get(name);
    section
        .and_then(|section| section.get("enabled"))
        .and_then(toml::Value::as_bool)
        .unwrap_or(true)
}

/// 503 for what takes too long, and 500 for a handler that panicked: a defect of one request ends that request alone.
async fn bounded(request: Request, next: Next) -> Response {
    let limit = match request.uri().path() {
        path if path.starts_with("/api/v1/uploads") => UPLOAD_LIMIT,
        "/api/v1/images" => PICTURE_LIMIT,
        _ => REQUEST_LIMIT,
    };
    let answer = tokio::time::timeout(limit, tokio::spawn(next.run(request))).await;
    match answer {
        Ok(Ok(response)) => response,
        Ok(Err(failed)) => Problem::internal(&failed).into_response(),
        Err(_elapsed) => Problem::of(Kind::Unavailable, "it took too long, try again").into_response(),
    }
}

/// How often one address may ask anything at all.
async fn limited(
    State((limits, rule)): State<(Limits, Rule)>,
    client: Client,
    request: Request,
    next: Next,
) -> Response {
    match limits.check(&rule, client.network()) {
        Ok(allowance) => {
            let mut response = next.run(request).await;
            // A narrower limit that was hit says more.
            if !response.headers().contains_key("ratelimit-limit") {
                limit::tell(&mut response, allowance);
            }
            response
        }
        Err(problem) => problem.into_response(),
    }
}

async fn sweep(limits: Limits, kept: idempotency::Kept, stop: tokio_util::sync::CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => {}
            () = stop.cancelled() => return,
        }
        limits.sweep();
        if let Err(error) = idempotency::sweep(&kept).await {
            tracing::warn!(%error, "old answers could not be forgotten");
        }
        match admin::counts(&kept.db).await {
            Ok(counts) => {
                gauge("nova_outbox_waiting", counts.waiting);
                gauge("nova_outbox_dead", counts.dead);
            }
            Err(error) => tracing::warn!(%error, "deliveries could not be counted"),
        }
    }
}

fn gauge(name: &'static str, value: i64) {
    metrics::gauge!(name).set(i32::try_from(value).map_or(f64::INFINITY, f64::from));
}
