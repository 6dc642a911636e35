#!/usr/bin/env python3
"""An RTMP publisher that writes the time of sending into each video frame.

    stamped.py FLV rtmp://127.0.0.1:PORT/app/stream --seconds S --log FILE

Each H.264 frame is given one SEI message (user_data_unregistered, ITU-T H.264 D.1.7): MARK, then the frame's number and the
microseconds of the wall clock at which it was handed to the socket, in hexadecimal. Text holds no start codes and needs no
emulation prevention, so a reader finds it by searching the bytes of a part. FILE gets `number microseconds` for every frame:
it tells when the frame was sent that closed a part, which is the first of the next one.
"""

import argparse
import re
import socket
import struct
import threading
import time
import urllib.parse

MARK = bytes.fromhex('4e6f76615374616d706564467261e9d1')  # no zero bytes
STAMP = re.compile(re.escape(MARK) + rb'([0-9a-f]{8})([0-9a-f]{16})')

CONTROL, COMMAND, AUDIO, VIDEO = 2, 3, 5, 6  # chunk streams
SET_CHUNK_SIZE, AUDIO_MESSAGE, VIDEO_MESSAGE, DATA_AMF0, COMMAND_AMF0 = 1, 8, 9, 18, 20


def stamps(body):
    """(frame number, sent at, in seconds) of every stamped frame in a part or segment, in order."""
    return [(int(number, 16), int(micros, 16) / 1e6) for number, micros in STAMP.findall(body)]


def sei(number, micros):
    payload = MARK + b'%08x%016x' % (number, micros)
    unit = bytes([6, 5, len(payload)]) + payload + b'\x80'
    return struct.pack('>I', len(unit)) + unit


def amf0(value):
    if isinstance(value, bool):
        return b'\x01' + bytes([value])
    if isinstance(value, (int, float)):
        return b'\x00' + struct.pack('>d', value)
    if value is None:
        return b'\x05'
    if isinstance(value, str):
        return b'\x02' + struct.pack('>H', len(value.encode())) + value.encode()
    pairs = (struct.pack('>H', len(key)) + key.encode() + amf0(item) for key, item in value.items())
    return b'\x03' + b''.join(pairs) + b'\x00\x00\x09'


