"""The list of variables that the pool obeys is whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ippolicy.ipamd import PoolSettings, check_entry_point
from ippolicy.ipamd.settings import ENV_KEYS


class Noting(Mapping[str, str]):
    """An environment with everything set, that notes what is asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> str:
        self.asked.add(key)
        return "1"

    def __contains__(self, key: object) -> bool:
        self.asked.add(str(key))
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_ipamd_reads_these_variables_and_no_others() -> None:
    env = Noting()
    PoolSettings.from_env(env)
    check_entry_point(env)
    assert env.asked == set(ENV_KEYS)
