//! Which paths a CDN is told in one call: as few as say the same, and no more than it takes.
//!
//! A path with a `*` at its end stands for everything that begins with what is before it. Whatever is covered by another path that waits is left out; what
//! is at work already covers nothing, since copies may have been made again since.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Most patterns below one folder of the root that go one by one: as many as a CDN does in a few rounds, each of which takes it minutes.
const ONE_BY_ONE: usize = 60;

/// Paths of which none covers another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paths {
    files: BTreeSet<String>,
    /// Without their `*`.
    patterns: BTreeSet<String>,
}

/// So many files, and so many patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) files: usize,
    pub(crate) patterns: usize,
}

fn below<'a>(paths: &'a BTreeSet<String>, prefix: &'a str) -> impl Iterator<Item = &'a String> {
    paths
        .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
        .take_while(move |path| path.starts_with(prefix))
}

impl Paths {
    fn covers(&self, path: &str) -> bool {
        let is_pattern = path.ends_with('*');
        let what = path.strip_suffix('*').unwrap_or(path);
        (!is_pattern && self.files.contains(what)) || self.patterns.iter().any(|prefix| what.starts_with(prefix))
    }

    fn add(&mut self, path: &str) {
        if self.covers(path) {
            return;
        }
        let Some(prefix) = path.strip_suffix('*') else {
            self.files.insert(path.to_owned());
            return;
        };
        for covered in [&mut self.files, &mut self.patterns] {
            let gone: Vec<String> = below(covered, prefix).cloned().collect();
            for path in gone {
                covered.remove(&path);
            }
        }
        self.patterns.insert(prefix.to_owned());
    }

    fn fits(&self, room: Room) -> bool {
        self.files.len() <= room.files && self.patterns.len() <= room.patterns
    }

    /// How many there are.
    pub(crate) fn room(&self) -> Room {
        Room {
            files: self.files.len(),
            patterns: self.patterns.len(),
        }
    }

    /// As a CDN is told.
    pub(crate) fn list(&self) -> Vec<String> {
        let patterns = self.patterns.iter().map(|prefix| format!("{prefix}*"));
        patterns.chain(self.files.iter().cloned()).collect()
    }
}

/// Somebody's wish that waits.
#[derive(Clone, Debug)]
pub(crate) struct Wish<I> {
    pub(crate) id: I,
    pub(crate) paths: Vec<String>,
    /// It was refused together with others.
    pub(crate) alone: bool,
    /// Nobody named these paths: a wider one may be told in their place.
    pub(crate) widens: bool,
}

/// The wishes of one call, and its paths; the oldest come first. `None` when there is room for none.
pub(crate) fn gather<I: Copy>(waiting: &[Wish<I>], room: Room) -> Option<(Vec<I>, Paths)> {
    let wide = widened(waiting);
    let (mut taken, mut paths) = (Vec::new(), Paths::default());
    // What does not fit is next: nothing that needs room may go before it.
    let mut is_full = false;
    for (place, wish) in waiting.iter().enumerate() {
        let wanted: Vec<&str> = wish
            .paths
            .iter()
            .map(|path| match folder(path).filter(|_| wish.widens) {
                Some(folder) => wide.get(folder).map_or(path.as_str(), String::as_str),
                None => path,
            })
            .collect();
        if wish.alone && place > 0 {
            continue;
        }
        if wanted.iter().all(|path| paths.covers(path)) && !taken.is_empty() {
            taken.push(wish.id);
            continue;
        }
        if is_full {
            continue;
        }
        let mut more = paths.clone();
        for path in wanted {
            more.add(path);
        }
        if more.fits(room) {
            paths = more;
            taken.push(wish.id);
        } else {
            is_full = true;
        }
        if wish.alone {
            break;
        }
    }
    (!taken.is_empty()).then_some((taken, paths))
}

/// The folder of the root that a pattern lies in.
fn folder(path: &str) -> Option<&str> {
    let (folder, _) = path.strip_suffix('*')?.strip_prefix('/')?.split_once('/')?;
    Some(folder)
}

