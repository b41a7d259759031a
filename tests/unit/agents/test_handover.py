"""What goes back to a client in the arguments of its tools: what it has sent itself, and nothing else internal."""

import json

import pytest

from hivemind.agents.given import Given
from hivemind.agents.handover import Sent, handed_over
from hivemind.guards import Guards
from hivemind.providers import ProviderMessage, ToolCall, ToolSpec

GUARDS = Guards.load()


def arguments(values, *texts):
    call = ToolCall("c", "t", json.dumps(values))
    return json.loads(handed_over(call, Sent(texts), GUARDS.check_output).arguments)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("/home/ada/a.py", "look at /home/ada/a.py, please"),
        ("/home/ada/a.py", json.dumps({"text": 'x = 1\n"/home/ada/a.py"\n'})),
        ("/home/ada/new/deep/b.py", "in /home/ada"),
        ("/home/ada/b.py", "/home/ada/a.py"),
        (r"C:\Users\ada\a.txt", r"see C:\Users\ada\a.txt"),
        (r"C:\Users\ada\a.txt", json.dumps({"path": r"C:\Users\ada\a.txt"})),
        ("192.168.7.9", "the box is 192.168.7.9."),
        ("~/work/x.md", "~/work"),
    ],
)
def test_what_was_sent_comes_back(value, said):
    assert arguments({"a": [value]}, "nothing", said) == {"a": [value]}
    assert value not in str(arguments({"a": [value]}, "nothing"))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("192.168.7.9", "the box is 192.168.7.99"),
        ("192.168.7.9", "the box is 192.168.7.9.1"),
        ("/etc/shadow", "see /etc/hosts"),
        ("/home/ada/../eve/x", "in /home/ada"),
        ("/home/ad/x.py", "in /home/ada"),
        ("/home/eve/x.py", "in /home/ada"),
        (r"D:\secret\x.txt", r"C:\secret"),
    ],
)
def test_what_only_looks_like_it_does_not(value, said):
    assert value not in str(arguments({"a": value}, said))


def test_known_and_unknown_in_one_value():
    text = "cp /home/ada/a /opt/hive/b /opt/hive/c && ping 10.0.0.1"
    assert arguments({"run": text}, "/home/ada/a", "10.0.0.1") == {
        "run": "cp /home/ada/a [FILE_PATH_1] [FILE_PATH_2] && ping 10.0.0.1"
    }


def test_everything_of_a_request_counts_as_sent():
    given = Given(
        "work in /srv/one/x",
        (
            ProviderMessage("user", "/srv/two/x"),
            ProviderMessage("assistant", "", (ToolCall("c", "t", '{"p": "/srv/three/x"}'),)),
            ProviderMessage("tool", "/srv/four/x", (), "c"),
        ),
        (ProviderMessage("tool", "/srv/five/x", (), "d"),),
        (ToolSpec("t", "reads /srv/six/x", {"description": "/srv/seven/x"}),),
    )
    sent = Sent.of("/srv/eight/x", given)
    names = ("one", "two", "three", "four", "five", "six", "seven", "eight")
    assert [sent.holds(f"/srv/{name}/x", "FILE_PATH") for name in names] == [True] * 8
    assert not sent.holds("/srv/nine/x", "FILE_PATH")
