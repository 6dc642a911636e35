"""The clip that is published, and the ffmpeg processes that publish it."""

import os
import subprocess

CACHE = os.path.join(os.environ.get('XDG_CACHE_HOME', os.path.expanduser('~/.cache')), 'nova', 'bench')
CLIP = os.path.join(CACHE, 'clip-1080p30.flv')

# A publisher that outlives a killed bench ends by itself.
LONGEST_RUN_S = 900


def make_clip(path=CLIP):
    """1080p30 H.264 of a real 4.4 Mbit/s, a keyframe every 2 s, no B-frames, AAC 128 kbit/s: 20 s, repeated to 240 s.

    The noise makes the encoder need the whole bit rate: a flat test picture reaches it with filler, which nobody sends.
    """
    if os.path.exists(path):
        return path
    print(f'making {path} (once, about a minute)', flush=True)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    once, looped = path + '.once.mp4', path + '.new'
    ffmpeg = ['ffmpeg', '-hide_banner', '-v', 'error', '-nostdin', '-y']
    picture = 'testsrc2=size=1920x1080:rate=30,noise=alls=9:allf=t'
    sound = 'aevalsrc=0.2*sin(440*2*PI*t)+0.05*random(0):channel_layout=stereo:sample_rate=48000'
    subprocess.run([
        *ffmpeg, '-f', 'lavfi', '-i', picture, '-f', 'lavfi', '-i', sound, '-t', '20',
        '-c:v', 'libx264', '-preset', 'veryfast', '-profile:v', 'high', '-pix_fmt', 'yuv420p', '-bf', '0',
        '-g', '60', '-keyint_min', '60', '-sc_threshold', '0',
        '-b:v', '4270k', '-minrate', '4270k', '-maxrate', '4270k', '-bufsize', '4270k', '-x264-params', 'nal-hrd=cbr:force-cfr=1',
        '-c:a', 'aac', '-b:a', '128k', '-ar', '48000', '-ac', '2', once,
    ], check=True)
    subprocess.run([*ffmpeg, '-stream_loop', '11', '-i', once, '-c', 'copy', '-f', 'flv', looped], check=True)
    os.remove(once)
    os.replace(looped, path)
    return path


def make_small_clip(path):
    """20 s of a small picture with sound, a keyframe every 2 s: for what depends on how long a broadcast is, not on how large."""
    subprocess.run([
        'ffmpeg', '-hide_banner', '-v', 'error', '-nostdin', '-y', '-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=10', '-f', 'lavfi', '-i', 'sine=sample_rate=48000',
        '-t', '20', '-c:v', 'libx264', '-bf', '0', '-g', '20', '-keyint_min', '20', '-sc_threshold', '0', '-pix_fmt', 'yuv420p', '-b:v', '50k',
        '-c:a', 'aac', '-b:a', '32k', '-f', 'flv', path,
    ], check=True)
    return path


def with_clock(url):
    """A publisher that draws the time into its picture, as web/ui/tests/steady.mjs reads it: 32 bits of milliseconds, lowest first."""
    clock = "crop=32:2:0:0,geq=lum='255*mod(floor(time(0)*1000/pow(2,X)),2)':cb=128:cr=128,scale=1280:40:flags=neighbor"
    return [
        'ffmpeg', '-hide_banner', '-v', 'error', '-nostdin', '-re', '-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=30', '-f', 'lavfi', '-i', 'sine=frequency=440',
        '-filter_complex', f'[0:v]split[picture][b];[b]{clock}[clock];[picture][clock]overlay[v]', '-map', '[v]', '-map', '1:a',
        '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-g', '60', '-pix_fmt', 'yuv420p', '-b:v', '2500k', '-c:a', 'aac', '-f', 'flv', url,
    ]


class Publishers:
    """`ffmpeg -re -c copy` publishers of one clip, with what each says of its own progress."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    def add(self, stream, url):
        with open(os.path.join(self.folder, f'publish-{stream}.log'), 'w') as log:
            self.processes[stream] = subprocess.Popen([
                'ffmpeg', '-hide_banner', '-v', 'error', '-nostdin', '-nostats', '-progress', self._progress(stream),
                '-re', '-stream_loop', '-1', '-i', CLIP, '-t', str(LONGEST_RUN_S), '-c', 'copy', '-f', 'flv', url,
            ], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _progress(self, stream):
        return os.path.join(self.folder, f'publish-{stream}.progress')

    def sent_seconds(self, stream):
        """How far into the clip the publisher says it is."""
        with open(self._progress(stream)) as file:
            times = [int(value) for key, _, value in (line.strip().partition('=') for line in file) if key == 'out_time_us' and value.isdigit()]
        return times[-1] / 1e6 if times else 0.0

    def living(self):
        return sum(process.poll() is None for process in self.processes.values())
