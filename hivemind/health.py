"""Whether this server can do its work: database, provider, disk, money, and what operators switched off.

Read by people, proxies and the watchdog.
"""

import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

import trio

from hivemind.agents.switch import Stage, Switch
from hivemind.budgets import Prices, strained
from hivemind.errors import DatabaseUnavailable, PriceUnknown, ProviderError
from hivemind.persistence import Database, Jsonb, Row, load_queries
from hivemind.providers import Calls

Status = Literal["ok", "degraded", "down"]
_ORDER: tuple[Status, ...] = ("ok", "degraded", "down")
_LOW_DISK_BYTES = 512 * 1024 * 1024
_PROVIDER_FRESH_SECONDS = 15.0
_BUDGETS_SECONDS = 1.0
_QUERIES = load_queries("hivemind", "health.sql")
_CHECKS = ("database", "provider", "disk", "budgets", "kill_switch")


@dataclass(frozen=True, slots=True)
class Check:
    """What one part says of itself, and what to do when that is not good."""

    status: Status
    message: str | None = None
    remedy: str | None = None

    def as_dict(self) -> dict[str, str]:
        """Without what is not there."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Report:
    """All checks, and the worst of them."""

    checks: dict[str, Check] = field(default_factory=dict)

    @property
    def status(self) -> Status:
        """The worst status of any part."""
        return max((check.status for check in self.checks.values()), key=_ORDER.index, default="ok")


async def keep(database: Database, report: Report) -> None:
    """Keep a report as a row, for 30 days."""
    checks = {name: check.as_dict() for name, check in report.checks.items()}
    await database.execute(_QUERIES["record"], (report.status, Jsonb(checks)))


async def history(database: Database, since: datetime, after: int | None, limit: int) -> list[Row]:
    """The rows from `since` on and before the one with the id `after`, newest first."""
    params = {"since": since, "after": after, "limit": limit}
    return await database.fetch_all(_QUERIES["history"], params, repeatable=True)


class Health:
    """The checks of one server. The provider is asked every 15 s or after a failed call, the rest always."""

    def __init__(
        self, database: Database, calls: Calls, prices: Prices, folder: Path, switch: Switch
    ) -> None:
        self._database = database
        self._calls = calls
        self._prices = prices
        self._folder = folder
        self._switch = switch
        self._provider = Check("degraded", "not asked yet")
        self._provider_at = float("-inf")
        self._failures: object = None

    async def check(self) -> Report:
        """Ask every part."""
        checks: dict[str, Check] = {}

        async def ask(name: str, question: Callable[[], Awaitable[Check]]) -> None:
            checks[name] = await question()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "database", self._check_database)
            nursery.start_soon(ask, "provider", self._check_provider)
            nursery.start_soon(ask, "disk", self._check_disk)
            nursery.start_soon(ask, "budgets", self._check_budgets)
        checks["kill_switch"] = self._check_switch()
        return Report({name: checks[name] for name in _CHECKS})

    async def _check_database(self) -> Check:
        try:
            await self._database.ping()
        except DatabaseUnavailable as error:
            return Check("down", "the database does not answer", error.remedy)
        return Check("ok")

    def _check_switch(self) -> Check:
        setting = self._switch.setting
        if setting is None:
            return Check("degraded", "not known while the database does not answer: nothing new begins")
        if setting.stage == Stage.NOTHING:
            return Check("ok")
        back = setting.stage - 1
        return Check(
            "degraded",
            f"stage {setting.stage:d}: {setting}",
            f"`hivemind kill-switch {back} --reason ...` goes back",
        )

    async def _check_provider(self) -> Check:
        if self._switch.refuses(Stage.EVERYTHING):
            return Check("degraded", "not asked while everything is switched off")
        now = trio.current_time()
        fresh = now - self._provider_at < _PROVIDER_FRESH_SECONDS
        failures = self._calls.facts()["failures"]
        if self._provider.status == "ok" and fresh and failures == self._failures:
            return self._provider
        try:
            await self._calls.ping()
        except ProviderError as error:
            self._provider = Check("degraded", error.message, error.remedy)
        else:
            self._provider = Check("ok", f"{self._calls.name}: {self._calls.default_model}")
        self._provider_at = now
        self._failures = failures
        return self._provider

    async def _check_disk(self) -> Check:
        free = (await trio.to_thread.run_sync(shutil.disk_usage, self._folder)).free
        if free < _LOW_DISK_BYTES:
            return Check("degraded", f"{free // 2**20} MB left at {self._folder}", "make room on this disk")
        return Check("ok")

    async def _check_budgets(self) -> Check:
        try:
            self._prices.of(self._calls.name, self._calls.default_model)
        except PriceUnknown as error:
            return Check("degraded", error.message, error.remedy)
        caps = None
        with trio.move_on_after(_BUDGETS_SECONDS), suppress(DatabaseUnavailable):
            caps = await strained(self._database)
        if caps is None:
            return Check("degraded", "not known while the database does not answer")
        if not caps:
            return Check("ok")
        told = "; ".join(f"{cap.words} is at {cap.share:.0%}" for cap in caps[:3])
        more = f"; and {len(caps) - 3} more" if len(caps) > 3 else ""
        return Check("degraded", told + more, "see `hivemind budget`; raise the cap or wait")
