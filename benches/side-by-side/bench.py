#!/usr/bin/env python3
"""Measures Nova beside nginx on one machine, in one run, and prints tables (see ../README.md).

    bench.py clips      makes the clip that is published
    bench.py ramp       CPU and memory of 25 publishers: Nova, nginx-rtmp, and the floor
    bench.py deliver    live playlist, part and segment: Nova against nginx with the same bytes in static files
    bench.py latency    from a frame sent to its part in the viewer's hands, with 25 other publishers
    bench.py start      process start to `nova is ready`, and memory at rest
    bench.py ladder     CPU and likeness of the rungs beside one ffmpeg command that makes the same, and how far they are behind their source
    bench.py recording  from the end of a broadcast of an hour to the whole recording, and what that costs
    bench.py film       a film is made into a ladder while a stream is on air: both cores' use, and the stream's parts
    bench.py screen     in Chromium: first picture of the watch page, and how far behind it and hls.js are
    bench.py all        all of them

Compare CPU-seconds of one run; figures of two runs say more about the machine than about the servers.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import film as films
import hls
import ladder as rungs
import machine
import publish
import servers
import stamped

HERE = os.path.dirname(os.path.abspath(__file__))
# A row counts when every stream kept at least this many seconds of media listed for each second that passed.
SLOWEST_PACE = 0.9
PROBES = 6


def table(title, head, rows):
    print(f'\n{title}\n')
    print('| ' + ' | '.join(head) + ' |')
    print('| ' + ' | '.join('---' for _ in head) + ' |')
    for row in rows:
        print('| ' + ' | '.join(f'{cell:.3g}' if isinstance(cell, float) else str(cell) for cell in row) + ' |')
    sys.stdout.flush()


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def say(text):
    print(text, file=sys.stderr, flush=True)


class Results:
    """Every row as one JSON line, for whoever wants more than the printed tables."""

    def __init__(self, path):
        self.path = path

    def add(self, command, **row):
        if self.path:
            with open(self.path, 'a') as file:
                file.write(json.dumps({'command': command, 'commit': machine.commit(), **row}) + '\n')


def ratios(rows, value, over, under):
    """One ratio for each round that has a valid row of both, and their median."""
    by_round = {}
    for row in rows:
        if not row.get('void'):
            by_round.setdefault(row['round'], {})[row['server']] = row[value]
    found = [pair[over] / pair[under] for _, pair in sorted(by_round.items()) if over in pair and under in pair and pair[under]]
    if not found:
        return None
    return f'{over} / {under}: ' + ', '.join(f'{one:.2f}' for one in found) + f'; median {statistics.median(found):.2f}'


# ---------------------------------------------------------------------------------------------------------------- ramp


class Pace:
    """Seconds of media that a stream's playlist gained for each second that passed, counted from change to change of the playlist."""

    def __init__(self, url):
        self.stream = hls.Stream(url, segments=2)
        self.sequence, self.since = self._next_change()

    def _next_change(self):
        first, end = self.stream.playlist().next_sequence, time.monotonic() + 8
        while time.monotonic() < end:
            playlist = self.stream.playlist()
            if playlist.next_sequence != first:
                return playlist.next_sequence, time.monotonic()
            time.sleep(0.05)
        return first, time.monotonic()  # it stands still: the pace will show it

    def measure(self):
        sequence, now = self._next_change()
        lengths = [seconds for *_, seconds in self.stream.playlist().segments]
        return (sequence - self.sequence) * statistics.mean(lengths) / (now - self.since)


