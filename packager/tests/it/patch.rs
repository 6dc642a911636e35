//! MPD patches (conformance 81), applied by the rules of RFC 5261.

use std::fmt::Write;

use nova_core::media::{Colour, Media};
use nova_packager::Config;
use nova_packager::dash::patch::render;
use proptest::prelude::*;
use roxmltree::{Document, Node};

use crate::support::{AUDIO, CONFIG, Live, VIDEO, audio, video};

/// An element, as an XML Patch sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn read(node: Node<'_, '_>) -> Self {
        let children: Vec<_> = node.children().filter(Node::is_element).map(Self::read).collect();
        let mut attributes: Vec<_> = node
            .attributes()
            .map(|one| (one.name().to_owned(), one.value().to_owned()))
            .collect();
        attributes.sort_unstable();
        Self {
            name: node.tag_name().name().to_owned(),
            attributes,
            text: if children.is_empty() {
                node.text().unwrap_or_default().trim().to_owned()
            } else {
                String::new()
            },
            children,
        }
    }

    fn document(text: &str) -> Self {
        Self::read(Document::parse(text).unwrap().root_element())
    }

    fn set(&mut self, name: &str, value: Option<&str>) {
        let had = self.attributes.len();
        self.attributes.retain(|(known, _)| known != name);
        assert!(value.is_some() || self.attributes.len() < had, "{name} is there");
        if let Some(value) = value {
            self.attributes.push((name.to_owned(), value.to_owned()));
            self.attributes.sort_unstable();
        }
    }

    /// Where in `children` one step of a path leads.
    fn step(&self, step: &str) -> usize {
        let (name, condition) = step
            .split_once('[')
            .map_or((step, None), |(name, rest)| (name, rest.strip_suffix(']')));
        let mut found: Vec<_> = (0..self.children.len())
            .filter(|index| self.children[*index].name == name)
            .collect();
        match condition {
            Some(id) if id.starts_with('@') => {
                let id = id.strip_prefix("@id='").and_then(|id| id.strip_suffix('\'')).unwrap();
                found.retain(|index| {
                    self.children[*index]
                        .attributes
                        .contains(&("id".to_owned(), id.to_owned()))
                });
            }
            Some(position) => found = vec![found[position.parse::<usize>().unwrap() - 1]],
            None => {}
        }
        assert_eq!(found.len(), 1, "{step} is one element");
        found[0]
    }

    fn at(&mut self, steps: &[&str]) -> &mut Self {
        steps.iter().fold(self, |element, step| {
            let index = element.step(step);
            &mut element.children[index]
        })
    }
}

/// What a player makes of a manifest and a patch.
fn apply(manifest: &str, patch: &str) -> Element {
    let mut mpd = Element::document(manifest);
    let patch = Document::parse(patch).unwrap();
    let root = patch.root_element();
    let of = |element: &Element, name: &str| {
        element
            .attributes
            .iter()
            .find(|(known, _)| known == name)
            .cloned()
            .unwrap()
            .1
    };
    assert_eq!(root.attribute("mpdId"), Some(&*of(&mpd, "id")));
    assert_eq!(root.attribute("originalPublishTime"), Some(&*of(&mpd, "publishTime")));
    for operation in root.children().filter(Node::is_element) {
        let steps: Vec<_> = operation.attribute("sel").unwrap().split('/').skip(2).collect();
        let content: Vec<_> = operation
            .children()
            .filter(Node::is_element)
            .map(Element::read)
            .collect();
        let text = operation.text().unwrap_or_default();
        let kind = operation.tag_name().name();
        if let Some(name) = operation.attribute("type") {
            mpd.at(&steps).set(name.strip_prefix('@').unwrap(), Some(text));
            continue;
        }
        let Some((last, parents)) = steps.split_last() else {
            assert_eq!((kind, operation.attribute("pos")), ("add", Some("prepend")));
            mpd.children.splice(0..0, content);
            continue;
        };
        if let Some(name) = last.strip_prefix('@') {
            mpd.at(parents).set(name, (kind == "replace").then_some(text));
            continue;
        }
        match (kind, operation.attribute("pos")) {
            ("add", None) => mpd.at(&steps).children.extend(content),
            ("add", Some("prepend")) => drop(mpd.at(&steps).children.splice(0..0, content)),
            (kind, position) => {
                let parent = mpd.at(parents);
                let index = parent.step(last);
                let range = match (kind, position) {
                    ("add", Some("after")) => index + 1..index + 1,
                    ("replace", None) | ("remove", None) => index..index + 1,
                    other => panic!("{other:?}"),
                };
                parent.children.splice(range, content);
            }
        }
    }
    assert_eq!(root.attribute("publishTime"), Some(&*of(&mpd, "publishTime")));
    mpd
}

