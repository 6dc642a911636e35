"""Makes small files that claim or unfold to far more than they are: bombs.py FOLDER.

png.mov     one picture of 16384x16384, 33 kB of zeros in PNG
tracks.mp4  a thousand tracks
edits.mp4   an edit list that plays the same second eighty thousand times
empty.mkv   two pictures, 23 hours apart
days.mkv    two pictures, 100 hours apart
cut.mp4     a film without its last third, the index first
flipped.ts  a film with a bit in a thousand bytes changed
"""
import random, struct, subprocess, sys, zlib

folder = sys.argv[1]


def ffmpeg(*arguments):
    subprocess.run(['ffmpeg', '-v', 'error', '-y', *arguments], check=True)


def path(name):
    return f'{folder}/{name}'


def chunk(kind, body):
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))


def black_png(side):
    packed, row = zlib.compressobj(9), bytes(1 + side // 8)
    rows = b''.join(packed.compress(row) for _ in range(side)) + packed.flush()
    header = chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 1, 0, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + header + chunk(b'IDAT', rows) + chunk(b'IEND', b'')


def rewrite(source, target, change):
    """Copies an ISO-BMFF file whose media lie before the index, with the bodies of boxes changed."""
    def boxes(data):
        out, at = b'', 0
        while at < len(data):
            size, kind = struct.unpack('>I4s', data[at:at + 8])
            body = data[at + 8:at + size]
            body = boxes(body) if kind in (b'moov', b'trak', b'edts', b'mdia', b'minf', b'stbl') else change(kind, body)
            out += struct.pack('>I4s', len(body) + 8, kind) + body
            at += size
        return out
    open(target, 'wb').write(boxes(open(source, 'rb').read()))


side = 16384
picture = black_png(side)
ffmpeg('-f', 'lavfi', '-i', 'color=size=64x64:rate=1:duration=1', '-c:v', 'png', path('small.mov'))
rewrite(path('small.mov'), path('png.mov'), lambda kind, body: {
    b'mdat': lambda: picture,
    b'stsz': lambda: struct.pack('>III', 0, len(picture), 1),
    b'stsd': lambda: body[:40] + struct.pack('>HH', side, side) + body[44:],
}.get(kind, lambda: body)())

one_second = '-f lavfi -i color=size=160x90:rate=10:duration=1 -c:v libx264 -g 5 -pix_fmt yuv420p'.split()
ffmpeg(*one_second, path('one.mp4'))
ffmpeg('-i', path('one.mp4'), *(['-map', '0'] * 1000), '-c', 'copy', path('tracks.mp4'))
rewrite(path('one.mp4'), path('edits.mp4'), lambda kind, body:
        struct.pack('>II', 0, 80_000) + struct.pack('>IIHH', 1000, 0, 1, 0) * 80_000 if kind == b'elst' else body)

for name, hours in ('empty.mkv', 23), ('days.mkv', 100):
    ffmpeg('-f', 'lavfi', '-i', 'color=size=160x90:rate=1:duration=2', '-vf', f'setpts=N*{hours * 3600}/TB', '-vsync', '0',
           '-c:v', 'libx264', '-pix_fmt', 'yuv420p', path(name))

film = '-f lavfi -i testsrc2=size=320x180:rate=30:duration=6 -f lavfi -i sine=duration=6 -pix_fmt yuv420p -c:v libx264 -g 30 -c:a aac'.split()
ffmpeg(*film, '-movflags', '+faststart', path('film.mp4'))
ffmpeg(*film, path('film.ts'))
whole = open(path('film.mp4'), 'rb').read()
open(path('cut.mp4'), 'wb').write(whole[:len(whole) * 2 // 3])
noise, stream = random.Random(4), bytearray(open(path('film.ts'), 'rb').read())
for _ in range(len(stream) // 1000):
    stream[noise.randrange(len(stream))] ^= 1 << noise.randrange(8)
open(path('flipped.ts'), 'wb').write(stream)
