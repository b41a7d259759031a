"""Promise: a server has the same id after a restart, and no two that run have the same."""

from hivemind.serverid import FILE, server_id


def test_the_id_stays_and_is_nobody_elses(tmp_path):
    with server_id(tmp_path) as first, server_id(tmp_path) as beside:
        assert first != beside
    with server_id(tmp_path) as again:
        assert again == first


def test_a_file_that_holds_no_id_is_made_anew(tmp_path):
    (tmp_path / FILE).write_text("cut o")
    with server_id(tmp_path) as made:
        pass
    assert (tmp_path / FILE).read_text() == str(made)
