"""Promise: whatever a model says becomes text or one of a few harmless elements, in time that its length allows."""

import json
import random

import pytest

ELEMENTS = {
    "A", "BLOCKQUOTE", "BR", "BUTTON", "CODE", "DEL", "DIV", "EM", "FIGCAPTION", "FIGURE", "H3", "H4", "H5", "H6", "HR",
    "LI", "OL", "P", "PRE", "SPAN", "STRONG", "TABLE", "TBODY", "TD", "TH", "THEAD", "TR", "UL", "svg", "use",
}  # fmt: skip
ATTRIBUTES = {"aria-hidden", "class", "href", "rel", "start", "style", "tabindex", "target", "title", "type"}
HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "[a](JaVaScRiPt:alert(1))",
    "[a](data:text/html,<script>1</script>)", "<javascript:alert(1)>", "![a](https://evil.example/track.png)",
    "[a]( javascript:alert(1))", "[a](java\nscript:alert(1))", "[a](\x01javascript:alert(1))", "[a](//evil.example)",
    '[<b onmouseover=x>](https://a.example/"onmouseover="x)', 'https://a.example/"><script>', "`<i>`", "&lt;b&gt;",
    "| <script> | b |\n|---|---|\n| [x](javascript:1) | y |", "<https://a.example/ onclick=x>", "[a](vbscript:x)",
    "```<script>\n</pre><script>\n```",
]  # fmt: skip
MEASURE = """async (text) => {
  const { markdown } = await import(document.querySelector('link[href*="style.css"]').href.replace("style.css", "markdown.js"));
  const element = markdown(text);
  const all = [...element.querySelectorAll("*")];
  return {
    elements: [...new Set(all.map((node) => node.tagName))],
    attributes: [...new Set(all.flatMap((node) => node.getAttributeNames()))],
    links: all.filter((node) => node.tagName === "A").map((node) => node.getAttribute("href")),
    text: element.textContent,
    html: element.innerHTML,
  };
}"""
COUNT = """async (text) => {
  const { markdown } = await import(document.querySelector('link[href*="style.css"]').href.replace("style.css", "markdown.js"));
  let calls = 0;
  const kept = [];
  for (const [owner, names] of [[String.prototype, ["slice", "indexOf", "startsWith", "replace", "split"]], [RegExp.prototype, ["exec", "test"]]])
    for (const name of names) {
      const own = owner[name];
      kept.push(() => (owner[name] = own));
      owner[name] = function (...given) { calls += 1; return own.apply(this, given); };
    }
  markdown(text);
  for (const restore of kept) restore();
  return calls;
}"""


@pytest.fixture
def rendered(admin):
    admin.goto("/")
    return lambda text: admin.evaluate(MEASURE, text)


def check(made):
    assert set(made["elements"]) <= ELEMENTS
    assert set(made["attributes"]) <= ATTRIBUTES
    assert all(link.startswith(("http://", "https://", "mailto:")) for link in made["links"])


def test_nothing_hostile_comes_to_life(rendered):
    for text in HOSTILE:
        check(rendered(text))
    made = rendered("<b>bold</b> & <i>")
    assert made["text"] == "<b>bold</b> & <i>"


def test_any_mix_of_marks_is_harmless_and_no_word_is_lost(rendered):
    marks = [
        "*",
        "**",
        "_",
        "`",
        "```",
        "~~",
        "[",
        "](",
        ")",
        "<",
        ">",
        "|",
        "\n",
        "\n\n",
        "- ",
        "1. ",
        "> ",
        "# ",
        "\\",
        " ",
        "http://a.b",
        "  - ",
        "|---|---|",
    ]
    for seed in range(150):
        chance = random.Random(seed)
        words = [f"w{n}w" for n in range(30)]
        text = "".join(word + "".join(chance.choices(marks, k=chance.randint(0, 4))) for word in words)
        made = rendered(text)
        check(made)
        places = made["text"] + json.dumps(made["links"]) + made["html"]
        lost = [word for word in words if word not in places]
        # The language of fenced code, the title of a link and cells beyond a table's head are not shown.
        assert not lost or "```" in text or "|---|" in text or "](" in text, (seed, text, lost)


@pytest.mark.parametrize(
    "piece",
    [
        "*a ",
        "**",
        "_a",
        "[",
        "[a](",
        "`",
        "> ",
        "- ",
        "  - a\n",
        "|a|\n|-|\n",
        "~~a",
        "![",
        "<http://",
        "\\",
        "a\n> b\n",
        "```\n",
    ],
)
def test_long_texts_of_any_shape_take_their_length(admin, piece):
    """Counted in calls of what reads the text, not in time; a regular expression that runs away never ends."""
    admin.goto("/")
    few, many = (admin.evaluate(COUNT, piece * (size // len(piece))) for size in (10_000, 40_000))
    assert many < 5 * few + 1_000
