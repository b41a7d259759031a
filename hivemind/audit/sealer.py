"""The sealer: makes committed rows part of the chain, signs where it ends, erases what is too old.

Fail-soft: what cannot be sealed now is sealed later. Signed heads also go to a file, so that a log which
was cut off in the database is found by something that is not in the database.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import trio

from hivemind.actors import Actor
from hivemind.audit.actions import Action
from hivemind.audit.log import Sealed, expire, record, seal
from hivemind.audit.signature import HeadKey
from hivemind.errors import DatabaseUnavailable
from hivemind.persistence import Database, load_queries

log = logging.getLogger("hivemind.audit")

SEAL_SECONDS = 1.0
STOP_SECONDS = 5.0
EXPIRE_SECONDS = 3600.0
HEADS_FILE = "audit_heads.ndjson"
_QUERIES = load_queries("hivemind.audit", "queries.sql")


class Sealer(Actor):
    """One chain has one sealer at a time: the database's lock sees to it, this actor only to the pace."""

    mode = "task"
    kind: ClassVar[str] = "sealer"

    def __init__(
        self, database: Database, key: HeadKey, heads_file: Path, head_seconds: float, keep_days: int | None
    ) -> None:
        self._database = database
        self._key = key
        self._heads_file = heads_file
        self._head_seconds = head_seconds
        self._keep_days = keep_days
        self._expired_to = datetime.min.replace(tzinfo=UTC)
        self._end: Sealed | None = None
        self._signed_seq = 0
        self._sealed = 0
        self._sign_at: float | None = None

    def on_start(self) -> None:
        """Begin to seal."""
        self.spawn_task(self._seal_on)
        if self._keep_days is not None:
            self.spawn_task(self._expire_on, timedelta(days=self._keep_days))

    async def on_stop(self) -> None:
        """Leave a log that is sealed and signed to its end, if the database still answers."""
        with trio.move_on_after(STOP_SECONDS):
            try:
                await record(self._database, Action.SERVER_STOPPED, detail={})
                self._sign_at = None
                await self._step()
            except DatabaseUnavailable as error:
                log.warning("the audit log ends unsigned: %s", error)

    def facts(self) -> Mapping[str, object]:
        """Where the chain ends, how many rows this sealer put there, and up to where it is signed."""
        return {
            "seq": self._end.seq if self._end else None,
            "sealed": self._sealed,
            "signed": self._signed_seq,
        }

    async def _seal_on(self) -> None:
        while True:
            try:
                await self._step()
            except DatabaseUnavailable as error:
                log.warning("sealing waits for the database: %s", error)
            await trio.sleep(SEAL_SECONDS)

    async def _expire_on(self, age: timedelta) -> None:
        while True:
            before = datetime.now(UTC) - age
            try:
                while (at := await expire(self._database, self._expired_to, before)) is not None:
                    self._expired_to = at
            except DatabaseUnavailable as error:
                log.warning("old rows wait to be erased: %s", error)
            await trio.sleep(EXPIRE_SECONDS)

    async def _step(self) -> None:
        end = self._end = await seal(self._database)
        self._sealed += end.rows
        if end.seq > self._signed_seq and (self._sign_at is None or trio.current_time() >= self._sign_at):
            await sign(self._database, self._key, self._heads_file, end)
            self._signed_seq = end.seq
            self._sign_at = trio.current_time() + self._head_seconds


async def sign(database: Database, key: HeadKey, heads_file: Path, end: Sealed) -> None:
    """Sign where the chain ends, in the table and in the file."""
    signed_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    head = key.sign(end.seq, end.hash.hex(), signed_at)
    written = await database.execute(
        _QUERIES["sign"],
        (head.seq, end.hash, signed_at, head.key_id, bytes.fromhex(head.signature)),
        repeatable=True,
    )
    if written:
        async with await trio.open_file(heads_file, "a", encoding="ascii") as file:
            await file.write(json.dumps(asdict(head)) + "\n")
