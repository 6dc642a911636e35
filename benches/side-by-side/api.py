#!/usr/bin/env python3
"""The platform's API under load: 100,000 people, 1,000,000 follows, SQLite.

    make build && benches/side-by-side/api.py

Seeds a database, logs people in, and drives a mix of requests at a fixed rate: 70 % reads (profiles, followers, lists of streams), 20 % authenticated
writes (follow, unfollow, a changed profile), 10 % refreshes of tokens. Then the same beside as many password logins as the server takes.
"""

import argparse
import json
import os
import re
import sqlite3
import subprocess
import threading
import time
import urllib.request
import uuid

import servers

HERE = os.path.dirname(os.path.abspath(__file__))
PASSWORD = 'a rather long phrase of mine'


class Api(servers.Nova):
    name = 'api'

    def __init__(self, keep=None):
        super().__init__()
        self.data = keep

    def environment(self):
        return {**super().environment(), 'NOVA_DATA_DIR': self.data, 'NOVA_LIMITS__SCALE': '0', 'NOVA_RUNTIME__API_WORKERS': '2'}

    def call(self, method, path, body=None, token=None):
        headers = {'content-type': 'application/json'} if body is not None else {}
        if token:
            headers['authorization'] = f'Bearer {token}'
        request = urllib.request.Request(
            f'http://127.0.0.1:{self.http}/api/v1{path}', method=method, headers=headers,
            data=json.dumps(body).encode() if body is not None else None,
        )
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or b'null')


def one_account(data):
    """An account made as a person makes one; its password's hash is everybody's."""
    with Api(data) as nova:
        nova.call('POST', '/auth/register', {'email': 'first@example.org', 'username': 'first', 'password': PASSWORD})
        mails = os.path.join(data, 'mail')
        while not (os.path.isdir(mails) and os.listdir(mails)):
            time.sleep(0.05)
        with open(os.path.join(mails, os.listdir(mails)[0])) as mail:
            code = re.search(r'^    (\d{8})\r?$', mail.read(), re.M)[1]
        nova.call('POST', '/auth/verify-email', {'email': 'first@example.org', 'code': code})


def seed(data, people, follows):
    database = sqlite3.connect(os.path.join(data, 'nova.db'))
    scheme, phc = database.execute('SELECT password_scheme, password_hash FROM identity_users').fetchone()
    now = time.time_ns() // 1000
    ids = [str(uuid.UUID(int=(now << 64) + (0x7 << 76) + (0x8 << 60) + n)) for n in range(people)]
    with database:
        database.executemany(
            "INSERT INTO identity_users (id, email, email_folded, password_scheme, password_hash, password_alone, role, created_at) VALUES (?, ?, ?, ?, ?, 1, 'viewer', ?)",
            ((id, f'p{n}@example.org', f'p{n}@example.org', scheme, phc, now) for n, id in enumerate(ids)),
        )
        database.executemany(
            'INSERT INTO users_profiles (user_id, username, created_at, updated_at) VALUES (?, ?, ?, ?)',
            ((id, f'person_{n}', now, now) for n, id in enumerate(ids)),
        )
        database.executemany('INSERT INTO users_names (name, user_id) VALUES (?, ?)', ((f'person_{n}', id) for n, id in enumerate(ids)))
        # One person in a hundred is followed by many, as everywhere.
        database.executemany(
            'INSERT OR IGNORE INTO users_follows (follower_id, followee_id, created_at) VALUES (?, ?, ?)',
            ((ids[n * 7919 % people], ids[(n * 104729 + n // people) % (people // 100 if n % 2 else people)], now + n) for n in range(follows)),
        )
        database.execute('INSERT INTO users_counts (user_id, followers, following) SELECT followee_id, COUNT(*), 10 FROM users_follows GROUP BY followee_id')
    count = database.execute('SELECT COUNT(*) FROM users_follows').fetchone()[0]
    database.close()
    return ids, count


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


def report(name, row, cpu):
    print(f"{name}: {row['rate']:.0f} requests/s, p50 {row['p50']:.1f} ms, p95 {row['p95']:.1f} ms, p99 {row['p99']:.1f} ms, "
          f"{row['errors']} errors, {cpu:.2f} cores")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    built = os.path.join(os.environ.get('CARGO_TARGET_DIR', os.path.join(HERE, '../../target')), 'release')
    options.add_argument('--nova', default=os.path.join(built, 'nova'))
    options.add_argument('--people', type=int, default=100_000)
    options.add_argument('--follows', type=int, default=1_000_000)
    options.add_argument('--rate', type=int, default=1000)
    options.add_argument('--seconds', type=int, default=20)
    options.add_argument('--rounds', type=int, default=2)
    given = options.parse_args()
    servers.Nova.binary = os.path.abspath(given.nova)
    data = os.path.join(servers.scratch('api-data'), 'data')
    os.makedirs(data)
    one_account(data)
    ids, follows = seed(data, given.people, given.follows)
    print(f'{given.people} people, {follows} follows, {os.path.getsize(os.path.join(data, "nova.db")) / 2**20:.0f} MiB')
    with Api(data) as nova:
        sessions = [nova.call('POST', '/auth/login', {'email_or_username': f'person_{n}', 'password': PASSWORD}) for n in range(200)]
        state = os.path.join(nova.run, 'state.lua')
        with open(state, 'w') as out:
            def quoted(values):
                return '{' + ','.join(f'"{value}"' for value in values) + '}'
            out.write(f"return {{ people = {given.people}, ids = {quoted(ids[:5000])}, access = {quoted(s['access_token'] for s in sessions)}, "
                      f"refresh = {quoted(s['refresh_token'] for s in sessions)} }}\n")
        for number in range(given.rounds):
            cpu, begin = nova.cpu_seconds(), time.monotonic()
            row = mixed(nova, given.rate, given.seconds, state)
            report(f'mixed {number + 1}', row, (nova.cpu_seconds() - cpu) / (time.monotonic() - begin))
            # Refresh tokens are good once: the next run needs the newest.
            sessions = [nova.call('POST', '/auth/login', {'email_or_username': f'person_{n}', 'password': PASSWORD}) for n in range(200)]
            with open(state) as had:
                text = had.read()
            with open(state, 'w') as out:
                out.write(re.sub(r'refresh = \{.*?\}', 'refresh = ' + '{' + ','.join(f'"{s["refresh_token"]}"' for s in sessions) + '}', text))
        stop, count = threading.Event(), []
        threads = [threading.Thread(target=logins, args=(nova, stop, count)) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        count.clear()
        cpu, begin = nova.cpu_seconds(), time.monotonic()
        row = mixed(nova, given.rate / 4, given.seconds, state)
        wall = time.monotonic() - begin
        report(f'a quarter of it beside {len(count) / wall:.0f} logins/s', row, (nova.cpu_seconds() - cpu) / wall)
        stop.set()
        for thread in threads:
            thread.join()
        print(f'resident {nova.resident_mib():.0f} MiB')


if __name__ == '__main__':
    main()