const LONG: Config = Config {
    window_s: 3600,
    ..CONFIG
};

fn stream(config: Config) -> Live {
    let mut live = Live::new(config);
    live.epoch(&[video(0x1f), audio()], 0, false);
    live
}

fn published(manifest: &str) -> String {
    let document = Document::parse(manifest).unwrap();
    document.root_element().attribute("publishTime").unwrap().to_owned()
}

#[test]
fn conformance_81_a_manifest_of_hours_can_be_patched_and_one_of_seconds_cannot() {
    let mut live = stream(LONG);
    live.run(0, 20_000, 60, &[VIDEO, AUDIO]);
    let first = live.get("manifest.mpd", None);
    let time = published(&first);
    assert!(
        first.contains(&format!(
            "<PatchLocation ttl=\"30\">patch.mpd?publishTime={time}</PatchLocation>"
        )),
        "{first}"
    );
    live.run(20_000, 21_000, 60, &[VIDEO, AUDIO]);
    let patch = live.get("patch.mpd", Some(&format!("publishTime={time}")));
    assert_eq!(
        apply(&first, &patch),
        Element::document(&live.get("manifest.mpd", None))
    );
    assert!(patch.len() < 1500, "{} bytes: {patch}", patch.len());
    // Twenty minutes later it is as short, though the manifest is long.
    for minute in 0..20 {
        live.run(21_000 + minute * 60_000, 81_000 + minute * 60_000, 60, &[VIDEO, AUDIO]);
    }
    let long = live.get("manifest.mpd", None);
    live.run(1_221_000, 1_222_000, 60, &[VIDEO, AUDIO]);
    let patch = live.get("patch.mpd", Some(&format!("publishTime={}", published(&long))));
    assert_eq!(apply(&long, &patch), Element::document(&live.get("manifest.mpd", None)));
    assert!(
        long.len() > 10_000 && patch.len() < 1500,
        "{} of {} bytes",
        patch.len(),
        long.len()
    );
    // Seconds later it is not remembered any more; what never was is not known. A player is told of another manifest then, and takes the whole one.
    for second in 1222..1242 {
        live.run(second * 1000, second * 1000 + 1000, 60, &[VIDEO, AUDIO]);
        live.get("manifest.mpd", None);
    }
    for query in [format!("publishTime={time}"), "publishTime=".into()] {
        let newest = published(&live.get("manifest.mpd", None));
        let patch = live.get("patch.mpd", Some(&query));
        assert!(
            patch.contains(&format!("originalPublishTime=\"{newest}\"")) && !patch.contains("sel="),
            "{patch}"
        );
    }
    for query in [Some("publishTime"), None] {
        assert_eq!(live.get("patch.mpd", query), "404", "{query:?}");
    }
    let mut short = stream(CONFIG);
    short.run(0, 20_000, 60, &[VIDEO, AUDIO]);
    assert!(!short.get("manifest.mpd", None).contains("PatchLocation"));
}

#[test]
fn conformance_81_the_last_patch_makes_the_manifest_static() {
    let mut live = stream(LONG);
    live.run(0, 9_000, 60, &[VIDEO, AUDIO]);
    let before = live.get("manifest.mpd", None);
    live.push(nova_core::live::Item::End);
    let patch = live.get("patch.mpd", Some(&format!("publishTime={}", published(&before))));
    let after = live.get("manifest.mpd", None);
    assert!(
        after.contains(" type=\"static\"") && !after.contains("PatchLocation"),
        "{after}"
    );
    assert_eq!(apply(&before, &patch), Element::document(&after));
}

#[test]
fn conformance_79_a_period_is_told_when_each_of_its_tracks_has_something_or_one_a_segment() {
    let start = |kinds: &[_]| {
        let mut live = stream(LONG);
        live.run(0, 4_000, 60, &[VIDEO, AUDIO]);
        let before = live.get("manifest.mpd", None);
        live.epoch(&[video(0x1f), audio()], 5_000_000, true);
        live.run(5_000, 5_500, 60, kinds);
        (live, before)
    };
    let periods = |live: &Live| live.get("manifest.mpd", None).matches("<Period").count();
    // Both at once, of which one patch tells.
    let (live, before) = start(&[VIDEO, AUDIO]);
    assert_eq!(periods(&live), 2);
    let patch = live.get("patch.mpd", Some(&format!("publishTime={}", published(&before))));
    assert!(
        patch.contains("<add sel=\"/MPD/Period[@id='0']\" pos=\"after\"><Period"),
        "{patch}"
    );
    // Sound that is late, and sound that stays away.
    let (mut live, _) = start(&[VIDEO]);
    let manifest = live.get("manifest.mpd", None);
    assert!(periods(&live) == 1 && !manifest.contains(" duration="), "{manifest}");
    live.run(5_500, 7_500, 60, &[VIDEO]);
    assert_eq!(periods(&live), 2);
}

