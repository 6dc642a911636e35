"""A film is uploaded and made into a ladder while a stream is on air: how busy the machine is, and what the stream's viewers notice."""

import os
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import publish

# How much of a file one request brings.
PIECE = 16 << 20


def make(minutes):
    """A 1080p30 film of so many minutes, kept beside the clip it is made of."""
    path = os.path.join(publish.CACHE, f'film-{minutes:g}.mp4')
    if not os.path.exists(path):
        subprocess.run([
            'ffmpeg', '-hide_banner', '-v', 'error', '-nostdin', '-y', '-stream_loop', '-1', '-i', publish.CLIP, '-t', str(minutes * 60),
            '-c', 'copy', '-movflags', '+faststart', '-f', 'mp4', path + '.new',
        ], check=True)
        os.replace(path + '.new', path)
    return path


def upload(nova, token, path):
    """Sends the file as tus clients do; the id of its video."""
    def send(method, url, headers, body=None):
        request = urllib.request.Request(url, method=method, data=body, headers={'tus-resumable': '1.0.0', 'authorization': f'Bearer {token}', **headers})
        return urllib.request.urlopen(request)

    made = send('POST', f'http://127.0.0.1:{nova.http}/api/v1/uploads', {'upload-length': str(os.path.getsize(path)), 'upload-metadata': 'title ZmlsbQ=='}, b'')
    url = urllib.parse.urljoin(made.url, made.headers['location'])
    with open(path, 'rb') as file:
        while piece := file.read(PIECE):
            offset = file.tell() - len(piece)
            send('PATCH', url, {'upload-offset': str(offset), 'content-type': 'application/offset+octet-stream'}, piece)
    return made.headers['nova-video']


class Making:
    """Follows a video from its upload to its end, in a thread: a context manager."""

    def __init__(self, nova, token, video):
        self.nova, self.token, self.video = nova, token, video
        self.began = threading.Event()
        self.ended = threading.Event()
        self.state = {}
        self.seconds = None

    def __enter__(self):
        threading.Thread(target=self._follow, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.ended.set()

    def _follow(self):
        start = time.monotonic()
        while not self.ended.is_set():
            self.state = self.nova.call('GET', f'/videos/{self.video}', token=self.token)
            if self.state['status'] in ('ready', 'failed'):
                self.seconds = time.monotonic() - start
                self.began.set()
                self.ended.set()
            elif self.nova.workers():
                self.began.set()
            time.sleep(0.25)
