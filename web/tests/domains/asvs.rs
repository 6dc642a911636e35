//! The table of ASVS lines is read as what it is: a list of tests that hold something.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const TABLE: &str = include_str!("../../../domains/identity/ASVS.md");

/// Lines that must stand in the table, each whole or inside a range.
const LINES: &[&str] = &[
    "2.3.3", "2.4.1", "4.1.3", "4.3.1", "4.3.2", "4.4.2", "4.4.4", "5.2", "5.3", "6.1.1", "6.2.1", "6.2.12", "6.3.2",
    "6.3.4", "6.3.5", "6.3.7", "6.3.8", "6.4.1", "6.4.3", "6.4.6", "6.5.1", "6.5.5", "6.6.2", "6.6.3", "6.8.1",
    "6.8.4", "7.2.1", "7.2.4", "7.3.1", "7.3.2", "7.4.1", "7.4.5", "7.5.1", "7.5.3", "8.2.1", "8.2.3", "8.3.2",
    "9.1.2", "9.1.3", "9.2.1", "9.2.4", "10.1.2", "10.2.1", "10.2.2", "10.4.1", "10.4.4", "10.4.5", "10.4.6", "10.4.8",
    "10.4.9", "10.5.1", "10.5.4", "14.2.7", "14.2.8", "14.3.1", "14.3.2",
];

/// The page that lists what may be done how often (ASVS 6.1.1).
const LIMITS: &str = include_str!("../../../domains/LIMITS.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names of all tests in the sources.
fn tests() -> BTreeSet<String> {
    let root = root();
    let mut names = BTreeSet::new();
    for folder in ["core", "ingest", "transcode", "packager", "cdn", "domains", "web"] {
        sources(&root.join(folder), &mut |text| read(text, &mut names));
    }
    names
}

/// Shows every source below `folder`.
fn sources(folder: &Path, see: &mut dyn FnMut(&str)) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "node_modules" && name != "target" {
            sources(&path, see);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            see(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// Adds the names of the tests in a source.
fn read(text: &str, names: &mut BTreeSet<String>) {
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, rest)) = line.split_once("fn ")
            && is_test
        {
            names.extend(rest.split('(').next().map(str::to_owned));
            is_test = false;
        }
    }
}

/// The rows of the tables: the first cell, and the last.
fn rows() -> Vec<(&'static str, &'static str)> {
    let rows = TABLE
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let cells = rows.filter_map(|line| {
        let line = line.trim_matches(|c| c == '|' || c == ' ');
        Some((line.split(" | ").next()?, line.rsplit(" | ").next()?))
    });
    cells.filter(|(_, last)| *last != "held by").collect()
}

fn named(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.matches('_').count() > 1)
}

#[test]
fn every_line_names_tests_that_are_there_or_says_what_is_not_yet() {
    let tests = tests();
    assert!(tests.len() > 300, "the sources were read");
    for (line, cell) in rows() {
        let unknown: Vec<&str> = named(cell).filter(|name| !tests.contains(*name)).collect();
        assert!(unknown.is_empty(), "{line}: no such tests: {unknown:?}");
        let says = named(cell).next().is_some() || cell.starts_with("not yet: ");
        assert!(says, "{line} names no test and does not say what is missing: {cell}");
    }
}

#[test]
fn every_line_that_touches_accounts_sessions_and_the_api_stands_in_the_table() {
    let listed: Vec<&str> = rows()
        .iter()
        .flat_map(|(line, _)| line.split(", "))
        .flat_map(|part| part.split(" to "))
        .collect();
    let missing: Vec<&&str> = LINES.iter().filter(|line| !listed.contains(line)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_page_of_limits_says_what_the_sources_say() {
    let mut known = BTreeSet::new();
    sources(&root().join("domains"), &mut |text| {
        for rest in text.split(": Rule = Rule::new(\"").skip(1) {
            let parts: Vec<&str> = rest.splitn(5, [',', ';']).map(str::trim).collect();
            let name = parts[0].trim_matches('"');
            // Those of tests have no domain.
            if !name.contains('.') {
                continue;
            }
            let per = match parts[3] {
                "HOUR)" | "Duration::from_secs(3600))" => "hour",
                "Duration::from_secs(60))" => "minute",
                "Duration::from_secs(600))" => "ten minutes",
                "Duration::from_secs(86_400))" => "day",
                other => panic!("{other}: the page has no word for it"),
            };
            known.insert(format!("`{name}` {} {} {per}", parts[1], parts[2]));
        }
    });
    let told: BTreeSet<String> = LIMITS
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            format!("{} {} {} {}", cells[1], cells[3], cells[4], cells[5])
        })
        .collect();
    assert!(known.len() > 25, "{known:?}");
    assert_eq!(known, told, "domains/LIMITS.md");
}