/// Folders of which so much waits that all of each is told instead.
fn widened<I>(waiting: &[Wish<I>]) -> BTreeMap<&str, String> {
    let mut patterns: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for wish in waiting.iter().filter(|wish| wish.widens) {
        for path in &wish.paths {
            if let Some(folder) = folder(path) {
                patterns.entry(folder).or_default().insert(path);
            }
        }
    }
    patterns.retain(|_, paths| paths.len() > ONE_BY_ONE);
    patterns
        .into_keys()
        .map(|folder| (folder, format!("/{folder}/*")))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOM: Room = Room {
        files: 3000,
        patterns: 15,
    };

    fn wish(id: usize, paths: &[&str]) -> Wish<usize> {
        Wish {
            id,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            alone: false,
            widens: true,
        }
    }

    fn told(waiting: &[Wish<usize>], room: Room) -> (Vec<usize>, Vec<String>) {
        let (taken, paths) = gather(waiting, room).unwrap_or_default();
        (taken, paths.list())
    }

    #[test]
    fn what_another_that_waits_covers_is_left_out_whichever_came_first() {
        let waiting = [
            wish(0, &["/vod/a/x.jpg", "/vod/a/x.jpg", "/vod/b/y.jpg"]),
            wish(1, &["/vod/a/*"]),
            wish(2, &["/vod/a/z.jpg", "/vod/a/v/*"]),
            wish(3, &["/vod/a"]),
        ];
        let expected = ["/vod/a/*", "/vod/a", "/vod/b/y.jpg"].map(str::to_owned).to_vec();
        assert_eq!(told(&waiting, ROOM), (vec![0, 1, 2, 3], expected));
    }

    #[test]
    fn what_finds_no_room_is_next_and_only_what_needs_none_goes_before_it() {
        let room = Room { files: 1, patterns: 1 };
        let waiting = [
            wish(0, &["/a/*"]),
            wish(1, &["/b/*", "/b"]),
            wish(2, &["/c"]),
            wish(3, &["/a/d"]),
        ];
        assert_eq!(told(&waiting, room), (vec![0, 3], vec!["/a/*".to_owned()]));
        let none = Room { files: 0, patterns: 0 };
        assert_eq!(gather(&waiting, none), None);
    }

    #[test]
    fn what_was_refused_goes_by_itself() {
        let alone = |id| Wish {
            alone: true,
            ..wish(id, &["/a"])
        };
        assert_eq!(
            told(&[alone(0), wish(1, &["/b"])], ROOM),
            (vec![0], vec!["/a".to_owned()])
        );
        assert_eq!(
            told(&[wish(1, &["/b"]), alone(0)], ROOM),
            (vec![1], vec!["/b".to_owned()])
        );
    }

    #[test]
    fn very_many_patterns_become_one_but_those_that_somebody_named_stay() {
        let mut waiting: Vec<_> = (0..200).map(|n| wish(n, &[&format!("/vod/{n}/*")])).collect();
        waiting.push(wish(200, &["/live/x/*"]));
        let (taken, paths) = told(&waiting, ROOM);
        assert_eq!((taken.len(), paths), (201, vec!["/live/x/*".into(), "/vod/*".into()]));
        for wish in &mut waiting {
            wish.widens = false;
        }
        let (taken, paths) = told(&waiting, ROOM);
        assert_eq!((taken, paths.len()), ((0..15).collect(), 15));
    }

    fn path() -> impl Strategy<Value = String> {
        ("(/[ab]){1,3}", proptest::bool::ANY).prop_map(|(path, all)| if all { format!("{path}/*") } else { path })
    }

    proptest! {
        #[test]
        fn everything_that_is_taken_is_covered_within_the_room_and_nothing_twice(
            wishes in proptest::collection::vec((proptest::collection::vec(path(), 1..4), proptest::bool::ANY), 1..20),
            files in 0_usize..6,
            patterns in 0_usize..4,
        ) {
            let waiting: Vec<Wish<usize>> = wishes
                .into_iter()
                .enumerate()
                .map(|(id, (paths, alone))| Wish { id, paths, alone: alone && id % 5 == 0, widens: false })
                .collect();
            let (taken, list) = told(&waiting, Room { files, patterns });
            let is_covered = |path: &str, by: &str| match by.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => path == by,
            };
            for id in &taken {
                for path in &waiting[*id].paths {
                    prop_assert!(list.iter().any(|by| is_covered(path, by)), "{path} of {list:?}");
                }
            }
            for path in &list {
                prop_assert!(taken.iter().any(|id| waiting[*id].paths.contains(path)), "{path} was wished for");
                prop_assert_eq!(list.iter().filter(|by| is_covered(path, by)).count(), 1);
            }
            prop_assert!(list.iter().filter(|path| path.ends_with('*')).count() <= patterns);
            prop_assert!(list.iter().filter(|path| !path.ends_with('*')).count() <= files);
        }
    }
}
