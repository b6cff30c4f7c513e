"""The library that images bring along does what the compiled kernel does, without numba."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ippolicy.ipamd.fast import compiled, library

PLAYED = """
import sys
sys.modules["numba"] = None  # importing it fails
import numpy as np
from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.fast import Trace, compiled, replay_grid
if len(sys.argv) > 1:
    from pathlib import Path
    compiled.PREBUILT = Path(sys.argv[1])
else:
    del sys.modules["numba"]
day_s = 86_400.0
starts = np.sort(np.random.default_rng(7).uniform(0.0, day_s, 400))
pods = np.stack([starts, np.full(400, 1_900.0)], axis=1)
settings = [PoolSettings(WarmTargets(warm_ip=2, minimum_ip=10)), PoolSettings(WarmTargets())]
node = NodeShape("m5.xlarge", eni_limit=4, addresses_per_eni=15, max_pods=58)
grid = replay_grid([node] * 2, [Trace.of_pods(pods, day_s)] * 2, settings, seed=3)
print(grid.delayed.tolist(), grid.mean_idle.tolist(), grid.total_calls.tolist())
"""


@pytest.mark.full
@pytest.mark.timeout(300)
def test_a_library_plays_as_the_compiled_kernel_does_where_there_is_no_numba(
    tmp_path: Path,
) -> None:
    library.export(compiled.build(None), tmp_path / library.file_name(compiled._fingerprint()))
    assert played(str(tmp_path)) == played()


def played(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PLAYED, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_a_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    path = tmp_path / library.file_name("sources")
    path.write_bytes(b"no machine code")
    with pytest.raises(OSError, match="replay-sources"):
        library.load(path)


def test_an_array_that_the_kernel_may_not_write_to_is_refused() -> None:
    array = np.zeros(4)
    array.flags.writeable = False
    with pytest.raises(TypeError, match="writeable"):
        library._words(array)
    with pytest.raises(TypeError, match="contiguous"):
        library._words(np.zeros((4, 4))[:, ::2])
