"""As much of an HLS client as the measurements need: one keep-alive connection, and a reader of media playlists."""

import http.client
import re
import time
import urllib.parse
from dataclasses import dataclass, field


class Unfit(RuntimeError):
    """The server does not serve what is to be measured."""


class Connection:
    """One connection to one server on this machine, kept alive, opened again when the server closed it."""

    def __init__(self, url, timeout=15):
        address = urllib.parse.urlsplit(url)
        assert address.hostname == '127.0.0.1', url
        self.link = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout)

    def get(self, url):
        """(status, body). A request that fails on a kept connection is tried once on a new one."""
        address = urllib.parse.urlsplit(url)
        path = address.path + (f'?{address.query}' if address.query else '')
        for last in (False, True):
            try:
                self.link.request('GET', path)
                answer = self.link.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, OSError):
                self.link.close()
                if last:
                    return 0, b''


@dataclass
class Playlist:
    segments: list = field(default_factory=list)  # (media sequence number, URL, seconds), whole segments only
    parts: list = field(default_factory=list)  # (media sequence number, index in the segment, URL)
    hint: str | None = None  # URL of the part that comes next
    next_sequence: int = 0
    next_part: int = 0
    can_block: bool = False

    def after(self, url):
        """The URL whose answer waits for the first part or segment that is not in this playlist."""
        return f'{url}?_HLS_msn={self.next_sequence}&_HLS_part={self.next_part}'


def _attribute(line, name):
    found = re.search(rf'[:,]{name}="?([^",]+)', line)
    return found and found[1]


def parse(text, url):
    playlist = Playlist()
    sequence = part = 0
    seconds = 0.0
    for line in text.splitlines():
        if line.startswith('#EXT-X-MEDIA-SEQUENCE:'):
            sequence = int(line.partition(':')[2])
        elif line.startswith('#EXT-X-SERVER-CONTROL:'):
            playlist.can_block = _attribute(line, 'CAN-BLOCK-RELOAD') == 'YES'
        elif line.startswith('#EXT-X-PART:'):
            playlist.parts.append((sequence, part, urllib.parse.urljoin(url, _attribute(line, 'URI'))))
            part += 1
        elif line.startswith('#EXT-X-PRELOAD-HINT:') and _attribute(line, 'TYPE') == 'PART':
            playlist.hint = urllib.parse.urljoin(url, _attribute(line, 'URI'))
        elif line.startswith('#EXTINF:'):
            seconds = float(line[8:].split(',')[0])
        elif line and not line.startswith('#'):
            playlist.segments.append((sequence, urllib.parse.urljoin(url, line), seconds))
            sequence, part = sequence + 1, 0
    playlist.next_sequence, playlist.next_part = sequence, part
    return playlist


def first_variant(text, url):
    """URL of the first video rung of a multivariant playlist; None when the text is a media playlist already."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith('#EXT-X-STREAM-INF'):
            return urllib.parse.urljoin(url, next(uri for uri in lines[number + 1:] if uri and uri[0] != '#'))
    return None


def variants(text, url):
    """Media playlists of a multivariant playlist by the height of their pictures."""
    lines, found = text.splitlines(), {}
    for number, line in enumerate(lines):
        size = re.search(r'^#EXT-X-STREAM-INF:.*RESOLUTION=\d+x(\d+)', line)
        if size:
            found[int(size[1])] = urllib.parse.urljoin(url, next(uri for uri in lines[number + 1:] if uri and uri[0] != '#'))
    return found


class Stream:
    """A live stream being watched: its media playlist, found through the multivariant one."""

    def __init__(self, url, segments=1, patience=25):
        self.connection = Connection(url)
        self.url = url
        end = time.monotonic() + patience
        while True:
            status, body = self.connection.get(self.url)
            text = body.decode('utf-8', 'replace')
            variant = first_variant(text, self.url) if status == 200 else None
            if variant:
                self.url = variant
                continue
            if status == 200 and len(parse(text, self.url).segments) >= segments:
                return
            if time.monotonic() > end:
                raise Unfit(f'no live playlist at {self.url}: status {status}, {text[:200]!r}')
            time.sleep(0.1)

    def playlist(self, url=None):
        status, body = self.connection.get(url or self.url)
        if status != 200:
            raise Unfit(f'status {status} for {url or self.url}')
        return parse(body.decode('utf-8', 'replace'), self.url)
