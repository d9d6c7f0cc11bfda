"""Memory that the command keeps goes back to the system when it is told to, however small what lies between."""

import subprocess
import sys

import pytest

CODE = """
import re
from purezoo.__main__ import keep_freed_memory
from purezoo.train.heap import hand_back

def megabytes():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) // 1024

keep_freed_memory()
large = [bytearray(size) for _ in range(40) for size in (10_000_000, 5_000)][1::2]
kept = megabytes()
hand_back()
print(kept, megabytes())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap")
def test_free_memory_between_what_is_used_is_handed_back():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 350
    assert left < 100
