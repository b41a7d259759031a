"""Postgres: statements and transactions, named queries, migrations, and an embedded server."""

from psycopg import Error as SqlError
from psycopg.errors import ForeignKeyViolation, UniqueViolation
from psycopg.types.json import Jsonb

from hivemind.persistence.connection import Params
from hivemind.persistence.database import Database, Transaction
from hivemind.persistence.dump import dump, restore
from hivemind.persistence.embedded import EmbeddedPostgres, conninfo_in_use
from hivemind.persistence.migrations import migrate
from hivemind.persistence.queries import load_queries
from hivemind.persistence.statements import Row

__all__ = [
    "Database",
    "EmbeddedPostgres",
    "ForeignKeyViolation",
    "Jsonb",
    "Params",
    "Row",
    "SqlError",
    "Transaction",
    "UniqueViolation",
    "conninfo_in_use",
    "dump",
    "load_queries",
    "migrate",
    "restore",
]
