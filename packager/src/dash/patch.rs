//! MPD patches (ISO/IEC 23009-1 5.15, conformance 81): what turns one manifest into a later one, as XML Patch operations (RFC 5261). A player
//! with hours of segments in its manifest asks for this every second instead of for all of it.
//!
//! Both manifests are ones that [`super::mpd`] has printed. Elements are found again by their `id`, or by their place among those of their name.
//! Between the two, segments may have come and gone, Periods too, and values may have changed. Where a Period has got another rendition there is no
//! patch, since players (Shaka 5) cannot apply it: they are told to take the whole manifest.

use std::fmt::Write;

use nova_core::clock::Timestamp;
use roxmltree::{Document, Node};

/// The least window, in seconds, whose manifests are long enough to be worth it.
pub const LONG_WINDOW_S: u32 = 1800;
/// For how long after it was published players try to patch a manifest, by their own clocks. Whether it can still be is another matter: [`unfit`].
pub const LIFE_S: u32 = 30;

/// The operations that turn `old` into `new`; `None` where players could not follow.
pub fn render(old: &str, new: &str) -> Option<String> {
    let (old, new) = (Document::parse(old).ok()?, Document::parse(new).ok()?);
    let (old, new) = (old.root_element(), new.root_element());
    let id = old.attribute("id")?;
    if new.attribute("id") != Some(id) {
        return None;
    }
    let (from, to) = (old.attribute("publishTime")?, new.attribute("publishTime")?);
    let mut out = head(id, from, to);
    element(&mut out, "/MPD", old, new)?;
    out.push_str("</Patch>\n");
    Some(out)
}

/// A patch of no manifest that a player may have: it takes the whole one then, of the presentation `id`, which was `published` then. An error would
/// make some try again and again.
pub fn unfit(id: &str, published: Timestamp) -> String {
    let published = published.to_rfc3339_millis();
    head(id, &published, &published) + "</Patch>\n"
}

fn head(id: &str, from: &str, to: &str) -> String {
    let mut out = String::with_capacity(2048);
    let _infallible = writeln!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Patch xmlns=\"urn:mpeg:dash:schema:mpd-patch:2020\" mpdId=\"{}\" originalPublishTime=\"{from}\" publishTime=\"{to}\">",
        Escaped(id),
    );
    out
}

/// Where a manifest that was published then can be patched from, for its `PatchLocation`.
pub(crate) fn location(published: Timestamp) -> String {
    format!("patch.mpd?publishTime={}", published.to_rfc3339_millis())
}

/// The time of publishing in the query of a [`location`].
pub(crate) fn published(query: Option<&str>) -> Option<&str> {
    let time = query?.split('&').find_map(|pair| pair.strip_prefix("publishTime="))?;
    (time.len() < 40).then_some(time)
}

/// What turns `old` at `path` into `new`, which has its name and `id`; `None` where players could not follow.
fn element(out: &mut String, path: &str, old: Node<'_, '_>, new: Node<'_, '_>) -> Option<()> {
    attributes(out, path, old, new);
    if old.has_tag_name("SegmentTimeline") {
        timeline(out, path, old, new);
        return Some(());
    }
    let (before, after) = (keyed(&children(old))?, keyed(&children(new))?);
    if before.is_empty() && after.is_empty() && old.text() != new.text() {
        return None;
    }
    let at = |keys: &[(String, Node<'_, '_>)], key: &str| keys.iter().position(|(there, _)| there == key);
    for (key, child) in before.iter().filter(|(key, _)| at(&after, key).is_none()) {
        may_come_and_go(*child)?;
        let _infallible = writeln!(out, "  <remove sel=\"{path}/{key}\"/>");
    }
    let (mut last, mut passed): (Option<&str>, _) = (None, None);
    for (key, child) in &after {
        match at(&before, key).map(|index| (index, before[index].1)) {
            // What both have must be in one order.
            Some((index, _)) if passed >= Some(index) => return None,
            Some((index, old)) => {
                passed = Some(index);
                if !child.has_tag_name("PatchLocation") {
                    element(out, &format!("{path}/{key}"), old, *child)?;
                } else if old.text() != child.text() {
                    // Some players take a step without a condition for "behind the last one".
                    let _infallible = write!(out, "  <replace sel=\"{path}/{key}[1]\">");
                    print(out, *child);
                    out.push_str("</replace>\n");
                }
            }
            None => {
                may_come_and_go(*child)?;
                let _infallible = match last {
                    Some(last) => write!(out, "  <add sel=\"{path}/{last}\" pos=\"after\">"),
                    None => write!(out, "  <add sel=\"{path}\" pos=\"prepend\">"),
                };
                print(out, *child);
                out.push_str("</add>\n");
            }
        }
        last = Some(key);
    }
    Some(())
}

/// Periods do, and at the end of a broadcast what is of use to live players only.
fn may_come_and_go(node: Node<'_, '_>) -> Option<()> {
    let names = [
        "Period",
        "PatchLocation",
        "ServiceDescription",
        "ProducerReferenceTime",
        "UTCTiming",
    ];
    names.contains(&node.tag_name().name()).then_some(())
}

