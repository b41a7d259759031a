"""Documents are stored with their passages and found by their words."""

from functools import partial

import pytest
import trio
from uuid_utils.compat import uuid7

from hivemind import knowledge
from hivemind.errors import InvalidFields, NotFound
from hivemind.knowledge import Draft
from hivemind.persistence import Database, migrate

create, replace, delete = (
    partial(change, by="test") for change in (knowledge.create, knowledge.replace, knowledge.delete)
)


@pytest.fixture
def with_database(database_url):
    def run(test):
        async def main():
            async with Database(database_url, size=2, wait_seconds=10) as database:
                await migrate(database, report=lambda _: None)
                await test(database)

        trio.run(main)

    return run


TERMS = "Refunds take fourteen days.\n\nShipping to Norway costs nine euros.\n\n" + "Filler sentence. " * 200


def test_a_passage_is_found_by_its_words(with_database):
    async def test(database):
        document = await create(database, Draft("Terms", TERMS, source="https://example.com/terms"))
        assert document.passages > 2
        await create(database, Draft("Other", "Cats sleep a lot."))
        found = await knowledge.search(database, "refund")
        assert [passage.document_id for passage in found] == [document.id]
        assert "Refunds take fourteen days" in found[0].text
        assert (await knowledge.passage(database, found[0].id)).text == found[0].text

    with_database(test)


def test_a_question_in_a_sentence_finds_what_holds_a_third_of_its_words(with_database):
    async def test(database):
        await create(database, Draft("Terms", TERMS))
        found = await knowledge.search(database, "How much do I pay for shipping a parcel to Norway?")
        assert "nine euros" in found[0].text
        assert await knowledge.search(database, "Do elephants in Norway read novels quickly?") == []
        assert await knowledge.search(database, "the of and") == []

    with_database(test)


def test_the_best_comes_first_and_the_title_counts(with_database):
    async def test(database):
        await create(database, Draft("Cats", "They sleep, and some dogs do."))
        titled = await create(database, Draft("Dogs", "They bark."))
        found = await knowledge.search(database, "dogs")
        assert len(found) == 2
        assert found[0].document_id == titled.id

    with_database(test)


ODD = [
    "'",
    "a & | !",
    "(((",
    '"',
    "-",
    "x" * 1000,
    "foo:* & bar",
    "\\",
    "it's 'q''uoted' & \\'",
    "a <-> b",
    "🙂",
]


def test_whatever_is_asked_is_only_words(with_database):
    async def test(database):
        await create(database, Draft("Terms", "it's 'quoted' & a <-> b foo:* bar \\ words"))
        for query in ODD:
            await knowledge.search(database, query)

    with_database(test)


def test_each_document_is_read_in_its_language(with_database):
    async def test(database):
        await create(database, Draft("AGB", "Die Rückerstattungen dauern vierzehn Tage.", language="german"))
        await create(database, Draft("Terms", "The houses are sold."))
        assert len(await knowledge.search(database, "Rückerstattung")) == 1
        assert len(await knowledge.search(database, "house")) == 1
        with pytest.raises(InvalidFields):
            await create(database, Draft("X", "x", language="klingon"))
        assert len(await knowledge.documents(database, collection=None, after=None, limit=9)) == 2

    with_database(test)


def test_a_collection_keeps_to_itself(with_database):
    async def test(database):
        inside = await create(database, Draft("A", "refund secret", collection="staff"))
        await create(database, Draft("B", "refund public"))
        found = await knowledge.search(database, "refund", collections=["staff"])
        assert [passage.document_id for passage in found] == [inside.id]
        assert await knowledge.search(database, "refund", collections=["nothing"]) == []
        assert await knowledge.search(database, "refund", collections=[]) == []
        assert len(await knowledge.search(database, "refund")) == 2

    with_database(test)


def test_a_changed_document_has_new_passages_and_a_deleted_one_none(with_database):
    async def test(database):
        document = await create(database, Draft("Terms", "Refunds take fourteen days."))
        (old,) = await knowledge.search(database, "refunds")
        changed = await replace(database, document.id, Draft("Terms", "Refunds\r\ntake thirty days."))
        assert changed.created_at == document.created_at
        (new,) = await knowledge.search(database, "refunds")
        assert new.id != old.id
        assert new.text == "Refunds\ntake thirty days."
        assert await knowledge.passage(database, old.id) is None
        await delete(database, document.id)
        assert await knowledge.search(database, "refunds") == []
        for missing in (delete(database, document.id), knowledge.document(database, document.id)):
            with pytest.raises(NotFound):
                await missing
        with pytest.raises(NotFound):
            await replace(database, uuid7(), Draft("X", "x"))
        rows = await database.fetch_all("select action from audit_log order by id")
        assert [row["action"].rpartition(":")[2] for row in rows] == ["created", "changed", "deleted"]

    with_database(test)
