"""What /proc says: CPU and memory of a server and all its children, and how busy the machine was meanwhile."""

import os
import platform
import subprocess
from dataclasses import dataclass

TICKS = os.sysconf('SC_CLK_TCK')


def _stat(pid):
    with open(f'/proc/{pid}/stat') as file:
        return file.read().rpartition(')')[2].split()  # field 3 (state) is index 0


def family(pid):
    """The process and all its living descendants."""
    children = {}
    for name in os.listdir('/proc'):
        if name.isdigit():
            try:
                children.setdefault(int(_stat(name)[1]), []).append(int(name))
            except OSError:
                pass  # ended while we looked
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        queue += children.get(one, [])
    return found


def program(pid):
    """Name of the program a process runs; empty when it has ended."""
    try:
        with open(f'/proc/{pid}/comm') as file:
            return file.read().strip()
    except OSError:
        return ''


def cpu_seconds(pid):
    """User and system time of the family, children that have ended included."""
    ticks = 0
    for one in family(pid):
        try:
            ticks += sum(int(field) for field in _stat(one)[11:15])
        except OSError:
            pass
    return ticks / TICKS


def resident_mib(pid):
    """Memory of the family. Of files without a name all pages count, whether a process has looked at them or only a socket has."""
    kib = 0
    for one in family(pid):
        try:
            with open(f'/proc/{one}/status') as file:
                fields = dict(line.split(':', 1) for line in file)
            kib += int(fields['VmRSS'].split()[0]) - int(fields['RssShmem'].split()[0])
            for number in os.listdir(f'/proc/{one}/fd'):
                path = f'/proc/{one}/fd/{number}'
                if os.readlink(path).startswith('/memfd:'):
                    kib += os.stat(path).st_blocks / 2
        except (OSError, KeyError):
            pass
    return kib / 1024


@dataclass
class Usage:
    """The whole machine between two looks, in percent of all cores."""

    idle: float
    steal: float


class Watch:
    def __init__(self):
        self.before = self._read()

    @staticmethod
    def _read():
        with open('/proc/stat') as file:
            return [int(field) for field in file.readline().split()[1:9]]

    def usage(self):
        delta = [b - a for a, b in zip(self.before, self._read())]
        total = sum(delta) or 1
        return Usage(idle=100 * (delta[3] + delta[4]) / total, steal=100 * delta[7] / total)


def describe():
    """One line for the head of a table: a number without its machine says nothing."""
    model = platform.machine()
    with open('/proc/cpuinfo') as file:
        for line in file:
            if line.startswith('model name'):
                model = line.partition(':')[2].strip()
                break
    with open('/proc/meminfo') as file:
        gib = int(file.readline().split()[1]) / 2**20
    return f'{os.cpu_count()} cores of {model}, {gib:.0f} GiB, Linux {platform.release()}'


def commit():
    here = os.path.dirname(os.path.abspath(__file__))
    shown = subprocess.run(['git', '-C', here, 'describe', '--always', '--dirty'], capture_output=True, text=True)
    return shown.stdout.strip() or 'unknown'