fn children<'a, 'input>(node: Node<'a, 'input>) -> Vec<Node<'a, 'input>> {
    node.children().filter(Node::is_element).collect()
}

/// Each with the step of a path that leads to it alone; `None` where an id cannot stand in a path.
fn keyed<'a, 'input>(nodes: &[Node<'a, 'input>]) -> Option<Vec<(String, Node<'a, 'input>)>> {
    let key = |(index, node): (usize, &Node<'a, 'input>)| {
        let name = node.tag_name().name();
        let alike = |nodes: &[Node<'_, '_>]| nodes.iter().filter(|other| other.tag_name() == node.tag_name()).count();
        let key = match node.attribute("id") {
            Some(id) if id.contains(['\'', '"', '&', '<', '/', '[']) => return None,
            Some(id) => format!("{name}[@id='{id}']"),
            None if alike(nodes) == 1 => name.to_owned(),
            None => format!("{name}[{}]", alike(&nodes[..=index])),
        };
        Some((key, *node))
    };
    nodes.iter().enumerate().map(key).collect()
}

fn attributes(out: &mut String, path: &str, old: Node<'_, '_>, new: Node<'_, '_>) {
    for attribute in new.attributes() {
        let (name, value) = (attribute.name(), Escaped(attribute.value()));
        let _infallible = match old.attribute(name) {
            Some(known) if known == attribute.value() => continue,
            Some(_) => writeln!(out, "  <replace sel=\"{path}/@{name}\">{value}</replace>"),
            None => writeln!(out, "  <add sel=\"{path}\" type=\"@{name}\">{value}</add>"),
        };
    }
    for attribute in old.attributes().filter(|known| !new.has_attribute(known.name())) {
        let _infallible = writeln!(out, "  <remove sel=\"{path}/@{}\"/>", attribute.name());
    }
}

/// A run of segments: an `S` element, whose beginning may be told by the one before it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Run {
    start: i64,
    length: i64,
    repeat: i64,
    /// Whether `t` is written out.
    told: bool,
}

impl Run {
    const fn end(&self) -> i64 {
        self.start + self.length * (self.repeat + 1)
    }

    fn print(&self, out: &mut String) {
        out.push_str("<S");
        if self.told {
            let _infallible = write!(out, " t=\"{}\"", self.start);
        }
        let _infallible = write!(out, " d=\"{}\"", self.length);
        if self.repeat > 0 {
            let _infallible = write!(out, " r=\"{}\"", self.repeat);
        }
        out.push_str("/>");
    }
}

fn runs(timeline: Node<'_, '_>) -> Vec<Run> {
    let mut next = 0;
    let number = |node: Node<'_, '_>, name| node.attribute(name).and_then(|value| value.parse::<i64>().ok());
    children(timeline)
        .into_iter()
        .map(|node| {
            let told = number(node, "t");
            let run = Run {
                start: told.unwrap_or(next),
                length: number(node, "d").unwrap_or(0),
                repeat: number(node, "r").unwrap_or(0),
                told: told.is_some(),
            };
            next = run.end();
            run
        })
        .collect()
}

/// Segments go at the front and come at the end. Whole `S` elements are exchanged: players take a single attribute for text.
fn timeline(out: &mut String, path: &str, old: Node<'_, '_>, new: Node<'_, '_>) {
    let (before, after) = (runs(old), runs(new));
    let first = after.first().map_or(i64::MAX, |run| run.start);
    let gone = before.iter().take_while(|run| run.end() <= first).count();
    for _ in 0..gone {
        let _infallible = writeln!(out, "  <remove sel=\"{path}/S[1]\"/>");
    }
    let kept = &before[gone..];
    for (position, (old, new)) in (1..).zip(kept.iter().zip(&after)) {
        if old != new {
            let _infallible = write!(out, "  <replace sel=\"{path}/S[{position}]\">");
            new.print(out);
            out.push_str("</replace>\n");
        }
    }
    for position in (after.len()..kept.len()).rev() {
        let _infallible = writeln!(out, "  <remove sel=\"{path}/S[{}]\"/>", position + 1);
    }
    if let Some(more) = after.get(kept.len()..).filter(|more| !more.is_empty()) {
        let _infallible = write!(out, "  <add sel=\"{path}\">");
        more.iter().for_each(|run| run.print(out));
        out.push_str("</add>\n");
    }
}

fn print(out: &mut String, node: Node<'_, '_>) {
    let name = node.tag_name().name();
    let _infallible = write!(out, "<{name}");
    for attribute in node.attributes() {
        let _infallible = write!(out, " {}=\"{}\"", attribute.name(), Escaped(attribute.value()));
    }
    out.push('>');
    let inside = children(node);
    if inside.is_empty() {
        let _infallible = write!(out, "{}", Escaped(node.text().unwrap_or_default().trim()));
    }
    inside.into_iter().for_each(|child| print(out, child));
    let _infallible = write!(out, "</{name}>");
}

/// Text as content or attribute (XML 1.0 2.4).
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
