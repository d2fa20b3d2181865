"""A cluster to break, whole again before every test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from tests.faults.checker import Verdict, judge
from tests.faults.crowd import Crowd
from tests.faults.history import History
from tests.faults.instances import Cluster, running_cluster

INSTANCES = 2


@pytest.fixture(scope="session")
async def shared_cluster() -> AsyncIterator[Cluster]:
    """Return the cluster that the tests of this worker break one after the other."""
    async with running_cluster(INSTANCES) as cluster:
        yield cluster


@pytest.fixture
async def cluster(shared_cluster: Cluster) -> Cluster:
    """Return two instances on a durable PostgreSQL and a Redis of their own, all whole."""
    await shared_cluster.whole()
    return shared_cluster


@pytest.fixture
def crowd(cluster: Cluster, chance: Random) -> Crowd:
    """Return a crowd without people yet, and without a history."""
    return Crowd(cluster, History(), chance)


class Court:
    """Judges what a crowd did and shows."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self._folder = folder
        self._cluster = cluster

    async def judge(self, crowd: Crowd) -> Verdict:
        """Write the history down and let the checker compare it with the database."""
        crowd.take_down()
        return await judge(crowd.history.write(self._folder / "history.jsonl"), self._cluster.database_url)


@pytest.fixture
def court(tmp_path: Path, cluster: Cluster) -> Court:
    """Return the judge of this test's history."""
    return Court(tmp_path, cluster)
