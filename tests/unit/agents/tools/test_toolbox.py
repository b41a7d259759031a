"""A profile's model is offered what the profile names, and nothing else."""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from hivemind.agents.tools import Builtin, Catalogue, Outcome, Tool, Toolbox


async def run(call):
    return Outcome("")


def tool(name):
    return Tool(name, "", {"type": "object"}, run)


@dataclass
class Offers:
    tools: dict
    id: UUID = field(default_factory=uuid4)


@pytest.fixture
def catalogue():
    catalogue = Catalogue()
    catalogue.put("files", {"read": tool("files__read"), "write": tool("files__write")})
    catalogue.put("mail", {"send": tool("mail__send")})
    return catalogue


@pytest.fixture
def toolbox(catalogue):
    return Toolbox({"http_fetch": Builtin(lambda options: tool("http_fetch"))}, catalogue)


def names(toolbox, profile):
    return {tool.name for tool in toolbox.for_profile(profile)}


def test_nothing_is_offered_unless_it_is_named(toolbox):
    nobody = Offers({})
    assert toolbox.for_profile(nobody) == ()
    assert toolbox.find(nobody, "http_fetch") is None
    assert toolbox.policy(nobody, "http_fetch") == "deny"


def test_what_is_denied_is_not_offered(toolbox):
    profile = Offers({"http_fetch": {"policy": "deny"}, "mcp:files/read": {"policy": "ask"}})
    assert names(toolbox, profile) == {"files__read"}
    assert toolbox.policy(profile, "http_fetch") == "deny"
    assert toolbox.policy(profile, "files__read") == "ask"
    assert toolbox.policy(profile, "files__write") == "deny"


def test_the_closest_pattern_decides(toolbox):
    profile = Offers(
        {
            "mcp:*": {"policy": "deny"},
            "mcp:files/*": {"policy": "allow"},
            "mcp:files/write": {"policy": "ask"},
        }
    )
    assert names(toolbox, profile) == {"files__read", "files__write"}
    assert toolbox.policy(profile, "files__read") == "allow"
    assert toolbox.policy(profile, "files__write") == "ask"
    assert toolbox.policy(profile, "mail__send") == "deny"


def test_what_a_server_offers_anew_is_seen_at_once(toolbox, catalogue):
    profile = Offers({"mcp:mail/*": {"policy": "allow"}})
    assert names(toolbox, profile) == {"mail__send"}
    catalogue.put("mail", {"list": tool("mail__list")})
    assert names(toolbox, profile) == {"mail__list"}


def test_an_edited_profile_is_seen_at_once(toolbox):
    profile = Offers({"http_fetch": {"policy": "allow"}})
    assert names(toolbox, profile) == {"http_fetch"}
    profile.tools = {"http_fetch": {"policy": "deny"}}
    assert names(toolbox, profile) == set()


@pytest.mark.parametrize("options", [{"policy": "perhaps"}, {}, {"policy": "allow", "hots": []}, "allow"])
def test_what_cannot_be_read_is_not_offered(toolbox, options):
    assert names(toolbox, Offers({"http_fetch": options})) == set()
    assert len(toolbox.mistakes({"http_fetch": options})) == 1


def test_a_pattern_whose_policy_cannot_be_read_is_denied(toolbox):
    profile = Offers({"mcp:files/read": {"policy": "perhaps"}, "mcp:*": {"policy": "allow"}})
    assert "files__read" not in names(toolbox, profile)


def test_mistakes_are_told_to_whoever_saves_a_profile(toolbox):
    assert toolbox.mistakes({"http_fetch": {"policy": "ask"}, "mcp:files/*": {"policy": "allow"}}) == ()
    assert "there are http_fetch and mcp" in toolbox.mistakes({"htp_fetch": {"policy": "ask"}})[0].replace(
        ",", " and"
    )
    assert "mcp:<server>/<tool>" in toolbox.mistakes({"mcp:files": {"policy": "ask"}})[0]
