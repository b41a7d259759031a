"""Small talk is answered without documents; whatever asks for something is not."""

import tomllib
from importlib import resources

import pytest

from hivemind.knowledge.small_talk import reply_to

WORDS = tomllib.loads((resources.files("hivemind.knowledge") / "small_talk.toml").read_text())


@pytest.mark.parametrize(
    ("message", "kind", "language"),
    [
        ("hello", "greeting", "en"),
        ("Hi there!", "greeting", "en"),
        ("Good morning, how are you?", "greeting", "en"),
        ("THANKS 🙏", "thanks", "en"),
        ("Thank you so much", "thanks", "en"),
        ("ok, thanks, bye", "thanks", "en"),
        ("Hi! What can you do?", "help", "en"),
        ("Hallo zusammen", "greeting", "de"),
        ("Vielen Dank!", "thanks", "de"),
        ("Bonjour, ça va ?", "greeting", "fr"),
        ("¡Hola!", "greeting", "es"),
        ("Grazie mille", "thanks", "it"),
        ("Olá, tudo bem?", "greeting", "pt"),
    ],
)
def test_small_talk_is_answered_in_its_language(message, kind, language):
    assert reply_to(message) == WORDS[language]["say"][kind]


@pytest.mark.parametrize(
    "message",
    [
        "", "?!", "Hello, how long do refunds take?", "thanks for nothing, what is the capital of France",
        "very much", "hello " * 20, "help me write a poem", "who are you voting for", "what can you do about cancer",
        "Say hello to Ada", "hi hi refund",
    ],
)  # fmt: skip
def test_a_question_is_none(message):
    assert reply_to(message) is None


@pytest.mark.parametrize("language", WORDS)
def test_every_phrase_is_answered(language):
    for kind in ("greeting", "thanks", "farewell", "help"):
        for phrase in WORDS[language][kind]:
            assert reply_to(phrase) in {words["say"][kind] for words in WORDS.values()} | {
                words["say"][other]
                for words in WORDS.values()
                for other in words["say"]
                if phrase in words[other]
            }
