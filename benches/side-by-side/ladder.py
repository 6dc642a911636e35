"""The ladder beside one ffmpeg command that does the same: CPU, likeness to the source, and how far a rung is behind it."""

import os
import re
import resource
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import hls
import machine
import publish

# Name, height, width, kbit/s.
RUNGS = [('720p', 720, 1280, 2800), ('480p', 480, 854, 1200), ('360p', 360, 640, 600)]
SETTING = ','.join(f'{name}:{rate}k' for name, _, _, rate in RUNGS)
FFMPEG = ['ffmpeg', '-hide_banner', '-v', 'error', '-nostdin', '-y']


def by_ffmpeg(folder, seconds):
    """Makes the rungs of `seconds` of the clip; CPU-seconds for a second of media, and the files."""
    split = f"[0:v]split={len(RUNGS)}" + ''.join(f'[s{n}]' for n in range(len(RUNGS)))
    scales = ''.join(f';[s{n}]scale={width}:{height}[v{n}]' for n, (_, height, width, _) in enumerate(RUNGS))
    files, command = [], [*FFMPEG, '-threads', '1', '-t', str(seconds), '-i', publish.CLIP, '-filter_complex', split + scales]
    for number, (name, _, _, rate) in enumerate(RUNGS):
        files.append(os.path.join(folder, f'ffmpeg-{name}.mp4'))
        command += [
            '-map', f'[v{number}]', '-c:v', 'libx264', '-preset', 'veryfast', '-tune', 'zerolatency', '-profile:v', 'high', '-threads', '1',
            '-b:v', f'{rate}k', '-maxrate', f'{rate}k', '-bufsize', f'{rate}k', '-x264-params', 'keyint=infinite:scenecut=0',
            '-force_key_frames', 'expr:gte(t,n_forced*2)', files[-1],
        ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / seconds, files


def likeness(rung, source, begin, seconds):
    """SSIM of a rung, scaled up again, to its source in the same span of media time."""
    def read(url):
        # A live list is read from its beginning, and not waited at.
        from_start = ['-live_start_index', '0'] if url.endswith('.m3u8') else []
        return [*from_start, '-t', str(begin + seconds + 1), '-copyts', '-i', url]

    cut = f'trim=start={begin}:end={begin + seconds},setpts=PTS-STARTPTS'
    graph = f'[0:v]{cut},scale=1920:1080:flags=bicubic[a];[1:v]{cut}[b];[a][b]ssim'
    said = subprocess.run(
        ['ffmpeg', '-hide_banner', '-nostdin', *read(rung), *read(source), '-lavfi', graph, '-f', 'null', '-'],
        capture_output=True, text=True,
    ).stderr
    found = re.search(r'SSIM .*All:([\d.]+)', said)
    if not found:
        raise hls.Unfit(f'ladder: no SSIM of {rung}:\n{said[-600:]}')
    return float(found[1])


def variants(url, wanted, patience=25):
    """Media playlists of a multivariant playlist by the height of their pictures, once there are `wanted`."""
    connection, end = hls.Connection(url), time.monotonic() + patience
    while True:
        _, body = connection.get(url)
        found = hls.variants(body.decode(), url)
        if len(found) >= wanted:
            return found
        if time.monotonic() > end:
            raise hls.Unfit(f'ladder: {len(found)} of {wanted} rungs at {url}')
        time.sleep(0.2)


def arrivals(url, seconds):
    """When each part of a media playlist was listed."""
    connection, seen, end = hls.Connection(url), {}, time.monotonic() + seconds
    playlist = hls.parse(connection.get(url)[1].decode(), url)
    while time.monotonic() < end:
        status, body = connection.get(playlist.after(url))
        now = time.monotonic()
        if status != 200:
            raise hls.Unfit(f'ladder: status {status} for {url}')
        playlist = hls.parse(body.decode(), url)
        if not playlist.parts:
            raise hls.Unfit(f'ladder: the machine is too slow, {url} was left off')
        sequence, part, _ = playlist.parts[-1]
        seen[sequence, part] = now
    return seen


def by_nova(nova, seconds):
    """One publisher for `seconds`: CPU-seconds of the workers for a second of media, milliseconds each rung is behind, and the playlists by height."""
    with publish.Publishers(nova.run) as publishers:
        publishers.add('ladder', nova.publish_url('ladder'))
        lists = variants(nova.playlist_url('ladder'), len(RUNGS) + 1)
        time.sleep(4)
        workers = nova.workers()
        used, begin = sum(map(machine.cpu_seconds, workers)), time.monotonic()
        with ThreadPoolExecutor(len(lists)) as readers:
            tasks = {height: readers.submit(arrivals, url, seconds) for height, url in lists.items()}
            seen = {height: task.result() for height, task in tasks.items()}
        used = sum(map(machine.cpu_seconds, workers)) - used
        if nova.workers() != workers:
            raise hls.Unfit('ladder: a worker was replaced while it was measured')
        passed = time.monotonic() - begin
    source = seen.pop(1080)
    behind = {height: [(at - source[part]) * 1000 for part, at in parts.items() if part in source] for height, parts in seen.items()}
    return used / passed, {height: (statistics.median(found), max(found)) for height, found in behind.items()}, lists
