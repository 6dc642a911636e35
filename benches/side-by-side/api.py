#!/usr/bin/env python3
"""The platform's API under load, on SQLite and on PostgreSQL: 100,000 people, 1,000,000 follows, and a live stream beside it.

    make build && benches/side-by-side/api.py

Seeds a database, logs people in, and drives a mix of requests at a fixed rate: 70 % reads (profiles, followers, lists of streams), 20 % authenticated
writes (follow, unfollow, a changed profile), 10 % refreshes of tokens. Then the same beside as many password logins as the server takes. One stream is
on air all the time, and two players time its parts: alone first, then in each of these.
"""

import argparse
import json
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ProcessPoolExecutor

import bench
import machine
import publish
import servers

HERE = os.path.dirname(os.path.abspath(__file__))
PASSWORD = servers.PASSWORD


class Sqlite:
    """The database file in the server's folder."""

    name = 'SQLite'
    url = ''

    def __init__(self, folder):
        self.path = os.path.join(folder, 'data', 'nova.db')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def query(self, sql):
        database = sqlite3.connect(self.path)
        rows = database.execute(sql).fetchall()
        database.commit()
        database.close()
        return rows

    def fill(self, table, columns, rows):
        database = sqlite3.connect(self.path)
        with database:
            database.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", rows)
        database.close()

    def mib(self):
        return os.path.getsize(self.path) / 2**20


class Postgres:
    """A server of its own with its defaults, on a Unix socket in `folder` and on no port."""

    name = 'PostgreSQL'

    def __init__(self, folder):
        self.folder = os.path.join(folder, 'postgres')
        self.url = f'postgres://nova@localhost/nova?host={self.folder}'
        homes = sorted(f'/usr/lib/postgresql/{one}/bin' for one in os.listdir('/usr/lib/postgresql')) if os.path.isdir('/usr/lib/postgresql') else []
        self.bin = homes[-1] if homes else os.path.dirname(shutil.which('postgres') or '')
        if not os.access(os.path.join(self.bin, 'postgres'), os.X_OK):
            raise SystemExit('PostgreSQL is not installed: scripts/setup test')
        # It refuses to run as root.
        self.user = ['setpriv', '--reuid', 'postgres', '--regid', 'postgres', '--clear-groups', '--'] if os.getuid() == 0 else []

    def __enter__(self):
        data = os.path.join(self.folder, 'data')
        new = not os.path.isdir(data)
        os.makedirs(self.folder, exist_ok=True)
        if self.user:
            shutil.chown(self.folder, 'postgres')
        if new:
            subprocess.run(
                [*self.user, os.path.join(self.bin, 'initdb'), '--pgdata', data, '--username', 'nova', '--auth', 'trust', '--encoding', 'UTF8', '--locale', 'C'],
                check=True, stdout=subprocess.DEVNULL, cwd='/',
            )
        with open(os.path.join(self.folder, 'log'), 'w') as log:
            self.process = subprocess.Popen(
                [*self.user, os.path.join(self.bin, 'postgres'), '-D', data, '-k', self.folder, '-c', 'listen_addresses='],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd='/', start_new_session=True,
            )
        end = time.monotonic() + 30
        while subprocess.run(['psql', self.url.replace('/nova?', '/postgres?'), '-c', ''], capture_output=True).returncode:
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f'PostgreSQL does not start, see {self.folder}/log')
            time.sleep(0.1)
        if new:
            self.psql('CREATE DATABASE nova', database='postgres')
        return self

    def __exit__(self, *_):
        self.process.send_signal(2)
        self.process.wait(30)

    def psql(self, sql, database='nova', **more):
        url = self.url.replace('/nova?', f'/{database}?')
        return subprocess.run(['psql', url, '-qAt', '-F', '\t', '-v', 'ON_ERROR_STOP=1', '-c', sql], check=True, text=True, stdout=subprocess.PIPE, **more).stdout

    def query(self, sql):
        return [line.split('\t') for line in self.psql(sql).splitlines()]

    def fill(self, table, columns, rows):
        self.psql(f"COPY {table} ({', '.join(columns)}) FROM STDIN", input=''.join('\t'.join(map(str, row)) + '\n' for row in rows))

    def mib(self):
        return int(self.query("SELECT pg_database_size('nova')")[0][0]) / 2**20


