//! The law of the house, read from `cargo metadata`: arrows point down only, and some libraries have one owner (core/ARCHITECTURE.md).

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Which of Nova's crates each may use directly. What is not listed here may not exist.
const LAW: &[(&str, &[&str])] = &[
    ("nova-core", &[]),
    ("nova-pages", &[]),
    ("nova-ingest", &["nova-core"]),
    ("nova-packager", &["nova-core"]),
    ("nova-transcode", &["nova-core"]),
    ("nova-picture", &["nova-core"]),
    ("nova-transcode-worker", &["nova-core", "nova-transcode"]),
    ("nova-cdn", &["nova-core", "nova-pages"]),
    ("nova-domain", &["nova-core"]),
    ("nova-identity", &["nova-core", "nova-domain"]),
    ("nova-users", &["nova-core", "nova-domain"]),
    ("nova-media", &["nova-core", "nova-domain"]),
    (
        "nova",
        &[
            "nova-core",
            "nova-pages",
            "nova-ingest",
            "nova-packager",
            "nova-transcode",
            "nova-picture",
            "nova-cdn",
            "nova-domain",
            "nova-identity",
            "nova-users",
            "nova-media",
        ],
    ),
    (
        "nova-benches",
        &["nova-core", "nova-ingest", "nova-packager", "nova-cdn"],
    ),
];

/// Libraries, by name or prefix ending in `*`, and the only crates that may name them.
const OWNERS: &[(&str, &[&str])] = &[
    ("argon2", &["nova-identity"]),
    ("jsonwebtoken", &["nova-identity"]),
    ("aws-*", &["nova-cdn"]),
    ("gstreamer*", &["nova-transcode-worker"]),
    ("image", &["nova-picture"]),
    ("fast_image_resize", &["nova-picture"]),
];

/// Libraries that must not be reached from these crates, not even through another.
const NOWHERE_UNDER: &[(&[&str], &[&str])] = &[(
    &[
        "nova-core",
        "nova-pages",
        "nova-ingest",
        "nova-packager",
        "nova-transcode",
        "nova-transcode-worker",
        "nova-picture",
    ],
    &["axum", "sqlx", "hyper"],
)];

struct Graph {
    /// Nova's crates: name to direct dependencies, development ones left out.
    direct: BTreeMap<String, BTreeSet<String>>,
    /// Every package: name to the names it is resolved to use, development ones left out.
    resolved: BTreeMap<String, BTreeSet<String>>,
}

fn graph() -> Graph {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let members: Vec<String> = metadata["workspace_members"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text)
        .collect();
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let names: BTreeMap<String, String> = packages
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let direct = packages
        .iter()
        .filter(|package| members.contains(&text(&package["id"])))
        .map(|package| {
            let used = package["dependencies"].as_array().into_iter().flatten();
            let used = used
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| text(&dependency["name"]));
            (text(&package["name"]), used.collect())
        })
        .collect();
    let mut resolved: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().into_iter().flatten() {
        let used = node["deps"].as_array().into_iter().flatten().filter(|dependency| {
            dependency["dep_kinds"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|kind| kind["kind"] != "dev")
        });
        let used = used.filter_map(|dependency| names.get(&text(&dependency["pkg"])).cloned());
        resolved
            .entry(names[&text(&node["id"])].clone())
            .or_default()
            .extend(used);
    }
    Graph { direct, resolved }
}

#[test]
fn arrows_between_novas_crates_point_down_only() {
    for (name, used) in graph().direct {
        let allowed = LAW
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| panic!("{name} is not in the law"))
            .1;
        for library in used.iter().filter(|library| library.starts_with("nova")) {
            assert!(allowed.contains(&library.as_str()), "{name} must not use {library}");
        }
    }
}

#[test]
fn libraries_with_an_owner_are_named_by_no_other() {
    for (name, used) in graph().direct {
        for library in used {
            for (pattern, owners) in OWNERS {
                let matches = pattern
                    .strip_suffix('*')
                    .map_or(library == *pattern, |prefix| library.starts_with(prefix));
                assert!(
                    !matches || owners.contains(&name.as_str()),
                    "{library} belongs to {owners:?}, but {name} names it"
                );
            }
        }
    }
}

#[test]
fn the_media_path_reaches_neither_http_nor_sql() {
    let graph = graph();
    for (crates, forbidden) in NOWHERE_UNDER {
        for start in crates.iter().filter(|start| graph.resolved.contains_key(**start)) {
            let (mut seen, mut todo) = (BTreeSet::new(), vec![(*start).to_owned()]);
            while let Some(name) = todo.pop() {
                // The metrics exporter of core renders text; its own HTTP server is switched off.
                assert!(!forbidden.contains(&name.as_str()), "{start} reaches {name}");
                if seen.insert(name.clone()) {
                    todo.extend(graph.resolved.get(&name).into_iter().flatten().cloned());
                }
            }
        }
    }
}

#[test]
fn the_law_sees_what_it_forbids() {
    // A law that reads nothing would hold for anything.
    let graph = graph();
    assert!(graph.direct["nova"].contains("axum") && graph.direct["nova"].contains("nova-packager"));
    assert!(graph.resolved["nova-core"].contains("tokio"));
}
