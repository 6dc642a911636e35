"""Starts and stops what is measured: Nova, nginx with the RTMP module, nginx with static files, and the floor."""

import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import time
import urllib.request

import machine

HERE = os.path.dirname(os.path.abspath(__file__))
PASSWORD = 'a rather long phrase of mine'
NGINX = shutil.which('nginx') or '/usr/sbin/nginx'


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def scratch(name):
    """An empty folder in memory, so that no disk is measured."""
    root = os.environ.get('BENCH_DIR', '/dev/shm/nova-bench')
    path = os.path.join(root, name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    kind = subprocess.run(['stat', '-f', '-c', '%T', path], capture_output=True, text=True).stdout.strip()
    if kind != 'tmpfs':
        raise SystemExit(f'{path} is on {kind}: set BENCH_DIR to a folder on a tmpfs')
    return path


class Server:
    """One server process and its folder. A context manager: what was started is gone at the end."""

    name = ''

    def __init__(self, run_name=None):
        self.run = scratch(run_name or self.name)
        self.rtmp, self.http = free_port(), free_port()
        self.process = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def ports(self):
        return [self.rtmp, self.http]

    def __enter__(self):
        self.log = os.path.join(self.run, 'log')
        with open(self.log, 'w') as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.run, env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
        try:
            for port in self.ports():
                self._wait_for(port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _wait_for(self, port):
        end = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(('127.0.0.1', port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    with open(self.log) as log:
                        raise SystemExit(f'{self.name} does not listen on {port}:\n{log.read()[-2000:]}')
                time.sleep(0.02)

    def publish_url(self, stream):
        return f'rtmp://127.0.0.1:{self.rtmp}/live/{stream}'

    def cpu_seconds(self):
        return machine.cpu_seconds(self.process.pid)

    def resident_mib(self):
        return machine.resident_mib(self.process.pid)


class Nova(Server):
    """As a user starts it: low-latency HLS and DASH on, and the source alone: no other server here transcodes."""

    name = 'nova'
    binary = None

    def __init__(self, run_name=None, **settings):
        """`settings` are configuration keys with `__` between their parts: `transcode__ladder='720p:2800k'`."""
        super().__init__(run_name)
        self.settings = {f'NOVA_{key.upper()}': str(value) for key, value in settings.items()}

    def command(self):
        return [self.binary, 'serve', '--dev']

    def environment(self):
        return {
            'NOVA_HTTP__ADDR': f'127.0.0.1:{self.http}',
            'NOVA_RTMP__ADDR': f'127.0.0.1:{self.rtmp}',
            'NOVA_ADMIN__ADDR': f'127.0.0.1:{free_port()}',
            'NOVA_DATA_DIR': os.path.join(self.run, 'data'),
            # The ladder has a bench of its own.
            'NOVA_TRANSCODE__LADDER': 'off',
            **self.settings,
        }

    def data(self):
        return self.environment()['NOVA_DATA_DIR']

    def call(self, method, path, body=None, token=None):
        """A request to the API; what its answer holds."""
        headers = {'content-type': 'application/json'} if body is not None else {}
        if token:
            headers['authorization'] = f'Bearer {token}'
        request = urllib.request.Request(
            f'http://127.0.0.1:{self.http}/api/v1{path}', method=method, headers=headers,
            data=json.dumps(body).encode() if body is not None else None,
        )
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or b'null')

    def register(self):
        """An account made as a person makes one, with the code from its mail; a token for the API."""
        self.call('POST', '/auth/register', {'email': 'first@example.org', 'username': 'first', 'password': PASSWORD})
        mails = os.path.join(self.data(), 'mail')
        while not (os.path.isdir(mails) and os.listdir(mails)):
            time.sleep(0.05)
        with open(os.path.join(mails, os.listdir(mails)[0])) as mail:
            code = re.search(r'^    (\d{8})\r?$', mail.read(), re.M)[1]
        self.call('POST', '/auth/verify-email', {'email': 'first@example.org', 'code': code})
        return self.call('POST', '/auth/login', {'email_or_username': 'first', 'password': PASSWORD})['access_token']

    def workers(self):
        """Process ids of the transcoders it has started."""
        return [pid for pid in machine.family(self.process.pid) if machine.program(pid) == 'nova-transcode']

    def playlist_url(self, stream):
        return f'http://127.0.0.1:{self.http}/live/{stream}/master.m3u8'

    def manifest_url(self, stream):
        return f'http://127.0.0.1:{self.http}/live/{stream}/manifest.mpd'


class Nginx(Server):
    conf = ''

    def command(self):
        with open(os.path.join(HERE, self.conf)) as file:
            text = file.read()
        # As root, nginx would hand its worker to another user, which may not write here.
        user = f'user {pwd.getpwuid(os.getuid()).pw_name};' if os.getuid() == 0 else ''
        for key, value in {'RUN': self.run, 'RTMP': self.rtmp, 'HTTP': self.http, 'USER': user}.items():
            text = text.replace(f'@{key}@', str(value))
        path = os.path.join(self.run, 'nginx.conf')
        with open(path, 'w') as file:
            file.write(text)
        return [NGINX, '-p', self.run, '-e', os.path.join(self.run, 'error.log'), '-c', path]


class NginxRtmp(Nginx):
    name = 'nginx-rtmp'
    conf = 'nginx-rtmp.conf'

    def playlist_url(self, stream):
        return f'http://127.0.0.1:{self.http}/hls/{stream}.m3u8'


class NginxStatic(Nginx):
    name = 'nginx-static'
    conf = 'nginx-static.conf'

    def __init__(self):
        super().__init__()
        self.www = os.path.join(self.run, 'www')
        os.mkdir(self.www)

    def ports(self):
        return [self.http]

    def serve(self, name, content):
        """Puts a file in place at once, as a running server's files should be; returns its URL."""
        temporary = os.path.join(self.www, '.new')
        with open(temporary, 'wb') as file:
            file.write(content)
        os.replace(temporary, os.path.join(self.www, name))
        return f'http://127.0.0.1:{self.http}/{name}'


class Floor(Server):
    """Receives, parses and discards: what no live server can go below."""

    name = 'floor'
    binary = None

    def ports(self):
        return [self.rtmp]

    def command(self):
        return [self.binary, '--addr', f'127.0.0.1:{self.rtmp}']
