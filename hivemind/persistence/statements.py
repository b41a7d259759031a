"""How one connection says a statement with parameters, and reads what comes back.

psycopg's adaptation, wire code and waiting points, without the cursor between them, which looks up for each
execution what the one before it knew: 20 µs of a processor's time in every statement. Statements that take
no parameters stay with the cursor.

Beyond psycopg's public interface it uses the methods of `Transformer` and `generators.execute`: hence the
upper bound on psycopg, and a contract test.
"""

from collections.abc import Sequence
from itertools import count
from typing import Any

import psycopg
from psycopg import errors, pq
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.generators import execute

Row = dict[str, Any]
_Key = tuple[str, tuple[int, ...] | None]

MAX_PREPARED = 200
"""How many statements a connection keeps prepared; what comes later is sent whole each time."""

MAX_SEEN = 1_000
"""How many it knows at all: who makes statements up anew each time is no reason to grow."""

_DONE = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


class Statements:
    """A statement is prepared once it came `prepare_threshold` times with parameters of the same types.

    With None none ever is, as a pooler in transaction mode asks for.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Any], prepare_threshold: int | None) -> None:
        self._pgconn = connection.pgconn
        self._adaptation = Transformer(connection)
        self._threshold = prepare_threshold
        self._numbered: dict[str, tuple[bytes, list[PyFormat]]] = {}
        self._prepared: dict[_Key, bytes] = {}
        self._seen: dict[_Key, int] = {}
        self._names = count(1)

    def ask(self, sql: str, params: Sequence[object]) -> PQGen[pq.abc.PGresult]:
        """Send and wait for the answer; raises what Postgres says to it."""
        numbered = self._numbered.get(sql)
        if numbered is None or len(numbered[1]) != len(params):
            numbered = _numbered(sql, len(params))
            if len(self._numbered) < MAX_SEEN:
                self._numbered[sql] = numbered
        query, formats = numbered
        adaptation, pgconn = self._adaptation, self._pgconn
        values = adaptation.dump_sequence(params, formats)
        key = sql, adaptation.types
        name = self._prepared.get(key)
        if name is None and self._is_due(key):
            name = b"hm%d" % next(self._names)
            pgconn.send_prepare(name, query, adaptation.types)
            self._done((yield from execute(pgconn)))
            self._prepared[key] = name
        if name is None:
            pgconn.send_query_params(query, values, adaptation.types, adaptation.formats)
        else:
            pgconn.send_query_prepared(name, values, adaptation.formats)
        try:
            return self._done((yield from execute(pgconn)))
        except (errors.FeatureNotSupported, errors.InternalError_):
            # What the statement names may have been dropped and made anew under the running server.
            self._prepared.pop(key, None)
            raise

    def rows(self, result: pq.abc.PGresult) -> list[Row]:
        """The rows of an answer, each column under its name."""
        names = [(result.fname(i) or b"").decode() for i in range(result.nfields)]
        adaptation = self._adaptation
        adaptation.set_pgresult(result)
        return adaptation.load_rows(0, result.ntuples, lambda values: dict(zip(names, values, strict=True)))

    def _is_due(self, key: _Key) -> bool:
        """Count a statement that is not prepared; whether it is to be now."""
        if self._threshold is None or len(self._prepared) >= MAX_PREPARED:
            return False
        if len(self._seen) >= MAX_SEEN:
            self._seen.clear()
        times = self._seen[key] = self._seen.get(key, 0) + 1
        return times > self._threshold

    def _done(self, results: list[pq.abc.PGresult]) -> pq.abc.PGresult:
        result = results[-1]
        if result.status not in _DONE:
            raise errors.error_from_result(result, encoding="utf-8")
        return result


def _numbered(sql: str, params: int) -> tuple[bytes, list[PyFormat]]:
    """A statement as Postgres takes it: `$1` for the first `%s`."""
    try:
        query = sql % tuple(f"${number}" for number in range(1, params + 1))
    except TypeError as error:
        raise psycopg.ProgrammingError(f"{error}: {params} parameters for {sql!r}") from error
    return query.encode(), [PyFormat.AUTO] * params
