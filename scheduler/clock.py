"""APScheduler knocks; each knock is one transaction of one job."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, timedelta

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from scheduler.jobs import Job
from server.core import clock
from server.core.actor import SYSTEM
from server.core.db import Database
from server.core.errors import DomainError

log = structlog.get_logger(__name__)
FIRST_KNOCK = timedelta(seconds=5)


def wound(database: Database, jobs: Sequence[Job]) -> AsyncIOScheduler:
    """Return a clock that knocks for these jobs once it is started; the first time within seconds."""
    scheduler = AsyncIOScheduler(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1})
    for job in jobs:
        scheduler.add_job(
            knock,
            "interval",
            args=(database, job),
            seconds=job.every.total_seconds(),
            jitter=job.every.total_seconds() / 10,
            next_run_time=clock.now() + FIRST_KNOCK * random.random(),
            id=job.name,
        )
    return scheduler


async def knock(database: Database, job: Job) -> int:
    """Do a job once; return how much there was to do. A database that is away is asked again next time."""
    try:
        async with database.begin(SYSTEM) as tx:
            count = await job.action(tx)
    except DomainError as away:
        log.warning("job_postponed", job=job.name, code=away.case.code)
        return 0
    log.info("job_done", job=job.name, count=count)
    return count
