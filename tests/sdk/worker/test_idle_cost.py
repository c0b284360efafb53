"""What a worker costs the database while nothing happens."""

import asyncio
from datetime import timedelta
from pathlib import Path

from perdure import workflow
from perdure.client import Client
from perdure.worker import Worker
from perdure_history.sql import writer
from perdure_history.sql.readers import Readers

LIMIT = 20.0
BEATS = 36
"""Six sweeps, in which workers, due runs, messages and held runs are looked for."""
SECONDS_BETWEEN_BEATS = 5
"""In the default lease, 15 seconds."""


@workflow.defn
async def waits() -> None:
    await workflow.wait_condition(lambda: False)


@workflow.defn
async def sleeps() -> None:
    await workflow.sleep(timedelta(hours=1))


async def test_an_idle_worker_asks_the_database_with_its_heartbeats_only(tmp_path: Path, monkeypatch, figure):
    """Statements of all connections, with runs in hand that only wait. Anything that polls in between is many more."""
    statements: list[str] = []
    connect, open_reader = writer.connect_writer, Readers._open

    def note(statement: str) -> None:
        # Whether others committed is asked of SQLite itself, 20 times a second: a number, without a look at a table.
        if statement != "PRAGMA data_version":
            statements.append(statement)

    def traced(path: str):
        connection = connect(path)
        connection.set_trace_callback(note)
        return connection

    async def traced_reader(readers: Readers):
        connection = await open_reader(readers)
        await connection.set_trace_callback(note)
        return connection

    monkeypatch.setattr(writer, "connect_writer", traced)
    monkeypatch.setattr(Readers, "_open", traced_reader)
    async with await Client.connect(f"sqlite:///{tmp_path}/runs.db") as client:
        beats = asyncio.Semaphore(0)
        beat = client.store.beat

        async def counted(incarnation: str) -> int:
            beats.release()
            return await beat(incarnation)

        monkeypatch.setattr(client.store, "beat", counted)
        async with Worker(client, workflows=[waits, sleeps], lease=timedelta(seconds=0.9)):
            for number in range(3):
                await client.start_workflow(waits, id=f"w{number}")
                await client.start_workflow(sleeps, id=f"s{number}")
            async with asyncio.timeout(LIMIT):
                await beats.acquire()
                await beats.acquire()
                statements.clear()
                for _ in range(BEATS):
                    await beats.acquire()
            counted_statements = list(statements)

    a_second = len(counted_statements) / BEATS / SECONDS_BETWEEN_BEATS
    figure(
        f"idle worker: {len(counted_statements) / BEATS:.1f} statements a heartbeat, {a_second:.2f} a second"
    )
    assert counted_statements
    assert a_second < 1, counted_statements