def ramp_row(server, streams, settle, window):
    """One server, loaded with publishers, looked at for a window."""
    with server, publish.Publishers(server.run) as publishers:
        time.sleep(1)
        rest = server.resident_mib()
        names = [f's{number}' for number in range(streams)]
        for name in names:
            publishers.add(name, server.publish_url(name))
            time.sleep(0.1)
        time.sleep(settle)
        probes = names[::max(1, streams // PROBES)][:PROBES] if hasattr(server, 'playlist_url') else []
        faults = []  # each makes the row void
        try:
            paces = [Pace(server.playlist_url(name)) for name in probes]
        except hls.Unfit as unfit:
            paces, faults = [], [str(unfit)]

        sent = [publishers.sent_seconds(name) for name in names]
        watch, begin, cpu = machine.Watch(), time.monotonic(), server.cpu_seconds()
        time.sleep(window)
        cpu, seconds, usage = server.cpu_seconds() - cpu, time.monotonic() - begin, watch.usage()
        sent = [publishers.sent_seconds(name) - before for name, before in zip(names, sent)]
        resident = server.resident_mib()

        try:
            pace = [one.measure() for one in paces]
        except hls.Unfit as unfit:
            pace = []
            faults.append(str(unfit))
        # Progress comes in steps of half a second.
        if min(sent) + 0.6 < SLOWEST_PACE * seconds:
            faults.append(f'a publisher sent {min(sent):.1f} s in {seconds:.1f} s')
        if publishers.living() < streams:
            faults.append(f'{streams - publishers.living()} publishers ended')
        if pace and min(pace) < SLOWEST_PACE:
            faults.append(f'pace {min(pace):.2f}')
        if hasattr(server, 'manifest_url') and hls.Connection(server.manifest_url('s0')).get(server.manifest_url('s0'))[0] != 200:
            faults.append('no DASH manifest')
    return {
        'server': server.name, 'streams': streams, 'cpu_s_per_stream_minute': cpu * 60 / seconds / streams,
        'resident_mib': resident, 'resting_mib': rest, 'mib_per_stream': (resident - rest) / streams,
        'pace': min(pace) if pace else None, 'idle_percent': usage.idle, 'steal_percent': usage.steal, 'void': '; '.join(faults),
    }


def ramp(given, results):
    kinds = [servers.NginxRtmp]
    for kind, what in ((servers.Nova, 'nova'), (servers.Floor, 'floor')):
        if kind.binary and os.access(kind.binary, os.X_OK):
            kinds.append(kind)
        else:
            say(f'ramp: no row for {what}: {kind.binary} is not built')
    rows = []
    for number in range(given.rounds):
        # Each round begins with another server, so that a machine growing slower or faster is not one server's luck.
        turn = number % len(kinds)
        for kind in kinds[turn:] + kinds[:turn]:
            row = {'round': number + 1, **ramp_row(kind(), given.streams, given.settle, given.window)}
            say(f"ramp {number + 1}/{given.rounds} {row['server']}: {row['cpu_s_per_stream_minute']:.3f} {row['void']}")
            results.add('ramp', **row)
            rows.append(row)
    table(
        f'{given.streams} publishers, 1080p30 4.4 Mbit/s; the server\'s processes over {given.window} s',
        ['round', 'server', 'CPU-s per stream-minute', 'resident MiB', 'MiB per stream above rest', 'slowest pace', 'machine idle %', 'void'],
        [[r['round'], r['server'], r['cpu_s_per_stream_minute'], r['resident_mib'], r['mib_per_stream'], r['pace'] or '', r['idle_percent'], r['void']] for r in rows],
    )
    print()
    for kind in kinds:
        good = [row['cpu_s_per_stream_minute'] for row in rows if row['server'] == kind.name and not row['void']]
        if good:
            print(f'{kind.name}: median {statistics.median(good):.3f} CPU-s per stream-minute ({len(good)} of {given.rounds} rounds)')
    for over, under in (('nova', 'nginx-rtmp'), ('floor', 'nginx-rtmp'), ('nova', 'floor')):
        line = ratios(rows, 'cpu_s_per_stream_minute', over, under)
        if line:
            print(line)


# ------------------------------------------------------------------------------------------------------------- deliver


def load(url, seconds, connections, server):
    """wrk against one URL: what a CPU-second of the server delivered."""
    cpu, begin = server.cpu_seconds(), time.monotonic()
    said = subprocess.run(['wrk', '-t', '1', '-c', str(connections), '-d', f'{seconds}s', '--latency', url], capture_output=True, text=True).stdout
    cpu, wall = server.cpu_seconds() - cpu, time.monotonic() - begin
    found = re.search(r'(\d+) requests in .*?, ([\d.]+)([KMGT]?)B read', said)
    if not found:
        raise hls.Unfit(f'wrk said nothing of {url}:\n{said}')
    bits = float(found[2]) * {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}[found[3]] * 8
    refused = re.search(r'Non-2xx or 3xx responses: (\d+)', said)
    p99 = re.search(r'99%\s+(\S+)', said)
    return {
        'requests_per_cpu_s': int(found[1]) / cpu, 'gbit_per_cpu_s': bits / 1e9 / cpu, 'requests_per_s': int(found[1]) / wall,
        'cores': cpu / wall, 'p99': p99[1] if p99 else '', 'void': f'{refused[1]} refused' if refused else '',
    }


def deliver(given, results):
    need_nova('deliver')
    rows = []
    with servers.Nova() as nova, servers.NginxStatic() as nginx, publish.Publishers(nova.run) as publishers:
        publishers.add('deliver', nova.publish_url('deliver'))
        stream = hls.Stream(nova.playlist_url('deliver'), segments=4)
        for number in range(given.rounds):
            playlist = stream.playlist()
            segment = playlist.segments[-1]
            parts = [url for sequence, _, url in playlist.parts if sequence == segment[0]]
            if not parts:
                raise hls.Unfit('deliver: the newest segment has no parts listed')
            # The part after the keyframe's, which is larger than the others.
            for what, url in (('playlist', stream.url), ('part', parts[len(parts) // 2]), ('segment', segment[1])):
                status, content = stream.connection.get(url)
                if status != 200:
                    raise hls.Unfit(f'deliver: status {status} for {url}')
                pair = [(nova, url), (nginx, nginx.serve(f'{what}{os.path.splitext(url)[1]}', content))]
                for server, target in pair[::-1] if number % 2 else pair:
                    row = {'round': number + 1, 'what': what, 'server': server.name, 'bytes': len(content), **load(target, given.load, given.connections, server)}
                    say(f"deliver {number + 1}/{given.rounds} {what} {server.name}: {row['requests_per_cpu_s']:.0f} requests per CPU-s {row['void']}")
                    results.add('deliver', **row)
                    rows.append(row)
    table(
        f'wrk, {given.connections} connections, {given.load} s each',
        ['round', 'what', 'bytes', 'server', 'requests per CPU-s', 'Gbit per CPU-s', 'requests/s', 'cores used', 'p99', 'void'],
        [[r['round'], r['what'], r['bytes'], r['server'], f"{r['requests_per_cpu_s']:.0f}", r['gbit_per_cpu_s'], f"{r['requests_per_s']:.0f}", r['cores'], r['p99'], r['void']] for r in rows],
    )
    print()
    for what in ('playlist', 'part', 'segment'):
        line = ratios([row for row in rows if row['what'] == what], 'requests_per_cpu_s', 'nova', 'nginx-static')
        if line:
            print(f'{what}: {line}')


# ------------------------------------------------------------------------------------------------------------- latency


def watch_hints(url, seconds):
    """A player that asks for the part before it exists: [(last frame of the part, when its last byte was here)]."""
    stream, seen, end = hls.Stream(url), [], time.monotonic() + seconds
    playlist = stream.playlist()
    while time.monotonic() < end:
        if not playlist.hint:
            raise hls.Unfit('latency: the playlist has no preload hint')
        status, body = stream.connection.get(playlist.hint)
        now = time.time()
        frames = stamped.stamps(body)
        if status == 200 and frames:
            seen.append((frames[-1][0], now))
        playlist = stream.playlist(playlist.after(stream.url))
    return seen


def watch_reloads(url, seconds):
    """A player that waits for the playlist, then fetches: [(last frame, when listed, when its last byte was here)]."""
    stream, seen, end = hls.Stream(url), [], time.monotonic() + seconds
    playlist = stream.playlist()
    if not playlist.can_block:
        raise hls.Unfit('latency: the playlist does not offer CAN-BLOCK-RELOAD')
    while time.monotonic() < end:
        playlist = stream.playlist(playlist.after(stream.url))
        listed = time.time()
        status, body = stream.connection.get(playlist.parts[-1][2])
        now = time.time()
        frames = stamped.stamps(body)
        if status == 200 and frames:
            seen.append((frames[-1][0], listed, now))
    return seen


def stamped_parts(nova, readers, seconds, meanwhile=lambda: None, margin=15, name='stamped'):
    """One stamped stream, watched for `seconds` by two players while `meanwhile` runs in this process.

    Returns what the two saw, when each frame was sent, how late the publisher was at most, the machine's usage, and what `meanwhile` returned.
    """
    log = os.path.join(nova.run, 'stamps')
    publisher = subprocess.Popen([
        sys.executable, os.path.join(HERE, 'stamped.py'), publish.CLIP, nova.publish_url(name), '--seconds', str(seconds + margin), '--log', log,
    ])
    try:
        hls.Stream(nova.playlist_url(name), segments=2)
        watch = machine.Watch()
        hints = readers.submit(watch_hints, nova.playlist_url(name), seconds)
        reloads = readers.submit(watch_reloads, nova.playlist_url(name), seconds)
        came = meanwhile()
        hints, reloads, usage = hints.result(), reloads.result(), watch.usage()
        publisher.wait(30)
    finally:
        publisher.kill()
        publisher.wait()
    with open(log) as file:
        sent = dict((line.split()[0], int(line.split()[1]) / 1e6) for line in file)
    late = sent.pop('late')
    return hints, reloads, {int(number): moment for number, moment in sent.items()}, late, usage, came


def latency(given, results):
    need_nova('latency')
    with servers.Nova() as nova, publish.Publishers(nova.run) as publishers, ProcessPoolExecutor(2) as readers:
        for number in range(given.streams):
            publishers.add(f's{number}', nova.publish_url(f's{number}'))
            time.sleep(0.1)
        time.sleep(5)
        hints, reloads, sent, late, usage, _ = stamped_parts(nova, readers, given.watch)

    def row(name, times):
        """`times` has the part's last frame and the moment; a part closes when the frame after its last one arrives."""
        after_last = [(now - sent[last]) * 1000 for last, now in times if last in sent]
        after_closing = [(now - sent[last + 1]) * 1000 for last, now in times if last + 1 in sent]
        if not after_closing:
            raise hls.Unfit(f'latency: {name}: no stamped frame came back')
        found = {
            'parts': len(after_closing), 'closing_median_ms': statistics.median(after_closing), 'closing_p99_ms': quantile(after_closing, 0.99),
            'last_median_ms': statistics.median(after_last), 'last_p99_ms': quantile(after_last, 0.99),
        }
        results.add('latency', what=name, publisher_late_ms=late * 1000, idle_percent=usage.idle, **found)
        return [name, *found.values()]

    table(
        f'One stamped 1080p30 stream beside {given.streams} others, {given.watch} s, milliseconds from sending a frame to a part',
        ['what', 'parts', 'closing frame, median', 'closing frame, p99', 'last frame in it, median', 'last frame in it, p99'],
        [
            row('held hint answered', hints),
            row('listed (blocking reload)', [(last, listed) for last, listed, _ in reloads]),
            row('listed, then fetched', [(last, now) for last, _, now in reloads]),
        ],
    )
    print(f'\nthe stamping publisher was at most {late * 1000:.1f} ms late; machine idle {usage.idle:.0f} %')


# --------------------------------------------------------------------------------------------------------------- start


def start(given, results):
    need_nova('start')
    rows = []
    for number in range(given.starts):
        nova = servers.Nova()
        begin = time.monotonic()
        process = subprocess.Popen(
            nova.command(), cwd=nova.run, env={**os.environ, **nova.environment()},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )
        try:
            ready = next((time.monotonic() - begin for line in process.stdout if b'nova is ready' in line), None)
            if ready is None:
                raise hls.Unfit('start: nova ended without saying that it is ready')
            time.sleep(2)
            row = {'ready_ms': ready * 1000, 'resting_mib': machine.resident_mib(process.pid)}
        finally:
            process.terminate()
            process.stdout.close()
            process.wait()
        results.add('start', round=number + 1, **row)
        rows.append(row)
    table(
        f'Start on an empty folder, {given.starts} times',
        ['', 'median', 'worst'],
        [
            ['process start to `nova is ready`, ms', *of([row['ready_ms'] for row in rows])],
            ['resident at rest after 2 s, MiB', *of([row['resting_mib'] for row in rows])],
        ],
    )


# -------------------------------------------------------------------------------------------------------------- ladder


def ladder(given, results):
    need_nova('ladder')
    rows = []
    for number in range(given.rounds):
        made = {}
        for which in ('nova', 'ffmpeg')[:: -1 if number % 2 else 1]:
            if which == 'ffmpeg':
                made[which] = rungs.by_ffmpeg(servers.scratch('ladder'), given.window)
                continue
            # With a window that still holds what is compared at the end.
            with servers.Nova('ladder-nova', transcode__ladder=rungs.SETTING, live__window_s=300) as nova:
                cpu, behind, lists = rungs.by_nova(nova, given.window)
                begin, span = 6, min(8, int(given.window) - 4)
                alike = {height: rungs.likeness(url, lists[1080], begin, span) for height, url in lists.items() if height != 1080}
                made[which] = cpu, behind, alike
        (cpu, behind, alike), (theirs, files) = made['nova'], made['ffmpeg']
        for (name, height, _, _), file in zip(rungs.RUNGS, files):
            row = {
                'round': number + 1, 'rung': name, 'cpu_ratio': cpu / theirs, 'nova_cpu': cpu, 'ffmpeg_cpu': theirs, 'ssim': alike[height],
                'ffmpeg_ssim': rungs.likeness(file, publish.CLIP, begin, span), 'behind_median_ms': behind[height][0], 'behind_worst_ms': behind[height][1],
            }
            results.add('ladder', **row)
            rows.append(row)
        say(f'ladder {number + 1}/{given.rounds}: {cpu / theirs:.2f} of ffmpeg')
    table(
        f'1080p30 to {rungs.SETTING}, x264 veryfast zerolatency, {given.window:g} s; CPU-seconds of all rungs for a second of media',
        ['round', 'rung', 'Nova CPU-s', 'ffmpeg CPU-s', 'ratio', 'Nova SSIM', 'ffmpeg SSIM', 'behind the source, median ms', 'worst ms'],
        [[r['round'], r['rung'], r['nova_cpu'], r['ffmpeg_cpu'], r['cpu_ratio'], f"{r['ssim']:.4f}", f"{r['ffmpeg_ssim']:.4f}", r['behind_median_ms'], r['behind_worst_ms']] for r in rows],
    )
    print(f"\nnova / ffmpeg: median {statistics.median(row['cpu_ratio'] for row in rows):.2f}")


# ----------------------------------------------------------------------------------------------------------- recording


def recording(given, results):
    """An hour in fast motion: the same segments and lines as an hour's, of a small picture."""
    need_nova('recording')
    clip = publish.make_small_clip(os.path.join(servers.scratch('recording-clip'), 'small.flv'))
    with servers.Nova('recording', live__record='true', live__reconnect_s=1) as nova:
        sending = subprocess.Popen([
            'ffmpeg', '-hide_banner', '-v', 'error', '-nostdin', '-readrate', '60', '-stream_loop', '-1', '-i', clip,
            '-t', str(int(given.hours * 3600)), '-c', 'copy', '-f', 'flv', nova.publish_url('long'),
        ])
        try:
            folder = hls.Stream(nova.playlist_url('long')).url.split('/')[-2]
            sending.wait()
        finally:
            sending.kill()
            sending.wait()
        # Once it has ended, the list of the broadcast says so, and from then on the clock runs.
        live, whole = hls.Connection(nova.playlist_url('long')), f'http://127.0.0.1:{nova.http}/vod/{folder}/master.m3u8'
        media = hls.Stream(nova.playlist_url('long')).url
        while b'#EXT-X-ENDLIST' not in live.get(media)[1]:
            time.sleep(0.002)
        ended, cpu = time.monotonic(), nova.cpu_seconds()
        vod = hls.Connection(whole)
        while True:
            status, body = vod.get(whole)
            first = hls.first_variant(body.decode(), whole) if status == 200 else None
            text = vod.get(first)[1].decode() if first else ''
            if '#EXT-X-ENDLIST' in text:
                break
            if time.monotonic() - ended > 30:
                raise hls.Unfit(f'recording: not whole after 30 s, status {status} for {whole}')
            time.sleep(0.002)
        took = time.monotonic() - ended
        time.sleep(2)
        cpu = nova.cpu_seconds() - cpu
        seconds = sum(length for *_, length in hls.parse(text, first).segments)
    results.add('recording', seconds=seconds, whole_ms=took * 1000, cpu_s=cpu)
    table('A broadcast of an hour, in fast motion', ['seconds recorded', 'whole after the end, ms', 'CPU-s from the end to 2 s later'], [[f'{seconds:.0f}', took * 1000, cpu]])


# ---------------------------------------------------------------------------------------------------------------- film


def film(given, results):
    need_nova('film')
    path = films.make(given.minutes)

    def parts(seen):
        """From the frame that closes a part to its last byte at a viewer, milliseconds."""
        _, reloads, sent, _, usage, _ = seen
        times = [(now - sent[last + 1]) * 1000 for last, _, now in reloads if last + 1 in sent]
        if not times:
            raise hls.Unfit('film: no stamped frame came back')
        return statistics.median(times), quantile(times, 0.99), usage.idle

    with servers.Nova('film', transcode__ladder=rungs.SETTING, limits__scale=0) as nova, ProcessPoolExecutor(2) as readers:
        token = nova.register()
        alone = parts(stamped_parts(nova, readers, 20, name='alone'))
        video = films.upload(nova, token, path)
        with films.Making(nova, token, video) as making:
            making.began.wait(60)
            beside = parts(stamped_parts(nova, readers, min(given.watch, given.minutes * 12), name='beside'))
            busy = not making.ended.is_set()
            making.ended.wait(given.minutes * 120)
            if making.state.get('status') != 'ready':
                raise hls.Unfit(f'film: {making.state}')
            took = making.seconds
    if not busy:
        raise hls.Unfit('film: it was made before the watching ended; take more minutes')
    row = {
        'minutes': given.minutes, 'made_s': took, 'idle_percent': beside[2], 'part_median_ms': beside[0], 'part_p99_ms': beside[1],
        'alone_median_ms': alone[0], 'alone_p99_ms': alone[1],
    }
    results.add('film', **row)
    table(
        f'A film of {given.minutes:g} minutes, 1080p30, made into {rungs.SETTING} beside a stream with the same ladder',
        ['made in, s', 'cores idle, %', 'part beside it, median ms', 'p99 ms', 'part alone, median ms', 'p99 ms'],
        [[took, beside[2], *beside[:2], *alone[:2]]],
    )


# -------------------------------------------------------------------------------------------------------------- screen


def screen(given, results):
    """What a person sees: needs the packages of web/ui/tests (`npm ci` there) and Chromium."""
    need_nova('screen')
    with servers.Nova('screen') as nova:
        publisher = subprocess.Popen(publish.with_clock(nova.publish_url('screen')), stdin=subprocess.DEVNULL)
        try:
            hls.Stream(nova.playlist_url('screen'), segments=4)
            tests = os.path.join(HERE, '../../web/ui/tests')
            for command in (['first-frame.mjs', 'screen', str(given.visits)], ['steady.mjs', 'screen', str(given.steady)]):
                print()
                sys.stdout.flush()
                subprocess.run(['node', *command], cwd=tests, check=True, env={**os.environ, 'NOVA_URL': f'http://127.0.0.1:{nova.http}'})
        finally:
            publisher.kill()
            publisher.wait()


def of(values):
    return statistics.median(values), max(values)


# ----------------------------------------------------------------------------------------------------------------------


def need_nova(command):
    if not os.access(servers.Nova.binary, os.X_OK):
        raise hls.Unfit(f'{command}: {servers.Nova.binary} is not built (make build, or name it with --nova)')


def everything(given, results):
    for command in (start, ramp, deliver, latency, ladder, recording, film, screen):
        command(given, results)


def main():
    commands = {
        'clips': lambda *_: None, 'ramp': ramp, 'deliver': deliver, 'latency': latency, 'start': start,
        'ladder': ladder, 'recording': recording, 'film': film, 'screen': screen, 'all': everything,
    }
    built = os.path.join(os.environ.get('CARGO_TARGET_DIR') or os.path.join(HERE, '../../target'), 'release')
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument('command', choices=commands)
    options.add_argument('--nova', default=os.environ.get('NOVA_BIN', os.path.join(built, 'nova')), help='the server')
    options.add_argument('--sink', default=os.environ.get('BENCH_SINK', os.path.join(built, 'rtmp-sink')), help='the floor: `rtmp-sink --addr A`')
    options.add_argument('--streams', type=int, default=25, help='publishers in ramp and latency')
    options.add_argument('--rounds', type=int, default=3, help='rounds of ramp and deliver')
    options.add_argument('--settle', type=float, default=20, help='ramp: seconds before the window')
    options.add_argument('--window', type=float, default=30, help='ramp: seconds that are measured')
    options.add_argument('--load', type=int, default=8, help='deliver: seconds of each load')
    options.add_argument('--watch', type=int, default=60, help='latency: seconds of watching')
    options.add_argument('--connections', type=int, default=32, help='deliver')
    options.add_argument('--starts', type=int, default=10, help='start')
    options.add_argument('--hours', type=float, default=1, help='recording: length of the broadcast')
    options.add_argument('--minutes', type=float, default=10, help='film: length of it')
    options.add_argument('--visits', type=int, default=10, help='screen: visits of the watch page')
    options.add_argument('--steady', type=int, default=600, help='screen: seconds of watching')
    options.add_argument('--json', default=None, metavar='FILE', help='append every row to FILE')
    given = options.parse_args()
    servers.Nova.binary, servers.Floor.binary = os.path.abspath(given.nova), os.path.abspath(given.sink)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended

    print(f'{machine.describe()}; commit {machine.commit()}; {time.strftime("%Y-%m-%d")}', flush=True)
    publish.make_clip()
    try:
        commands[given.command](given, Results(given.json))
    except hls.Unfit as unfit:
        sys.exit(str(unfit))


if __name__ == '__main__':
    main()
