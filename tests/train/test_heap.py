"""Memory that the command keeps goes back to the system where the process grows, however small what lies between."""

import subprocess
import sys

import pytest

from purezoo.train import heap

CODE = """
import re
from purezoo.__main__ import keep_freed_memory
from purezoo.train.heap import Heap

def megabytes():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) // 1024

keep_freed_memory()
heap = Heap()
heap.look()
large = [bytearray(size) for _ in range(40) for size in (10_000_000, 5_000)][1::2]
kept = megabytes()
heap.look()
print(kept, megabytes())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap")
def test_free_memory_between_what_is_used_is_handed_back():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 350
    assert left < 100


def test_not_where_it_stays_and_not_all_the_time(monkeypatch):
    sizes, handed = iter([3e9, 4e9, 8e9, 8e9, 12e9, 3e9, 12e9]), []
    times = iter([0, 1, 2, 3, 4, 20, 40])
    monkeypatch.setattr(heap, "resident", lambda: next(sizes))
    monkeypatch.setattr(heap.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(heap, "hand_back", lambda: handed.append(now[0]))
    watched, now = heap.Heap(), [0.0]
    for now[0] in times:
        watched.look()
    assert handed == [2, 40]  # 8e9 is usual after the first time, and 12e9 comes too soon