#[test]
fn elements_of_one_name_without_an_id_stand_in_nobodys_way() {
    // Three properties of HDR.
    let mut track = (*video(0x1f)).clone();
    if let Media::Video { colour, .. } = &mut track.media {
        *colour = Some(Colour {
            primaries: 9,
            transfer: 16,
            matrix: 9,
            full_range: false,
        });
    }
    let mut live = Live::new(LONG);
    live.epoch(&[track.into(), audio()], 0, false);
    live.run(0, 9_000, 60, &[VIDEO, AUDIO]);
    let before = live.get("manifest.mpd", None);
    assert_eq!(before.matches("<SupplementalProperty").count(), 3, "{before}");
    live.run(9_000, 12_000, 60, &[VIDEO, AUDIO]);
    let patch = live.get("patch.mpd", Some(&format!("publishTime={}", published(&before))));
    assert!(patch.contains("SegmentTimeline"), "{patch}");
    assert_eq!(
        apply(&before, &patch),
        Element::document(&live.get("manifest.mpd", None))
    );
}

#[test]
fn a_rendition_that_comes_later_is_told_by_the_whole_manifest() {
    let mut live = Live::new(LONG);
    live.epoch(&[video(0x1f), audio()], 0, false);
    live.run(0, 4_000, 60, &[VIDEO]);
    let before = live.get("manifest.mpd", None);
    assert!(!before.contains("contentType=\"audio\""), "{before}");
    live.run(4_000, 8_000, 60, &[VIDEO, AUDIO]);
    let after = live.get("manifest.mpd", None);
    assert!(after.contains("contentType=\"audio\""), "{after}");
    assert_eq!(render(&before, &after), None);
    let patch = live.get("patch.mpd", Some(&format!("publishTime={}", published(&before))));
    assert!(
        patch.contains(&format!("originalPublishTime=\"{}\"", published(&after))) && !patch.contains("sel="),
        "{patch}"
    );
}

/// A manifest with what differs between two of one presentation.
fn manifest(time: usize, periods: &[(u8, Vec<(u8, u8)>)], patchable: bool) -> String {
    let mut out = format!("<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" id=\"b&amp;1\" publishTime=\"{time}\">");
    if patchable {
        let _infallible = write!(out, "<PatchLocation ttl=\"30\">a?b={time}&amp;c</PatchLocation>");
    }
    for (id, timeline) in periods {
        let _infallible = write!(
            out,
            "<Period id=\"{id}\"><SegmentTemplate startNumber=\"{}\"><SegmentTimeline>",
            timeline.len()
        );
        for (number, (length, repeat)) in timeline.iter().enumerate() {
            let told = if number == 0 || length % 5 == 0 {
                format!(" t=\"{}\"", usize::from(*length) * number + time)
            } else {
                String::new()
            };
            let repeat = if *repeat > 0 {
                format!(" r=\"{repeat}\"")
            } else {
                String::new()
            };
            let _infallible = write!(out, "<S{told} d=\"{length}\"{repeat}/>");
        }
        out.push_str("</SegmentTimeline></SegmentTemplate></Period>");
    }
    out.push_str("<UTCTiming value=\"time\"/></MPD>");
    out
}

proptest! {
    #[test]
    fn a_patch_makes_any_manifest_the_other(
        first in proptest::collection::vec((0_u8..6, proptest::collection::vec((1_u8..9, 0_u8..3), 0..6)), 0..5),
        second in proptest::collection::vec((0_u8..6, proptest::collection::vec((1_u8..9, 0_u8..3), 0..6)), 0..5),
        patchable: (bool, bool),
    ) {
        let unique = |mut periods: Vec<(u8, Vec<(u8, u8)>)>| {
            let mut seen = Vec::new();
            periods.retain(|(id, _)| !seen.contains(id) && { seen.push(*id); true });
            periods
        };
        let (first, second) = (unique(first), unique(second));
        let (old, new) = (manifest(1, &first, patchable.0), manifest(2, &second, patchable.1));
        // Periods in another order: players take the whole one then.
        if let Some(patch) = render(&old, &new) {
            prop_assert_eq!(apply(&old, &patch), Element::document(&new));
        }
    }
}
