"""What a release applies to a database, and which databases it refuses."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.errors import ConfigError, MigrationRefused
from hivemind.persistence.migrations import Applied, Migration, load, plan, shipped


def of(*names):
    return [
        Migration(int(n[:4]), n.split("_")[1], n, f"-- {n}", hashlib.sha256(n.encode()).hexdigest())
        for n in names
    ]


def done(*names):
    return {m.version: Applied(m.name, m.sha256) for m in of(*names)}


def names(migrations):
    return [m.name for m in migrations]


def test_what_is_missing_is_applied_in_order():
    assert names(plan(of("0001_pre_a", "0002_post_b", "0003_pre_c"), done("0001_pre_a"))) == [
        "0002_post_b",
        "0003_pre_c",
    ]
    assert plan(of("0001_pre_a"), done("0001_pre_a")) == []


def test_before_the_old_release_is_gone_only_pre_files_are_applied_and_the_post_files_follow():
    files = of("0001_pre_a", "0002_post_b", "0003_pre_c")
    assert names(plan(files, {}, through="pre")) == ["0001_pre_a", "0003_pre_c"]
    assert names(plan(files, done("0001_pre_a", "0003_pre_c"))) == ["0002_post_b"]


@pytest.mark.parametrize(
    ("files", "applied"),
    [
        (["0001_pre_a", "0002_pre_b"], ["0002_pre_b"]),
        (["0001_post_a", "0002_post_b"], ["0002_post_b"]),
        (["0001_pre_a", "0002_post_b"], ["0002_post_b"]),
    ],
)
def test_a_file_that_comes_too_late_is_refused(files, applied):
    with pytest.raises(MigrationRefused, match="too late"):
        plan(of(*files), done(*applied))


def test_an_edited_file_is_refused():
    with pytest.raises(MigrationRefused, match="edited"):
        plan(of("0001_pre_a"), {1: Applied("0001_pre_a", "0" * 64)})


def test_a_newer_database_is_refused_unless_it_only_has_what_an_update_leaves_when_rolled_back():
    with pytest.raises(MigrationRefused, match="does not know") as caught:
        plan(of("0001_pre_a"), done("0001_pre_a", "0002_post_b"))
    assert caught.value.remedy
    assert plan(of("0001_pre_a"), done("0001_pre_a", "0002_pre_b")) == []


@given(st.lists(st.sampled_from(["pre", "post"]), max_size=12), st.lists(st.integers(0, 12), max_size=4))
def test_however_releases_are_cut_every_file_is_applied_once_and_the_end_is_the_same(stages, cuts):
    """Upgrade through any releases, each first its pre files and then its post files."""
    files = of(*(f"{n + 1:04}_{stage}_x" for n, stage in enumerate(stages)))
    applied = {}
    for cut in [*sorted(cuts), len(files)]:
        for stage in ("pre", "post"):
            for migration in plan(files[:cut], applied, through=stage):
                assert migration.version not in applied
                applied[migration.version] = Applied(migration.name, migration.sha256)
    assert applied.keys() == {m.version for m in files}


@pytest.mark.parametrize("filename", ["1_pre_a.sql", "0001_a.sql", "0001_mid_a.sql", "0001_pre_A.sql"])
def test_a_name_that_says_too_little_is_refused(tmp_path, filename):
    (tmp_path / filename).write_text("select 1")
    with pytest.raises(ConfigError, match="no name for a migration"):
        load(tmp_path)


def test_two_files_with_one_number_are_refused_and_other_files_ignored(tmp_path):
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "0001_pre_a.sql").write_text("-- no transaction\nselect 1")
    (migration,) = load(tmp_path)
    assert not migration.in_transaction
    (tmp_path / "0001_post_b.sql").write_text("select 1")
    with pytest.raises(ConfigError, match="number 0001"):
        load(tmp_path)


def test_the_migrations_of_this_release_are_found():
    assert load(shipped())[0].version == 1