class Api(servers.Nova):
    name = 'api'

    def __init__(self, database, data):
        super().__init__()
        self.database, self.data = database, data

    def environment(self):
        return {
            **super().environment(), 'NOVA_DATA_DIR': self.data, 'NOVA_DATABASE_URL': self.database.url, 'NOVA_LIMITS__SCALE': '0',
            'NOVA_RUNTIME__API_WORKERS': '2',
        }

    def sessions(self, count=200):
        return [self.call('POST', '/auth/login', {'email_or_username': f'person_{n}', 'password': PASSWORD}) for n in range(count)]


def one_account(database, data):
    """An account made as a person makes one; its password's hash is everybody's."""
    with Api(database, data) as nova:
        nova.register()


def seed(database, people, follows):
    scheme, phc = database.query('SELECT password_scheme, password_hash FROM identity_users')[0]
    now = time.time_ns() // 1000
    ids = [str(uuid.UUID(int=(now << 64) + (0x7 << 76) + (0x8 << 60) + n)) for n in range(people)]
    columns = ['id', 'email', 'email_folded', 'password_scheme', 'password_hash', 'password_alone', 'role', 'created_at']
    database.fill('identity_users', columns, [(id, f'p{n}@example.org', f'p{n}@example.org', scheme, phc, 1, 'viewer', now) for n, id in enumerate(ids)])
    database.fill('users_profiles', ['user_id', 'username', 'created_at', 'updated_at'], [(id, f'person_{n}', now, now) for n, id in enumerate(ids)])
    database.fill('users_names', ['name', 'user_id'], [(f'person_{n}', id) for n, id in enumerate(ids)])
    # One person in a hundred is followed by many, as everywhere.
    edges = {(ids[n * 7919 % people], ids[(n * 104729 + n // people) % (people // 100 if n % 2 else people)]): now + n for n in range(follows)}
    database.fill('users_follows', ['follower_id', 'followee_id', 'created_at'], [(*edge, at) for edge, at in edges.items()])
    database.query('INSERT INTO users_counts (user_id, followers, following) SELECT followee_id, COUNT(*), 10 FROM users_follows GROUP BY followee_id')
    if database.url:
        # As it does by itself after a minute.
        database.query('ANALYZE')


def write_state(path, given, ids, sessions):
    def quoted(values):
        return '{' + ','.join(f'"{value}"' for value in values) + '}'
    with open(path, 'w') as out:
        out.write(f"return {{ people = {given.people}, ids = {quoted(ids)}, access = {quoted(s['access_token'] for s in sessions)}, "
                  f"refresh = {quoted(s['refresh_token'] for s in sessions)} }}\n")


def mixed(nova, rate, seconds, state):
    connections = 25
    said = subprocess.run(
        ['wrk', '-t', '1', '-c', str(connections), '-d', f'{seconds}s', '--latency', '-s', os.path.join(HERE, 'api.lua'),
         f'http://127.0.0.1:{nova.http}', '--', state, str(round(connections * 1000 / rate))],
        capture_output=True, text=True,
    ).stdout
    found = re.search(r'REPORT (.*)', said)
    if not found:
        raise SystemExit(f'wrk:\n{said}')
    return json.loads(found[1])


def logins(nova, stop, count):
    number = 0
    while not stop.is_set():
        number += 1
        nova.call('POST', '/auth/login', {'email_or_username': f'person_{5000 + (number * 31 + id(stop)) % 5000}', 'password': PASSWORD})
        count.append(1)


def beside_live(nova, readers, seconds, name, load):
    """What the load reached and cost, and how long the live stream's parts took meanwhile."""
    def timed():
        cpu, begin = nova.cpu_seconds(), time.monotonic()
        row = load()
        return row, (nova.cpu_seconds() - cpu) / (time.monotonic() - begin)
    _, reloads, sent, _, usage, (row, cores) = bench.stamped_parts(nova, readers, seconds, timed, margin=8, name=name)
    parts = [(now - sent[last + 1]) * 1000 for last, _, now in reloads if last + 1 in sent]
    return row, cores, (statistics.median(parts), bench.quantile(parts, 0.99), len(parts)), usage.idle


def measure(database, data, given):
    rows = []
    with Api(database, data) as nova, ProcessPoolExecutor(2) as readers, publish.Publishers(nova.run) as publishers:
        ids = [id for id, in database.query("SELECT user_id FROM users_profiles WHERE username LIKE 'person%' ORDER BY user_id LIMIT 5000")]
        state = os.path.join(nova.run, 'state.lua')
        for number in range(given.streams):
            publishers.add(f's{number}', nova.publish_url(f's{number}'))

        def row(name, load):
            # Refresh tokens are good once: each run needs the newest.
            write_state(state, given, ids, nova.sessions())
            said, cores, parts, idle = beside_live(nova, readers, given.seconds, f'stamped{len(rows)}', load)
            figures = [f"{said['rate']:.0f}", *(f'{said[one]:.1f}' for one in ('p50', 'p95', 'p99')), said['errors']] if said else [''] * 5
            rows.append([database.name, said['name'] if said and 'name' in said else name, *figures, f'{cores:.2f}', f'{parts[0]:.1f}', f'{parts[1]:.1f}', parts[2], f'{idle:.0f}'])
            bench.say(' '.join(map(str, rows[-1])))

        row('the stream alone', lambda: time.sleep(given.seconds))
        for number in range(given.rounds):
            row(f'the mix, round {number + 1}', lambda: mixed(nova, given.rate, given.seconds, state))
        for share in given.beside:
            stop, count = threading.Event(), []
            threads = [threading.Thread(target=logins, args=(nova, stop, count)) for _ in range(8)]

            def beside():
                for thread in threads:
                    thread.start()
                time.sleep(1)
                count.clear()
                begin = time.monotonic()
                said = mixed(nova, given.rate * share, given.seconds - 2, state)
                said['name'] = f'{share:g} of it beside {len(count) / (time.monotonic() - begin):.0f} logins/s'
                stop.set()
                return said
            row('', beside)
            for thread in threads:
                thread.join()
        bench.say(f'resident {nova.resident_mib():.0f} MiB')
    return rows


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    built = os.path.join(os.environ.get('CARGO_TARGET_DIR', os.path.join(HERE, '../../target')), 'release')
    options.add_argument('--nova', default=os.path.join(built, 'nova'))
    options.add_argument('--engine', choices=['sqlite', 'postgres', 'both'], default='both')
    options.add_argument('--people', type=int, default=100_000)
    options.add_argument('--follows', type=int, default=1_000_000)
    options.add_argument('--rate', type=int, default=1000)
    options.add_argument('--seconds', type=int, default=20)
    options.add_argument('--rounds', type=int, default=2)
    options.add_argument('--streams', type=int, default=0, help='other publishers beside the stream that is timed')
    options.add_argument('--beside', type=float, nargs='*', default=[0.25], help='how much of the rate runs beside the logins')
    options.add_argument('--keep', default=None, metavar='FOLDER', help='where the seeded databases stay, to be used again')
    options.add_argument('--seed', action='store_true', help='seed only')
    given = options.parse_args()
    servers.Nova.binary = os.path.abspath(given.nova)
    print(f'{machine.describe()}; commit {machine.commit()}; {time.strftime("%Y-%m-%d")}', flush=True)
    publish.make_clip()
    rows = []
    for kind in {'sqlite': [Sqlite], 'postgres': [Postgres], 'both': [Sqlite, Postgres]}[given.engine]:
        root = os.path.join(given.keep, kind.__name__.lower()) if given.keep else servers.scratch(f'api-{kind.__name__.lower()}')
        data = os.path.join(root, 'data')
        seeded = os.path.isdir(data)
        os.makedirs(data, exist_ok=True)
        with kind(root) as database:
            if not seeded:
                one_account(database, data)
                seed(database, given.people, given.follows)
            follows = database.query('SELECT COUNT(*) FROM users_follows')[0][0]
            print(f'{database.name}: {given.people} people, {follows} follows, {database.mib():.0f} MiB', flush=True)
            if not given.seed:
                rows += measure(database, data, given)
    if rows:
        bench.table(
            f'{given.people} people, {given.follows} follows; the API over {given.seconds} s, and the parts of a live stream from the frame that closes one to its last byte',
            ['engine', 'load', 'requests/s', 'p50 ms', 'p95 ms', 'p99 ms', 'errors', 'cores', 'part, median ms', 'part, p99 ms', 'parts', 'machine idle %'], rows,
        )


if __name__ == '__main__':
    sys.exit(main())
