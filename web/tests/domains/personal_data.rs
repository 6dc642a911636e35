//! Every table with a person's id in it is in some domain's list of what it keeps about people: nothing is forgotten by export and erasure.

use std::collections::BTreeSet;

use nova_core::clock::Clock;
use nova_domain::db::Db;
use nova_domain::personal::Table;
use nova_domain::{Domain, testing};

use crate::house;

/// Columns that look like a reference and hold no person's id.
const NOT_PEOPLE: &[&str] = &[
    "identity_access_tokens.id",
    "identity_exports.id",
    "identity_flows.id",
    "identity_links.id",
    "identity_logins.id",
    "identity_notices.id",
    "identity_oauth_flows.id",
    "identity_passkeys.credential_id",
    "identity_passkeys.id",
    "identity_refresh_tokens.session_id",
    "identity_sessions.id",
    "identity_token_revocations.id",
    "identity_token_revocations.session_id",
    "kit_audit.id",
    "kit_audit.request_id",
    "kit_outbox.event_id",
    "kit_outbox.id",
    "media_broadcasts.id",
    "media_broadcasts.stream_id",
    "media_captions.video_id",
    "media_images.id",
    "media_invalidation_batches.cdn_id",
    "media_invalidation_batches.id",
    "media_invalidations.batch_id",
    "media_invalidations.id",
    "media_streams.id",
    "media_uploads.id",
    "media_uploads.video_id",
    "media_videos.id",
    "media_videos.stream_id",
    "media_videos.upload_id",
    "users_appeals.id",
    "users_appeals.strike_id",
    "users_count_deltas.id",
    "users_reports.id",
    "users_strikes.id",
    "users_strikes.report_id",
];

async fn domains(db: &Db, data_dir: &std::path::Path) -> Vec<Domain> {
    let context = house::context(db, Clock::system());
    house::domains(&context, data_dir).await.1
}

#[tokio::test]
async fn every_column_that_may_hold_a_persons_id_is_covered() {
    let db = testing::sqlite().await;
    let data_dir = tempfile::tempdir().unwrap();
    let domains = domains(&db, data_dir.path()).await;
    let listed: Vec<&Table> = domains
        .iter()
        .filter_map(|domain| domain.personal.as_ref())
        .flat_map(|personal| personal.tables)
        .collect();
    let covered: BTreeSet<String> = listed
        .iter()
        .flat_map(|table| table.columns.iter().map(|column| format!("{}.{column}", table.name)))
        .collect();
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY 1, 2",
    )
    .fetch_all(db.read())
    .await
    .unwrap();
    let all: BTreeSet<String> = columns
        .iter()
        .map(|(table, column)| format!("{table}.{column}"))
        .collect();
    let unknown: Vec<&String> = all
        .iter()
        .filter(|column| column.ends_with("id") || column.ends_with("_by") || column.ends_with("actor"))
        .filter(|column| !covered.contains(*column) && !NOT_PEOPLE.contains(&column.as_str()))
        .filter(|column| !column.starts_with("test_"))
        .collect();
    assert!(
        unknown.is_empty(),
        "in no list of `Domain::personal`, and not among NOT_PEOPLE: {unknown:?}"
    );
    let gone: Vec<&String> = covered.iter().filter(|column| !all.contains(*column)).collect();
    assert!(gone.is_empty(), "listed, and not in the schema: {gone:?}");
    let stale: Vec<&&str> = NOT_PEOPLE.iter().filter(|column| !all.contains(**column)).collect();
    assert!(stale.is_empty(), "{stale:?}");
}

#[tokio::test]
async fn every_domain_says_what_it_keeps_about_people_and_prefixes_its_tables() {
    let db = testing::sqlite().await;
    let data_dir = tempfile::tempdir().unwrap();
    for domain in domains(&db, data_dir.path()).await {
        let personal = domain
            .personal
            .as_ref()
            .unwrap_or_else(|| panic!("{} says nothing", domain.name));
        for table in personal.tables {
            let own = table.name.starts_with(&format!("{}_", domain.name));
            assert!(
                own || table.kept.is_some(),
                "{} lists {} of another",
                domain.name,
                table.name
            );
        }
    }
}
