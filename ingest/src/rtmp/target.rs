//! Which application and key a publisher means, out of `tcUrl`, `app` and the stream name (media-conformance 19 and 22).

/// What a publisher asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) app: String,
    pub(crate) key: String,
    /// Without the question mark; of the name, else of the application, else of the URL.
    pub(crate) query: String,
}

/// Application when the URL names none: `rtmp://host` with the key as stream name.
const DEFAULT_APP: &str = "live";

/// Finds application and key.
///
/// - `live` + `key`, `/live/` + `/key/`, `live?x=y` + `key?token=z`: the plain forms;
/// - `live/instance` + `key`: the instance is dropped;
/// - `live/key` + nothing: the key has slipped into the application (OBS with the whole URL as server and no key);
/// - nothing + `live/key`, nothing + `key`; nothing at all, but a `tcUrl` that goes on behind the application.
pub(crate) fn resolve(tc_url: &str, app: &str, name: &str) -> Target {
    let (url_path, url_query) = split_query(path_of(tc_url));
    let (app, app_query) = split_query(app);
    let (name, name_query) = split_query(name);
    let query = [name_query, app_query, url_query]
        .into_iter()
        .find(|q| !q.is_empty())
        .unwrap_or("");
    let mut app = segments(app);
    if app.is_empty() {
        app = segments(url_path);
    }
    let mut name = segments(name);
    if name.is_empty() {
        let mut from_url = segments(url_path);
        if app.len() > 1 {
            name.extend(app.pop());
        } else if from_url.len() > 1 && from_url.first() == app.first() {
            name.extend(from_url.pop());
        }
    } else if app.is_empty() && name.len() > 1 {
        app.push(name.remove(0));
    }
    Target {
        app: app.first().map_or_else(|| DEFAULT_APP.to_owned(), |app| unescape(app)),
        key: unescape(&name.join("/")),
        query: query.to_owned(),
    }
}

/// What stands behind the host of a URL.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..])
}

fn split_query(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

fn segments(path: &str) -> Vec<&str> {
    path.split('/').map(str::trim).filter(|s| !s.is_empty()).collect()
}

/// Percent escapes (RFC 3986 2.1); one that is none stays as it is.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_the_contract_url_means_live_and_the_key() {
        // Conformance 19, 22.
        for (tc_url, app, name) in [
            ("rtmp://host:1935/live", "live", "KEY"),
            ("rtmp://host:1935/live/", "live/", "KEY"),
            ("rtmp://host:1935/live", "/live/", "/KEY/"),
            ("rtmp://host:1935/live/KEY", "live/KEY", ""),
            ("rtmp://host:1935/live/KEY/", "live/KEY/", ""),
            ("rtmp://host:1935/live/KEY", "live", ""),
            ("rtmp://host:1935/live/KEY", "", ""),
            ("rtmp://host:1935/live", "", "KEY"),
            ("rtmp://host:1935", "", "live/KEY"),
            ("rtmp://host:1935/", "", "KEY"),
            ("", "", "KEY"),
            ("rtmp://host/live/_definst_", "live/_definst_", "KEY"),
            ("rtmp://host/live", "live", " KEY "),
            ("rtmp://host/live", "live", "%4bEY%20"),
            ("rtmp://host/live?a=b", "live?a=b", "KEY?token=x"),
        ] {
            let target = resolve(tc_url, app, name);
            assert_eq!(
                (target.app.as_str(), target.key.as_str()),
                ("live", "KEY"),
                "{tc_url} {app} {name}"
            );
        }
    }

    #[test]
    fn the_query_nearest_to_the_key_counts() {
        assert_eq!(resolve("rtmp://h/live?u", "live?a", "k?n").query, "n");
        assert_eq!(resolve("rtmp://h/live?u", "live?a", "k").query, "a");
        assert_eq!(resolve("rtmp://h/live?u", "live", "k").query, "u");
    }

    #[test]
    fn another_application_and_an_empty_key_stay_what_they_are() {
        assert_eq!(resolve("rtmp://h/vod", "vod", "k").app, "vod");
        assert_eq!(resolve("rtmp://h/live", "live", "").key, "");
        assert_eq!(resolve("rtmp://h/live", "live", "100%").key, "100%");
        assert_eq!(resolve("rtmp://h/live", "live", "a/b").key, "a/b");
    }
}
