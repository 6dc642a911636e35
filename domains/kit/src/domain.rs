use nova_core::store::BoxFuture;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use crate::context::Context;
use crate::db::Tx;
use crate::outbox::{Envelope, Event, Job, Leased, Subscriptions};
use crate::personal::Personal;

/// Something that runs as long as the server does.
pub type Task = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// A domain as the binary plugs it in. Its state stays inside.
pub struct Domain {
    /// Its name: prefix of its tables, section of the configuration.
    pub name: &'static str,
    /// Routes below `/api/v1`.
    pub routes: OpenApiRouter,
    /// Routes at the root, where a standard says so (`/.well-known/…`).
    pub root: OpenApiRouter,
    /// What it hears and does.
    pub subscriptions: Subscriptions,
    /// What runs beside, by name.
    pub tasks: Vec<(&'static str, Task)>,
    /// What it keeps about people.
    pub personal: Option<Personal>,
}

impl Domain {
    /// A domain that does nothing yet.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            routes: OpenApiRouter::new(),
            root: OpenApiRouter::new(),
            subscriptions: Subscriptions::default(),
            tasks: Vec::new(),
            personal: None,
        }
    }

    /// Adds routes below `/api/v1`, their state applied.
    #[must_use]
    pub fn routes(mut self, routes: OpenApiRouter) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    /// Adds routes at the root.
    #[must_use]
    pub fn root(mut self, routes: OpenApiRouter) -> Self {
        self.root = self.root.merge(routes);
        self
    }

    /// Hears every `E`: in the transaction it is given, and nothing but the database.
    #[must_use]
    pub fn on<E: Event>(
        mut self,
        handle: impl for<'a> Fn(&'a mut Tx, Envelope<E>) -> BoxFuture<'a, anyhow::Result<()>> + Send + Sync + 'static,
    ) -> Self {
        self.subscriptions.on(self.name, handle);
        self
    }

    /// Does every `J`: outside any transaction, at least once.
    #[must_use]
    pub fn job<J: Job>(
        mut self,
        run: impl Fn(Leased, J) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync + 'static,
    ) -> Self {
        self.subscriptions.job(run);
        self
    }

    /// Runs beside the server until the token it is given is cancelled.
    #[must_use]
    pub fn task<F>(mut self, name: &'static str, run: impl FnOnce(CancellationToken) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.push((name, Box::new(move |stop| Box::pin(run(stop)))));
        self
    }

    /// Says what it keeps about people.
    #[must_use]
    pub fn personal(mut self, personal: Personal) -> Self {
        self.personal = Some(personal);
        self
    }
}

impl Domain {
    /// Says what all `domains` hear and keep; called once, before the first request.
    pub fn join(domains: &[Self], context: &Context) {
        let mut heard = Subscriptions::default();
        for domain in domains {
            heard.merge(domain.subscriptions.clone());
        }
        let _first = context.db.subscriptions().set(heard);
        let personal = domains
            .iter()
            .filter_map(|domain| Some((domain.name, domain.personal.clone()?)))
            .collect();
        let _first = context.personal.set(personal);
    }
}
