"""Named queries: what is in the file under a name is what is sent, and a careless file is refused."""

import pytest

from hivemind.errors import ConfigError
from hivemind.persistence.queries import parse_queries


def test_each_name_gets_its_sql_without_the_comment_about_it():
    queries = parse_queries(
        "-- All about turns.\n\n-- name: admit\n-- Takes it in.\n-- Or not.\n\ninsert into t\n"
        "values (1); -- why one\n\n-- name: commit_turn\nupdate t\n-- keep this\nset x = 1;\n"
    )
    assert dict(queries) == {
        "admit": "insert into t\nvalues (1); -- why one",
        "commit_turn": "update t\n-- keep this\nset x = 1",
    }


def test_the_mapping_cannot_be_changed():
    with pytest.raises(TypeError):
        parse_queries("-- name: a\nselect 1")["a"] = "drop table t"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("select 1;\n-- name: a\nselect 2", "before its first"),
        ("-- name: a\nselect 1\n-- name: a\nselect 2", "two queries named a"),
        ("-- name: a\n-- only words\n-- name: b\nselect 2", "a is empty"),
    ],
)
def test_a_careless_file_is_refused(text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        parse_queries(text)
