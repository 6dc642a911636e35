use std::sync::Arc;

use nova_domain::accounts::{Accounts, Images};
use nova_domain::events::ImageDeleted;
use nova_domain::reports::Reportable;
use nova_domain::{Context, Domain};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::card::Base;
use crate::config::Config;
use crate::state::State;
use crate::{counts, directory, graph, moderation, people, personal, preferences};

/// The domain of people. `reportables` keep things of other domains that can be reported.
pub fn domain(
    context: &Context,
    config: Config,
    accounts: Arc<dyn Accounts>,
    images: Arc<dyn Images>,
    reportables: Vec<Arc<dyn Reportable>>,
) -> Domain {
    let state = State {
        db: context.db.clone(),
        clock: context.clock.clone(),
        limits: context.limits.clone(),
        base: Base::new(&context.public_url),
        accounts,
        images,
        reportables: reportables.into(),
        config,
    };
    let (db, names, clock) = (context.db.clone(), context.db.clone(), context.clock.clone());
    let personal = personal::personal(context.clock.clone(), state.config.clone());
    Domain::new("users")
        .routes(people(state.clone()))
        .routes(moderation(state))
        .on::<ImageDeleted>(|tx, envelope| Box::pin(people::update::image_gone(tx, envelope)))
        .task("users.counts", |stop| counts::run(db, stop))
        .task("users.names", |stop| directory::sweep(names, clock, stop))
        .personal(personal)
}

fn people(state: State) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(people::me::me, people::update::update))
        .routes(routes!(preferences::read, preferences::write))
        .routes(routes!(graph::requests::requests))
        .routes(routes!(graph::request::approve, graph::request::reject))
        .routes(routes!(graph::follower::remove))
        .routes(routes!(graph::blocks::blocks))
        .routes(routes!(graph::mutes::mutes))
        .routes(routes!(people::batch::batch))
        .routes(routes!(graph::suggestions::suggestions))
        .routes(routes!(people::show::show))
        .routes(routes!(graph::follow::follow, graph::follow::unfollow))
        .routes(routes!(graph::block::block, graph::block::unblock))
        .routes(routes!(graph::mute::mute, graph::mute::unmute))
        .routes(routes!(graph::followers::followers))
        .routes(routes!(graph::following::following))
        .with_state(state)
}

fn moderation(state: State) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(moderation::create::create))
        .routes(routes!(moderation::strikes::strikes))
        .routes(routes!(moderation::appeal::appeal))
        .routes(routes!(moderation::queue::queue))
        .routes(routes!(moderation::claim::claim))
        .routes(routes!(moderation::resolve::resolve))
        .routes(routes!(moderation::warn::warn))
        .routes(routes!(moderation::suspend::suspend))
        .routes(routes!(moderation::unsuspend::unsuspend))
        .routes(routes!(moderation::record::record))
        .routes(routes!(moderation::appeals::appeals))
        .routes(routes!(moderation::decide::decide))
        .with_state(state)
}
