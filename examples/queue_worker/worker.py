"""A worker that charges for the jobs of a queue: once for each job that is done, however often it is delivered.

    export FAREBOX_URL=http://127.0.0.1:8000 SERVICE_KEY=fbs_...
    python examples/queue_worker/worker.py jobs.db add mer_... 3     # three images for this merchant
    python examples/queue_worker/worker.py jobs.db work              # does what there is, and ends
    python examples/queue_worker/worker.py jobs.db list

The queue is a SQLite file; in its place stands whatever you have that delivers a job again if its worker died. A job
names the merchant by its id: the API that took the job has checked the merchant's key, and no key is kept.

What a job costs is held before it runs, so nobody works for who can't pay, and captured when it is done. Each delivery
makes a hold of its own, and all captures of a job have one idempotency key: the second one is refused as a conflict,
which tells that an earlier delivery was charged. A hold of a worker that was killed runs out by itself.
"""

import os
import sqlite3
import sys
import time
from typing import Final

from farebox_client import Farebox, FareboxError, Hold, HoldExpired, IdempotencyConflict

HOLD_SECONDS: Final = 300
"""Longer than a job takes; a worker of longer ones extends its holds."""

PAUSE_SECONDS: Final = float(os.environ.get("JOB_SECONDS", "0.1"))

_TABLE: Final = """CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY, merchant TEXT NOT NULL, images INTEGER NOT NULL,
    deliveries INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'waiting'
)"""


def main(path: str, command: str, *arguments: str) -> None:
    """Add a job, do the jobs that wait, or list all."""
    queue = sqlite3.connect(path, isolation_level=None)
    queue.execute(_TABLE)
    if command == "add":
        queue.execute("INSERT INTO jobs (merchant, images) VALUES (?, ?)", arguments)
    elif command == "work":
        with Farebox(os.environ["FAREBOX_URL"], key=os.environ["SERVICE_KEY"]) as farebox:
            while (job := _delivered(queue)) is not None:
                state = _done(farebox, *job)
                queue.execute("UPDATE jobs SET state = ? WHERE id = ?", (state, job[0]))
    for row in queue.execute("SELECT id, merchant, images, deliveries, state FROM jobs ORDER BY id"):
        print(*row)
    queue.close()


def _delivered(queue: sqlite3.Connection) -> tuple[int, str, int, int] | None:
    """Take the next job; one whose worker was killed is waiting still, and is delivered again."""
    taken = """UPDATE jobs SET deliveries = deliveries + 1
        WHERE id = (SELECT id FROM jobs WHERE state = 'waiting' ORDER BY id)
        RETURNING id, merchant, images, deliveries"""
    rows: list[tuple[int, str, int, int]] = queue.execute(taken).fetchall()
    return rows[0] if rows else None


def _done(farebox: Farebox, number: int, merchant: str, images: int, delivery: int) -> str:
    """Do a job, and tell what became of it."""
    job = f"job-{number}"
    try:
        hold = farebox.open_hold(
            merchant=merchant, type="image", quantity=images, reference=job, ttl=HOLD_SECONDS, key=f"{job}:{delivery}"
        )
    except FareboxError as error:
        if error.status in (402, 403):
            return f"refused: {error.code}"
        raise
    try:
        _draw(images)
    except Exception:
        farebox.release(hold)
        raise
    _charge(farebox, hold, job, merchant, images)
    return "done"


def _charge(farebox: Farebox, hold: Hold, job: str, merchant: str, images: int) -> None:
    try:
        farebox.capture(hold, reference=job, key=f"{job}:done")
    except HoldExpired:
        farebox.charge(
            merchant=merchant, type="image", quantity=images, reference=job, above="uncollected", key=f"{job}:done"
        )
    except IdempotencyConflict:
        # An earlier delivery was charged, and its worker was killed before it could tell the queue.
        farebox.release(hold)


def _draw(images: int) -> None:
    for _ in range(images):
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