class Publisher:
    """Enough of an RTMP client to publish: handshake, connect, createStream, publish."""

    CHUNK = 60000

    def __init__(self, url):
        address = urllib.parse.urlsplit(url)
        assert address.hostname == '127.0.0.1', url
        app, _, stream = address.path.strip('/').rpartition('/')
        self.socket = socket.create_connection((address.hostname, address.port), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile('rb')
        self.chunk_in, self.streams = 128, {}

        self.socket.sendall(b'\x03' + bytes(8) + bytes(1528))  # C0, C1
        s1 = self.reader.read(1 + 1536)[1:]
        self.socket.sendall(s1)  # C2 echoes S1
        self.reader.read(1536)  # S2

        self.send(CONTROL, SET_CHUNK_SIZE, 0, struct.pack('>I', self.CHUNK))
        self.command(0, 'connect', 1, {'app': app, 'type': 'nonprivate', 'flashVer': 'FMLE/3.0', 'tcUrl': url.rpartition('/')[0]})
        self.answer('_result')
        self.command(0, 'releaseStream', 2, None, stream)
        self.command(0, 'FCPublish', 3, None, stream)
        self.command(0, 'createStream', 4, None)
        self.stream_id = int(struct.unpack('>d', self.answer('_result', 4)[-8:])[0])
        self.command(self.stream_id, 'publish', 5, None, stream, 'live')
        self.answer('onStatus')
        self.socket.settimeout(None)
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self):
        try:
            while self.socket.recv(65536):
                pass
        except OSError:
            pass

    def command(self, stream_id, *values):
        self.send(COMMAND, COMMAND_AMF0, stream_id, b''.join(amf0(value) for value in values))

    def send(self, chunk_stream, kind, stream_id, body, timestamp=0):
        extended = struct.pack('>I', timestamp) if timestamp >= 0xFFFFFF else b''
        head = (0xFFFFFF if extended else timestamp).to_bytes(3, 'big') + len(body).to_bytes(3, 'big') + bytes([kind]) + struct.pack('<I', stream_id)
        pieces = [bytes([chunk_stream]), head, extended, body[:self.CHUNK]]
        for at in range(self.CHUNK, len(body), self.CHUNK):
            pieces += [bytes([0xC0 | chunk_stream]), extended, body[at:at + self.CHUNK]]
        self.socket.sendall(b''.join(pieces))

    def answer(self, name, transaction=None):
        """Reads messages until the named command (of that transaction) and returns its body."""
        while True:
            kind, body = self._message()
            if kind == SET_CHUNK_SIZE:
                self.chunk_in = struct.unpack('>I', body)[0] & 0x7FFFFFFF
            if kind != COMMAND_AMF0:
                continue
            length = struct.unpack('>H', body[1:3])[0]
            said, number = body[3:3 + length].decode(), struct.unpack('>d', body[4 + length:12 + length])[0]
            if said == '_error' or b'NetStream.Publish.BadName' in body or b'NetStream.Publish.Denied' in body:
                raise ConnectionError(f'refused: {body!r}')
            if said == name and transaction in (None, number):
                return body

    def _message(self):
        while True:
            first = self.reader.read(1)[0]
            form, chunk_stream = first >> 6, first & 63
            state = self.streams.setdefault(chunk_stream, {'body': b'', 'time': 0})
            head = self.reader.read((11, 7, 3, 0)[form])
            if form < 3:
                state['time'] = int.from_bytes(head[:3], 'big')
            if form < 2:
                state['length'], state['kind'] = int.from_bytes(head[3:6], 'big'), head[6]
            if state['time'] == 0xFFFFFF:
                self.reader.read(4)
            state['body'] += self.reader.read(min(self.chunk_in, state['length'] - len(state['body'])))
            if len(state['body']) == state['length']:
                body, state['body'] = state['body'], b''
                return state['kind'], body


def flv_tags(path):
    with open(path, 'rb') as file:
        file.seek(5)
        file.seek(int.from_bytes(file.read(4), 'big') + 4)
        while len(head := file.read(11)) == 11:
            body = file.read(int.from_bytes(head[1:4], 'big'))
            file.read(4)
            yield head[0], int.from_bytes(head[4:7], 'big') | head[7] << 24, body


def main():
    options = argparse.ArgumentParser(description='RTMP publisher that stamps every frame')
    options.add_argument('flv')
    options.add_argument('url')
    options.add_argument('--seconds', type=float, default=60)
    options.add_argument('--log', required=True)
    given = options.parse_args()

    publisher = Publisher(given.url)
    sent, begin, latest = [], None, 0.0
    for kind, timestamp, body in flv_tags(given.flv):
        if kind == DATA_AMF0:
            publisher.send(4, DATA_AMF0, publisher.stream_id, amf0('@setDataFrame') + body)
            continue
        begin = begin or time.monotonic() - timestamp / 1000
        wait = begin + timestamp / 1000 - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        latest = max(latest, -wait)
        if timestamp / 1000 > given.seconds:
            break
        if kind == VIDEO_MESSAGE and body[0] & 15 == 7 and body[1] == 1:  # AVC, a frame (not the configuration)
            micros = time.time_ns() // 1000
            body = body[:5] + sei(len(sent), micros) + body[5:]
            sent.append(micros)
        publisher.send(VIDEO if kind == VIDEO_MESSAGE else AUDIO, kind, publisher.stream_id, body, timestamp)
    publisher.command(0, 'FCUnpublish', 6, None, given.url.rpartition('/')[2])
    publisher.command(0, 'deleteStream', 7, None, publisher.stream_id)
    with open(given.log, 'w') as log:
        log.writelines(f'{number} {micros}\n' for number, micros in enumerate(sent))
        log.write(f'late {latest * 1e6:.0f}\n')


if __name__ == '__main__':
    main()
