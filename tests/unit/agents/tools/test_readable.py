"""A page becomes the text that a reader sees."""

from hivemind.agents.tools.readable import readable


def test_scripts_styles_and_markup_go_and_words_stay():
    page = """<!doctype html><html><head><title>A &amp; B</title><style>p{}</style></head><body>
    <script>alert("<p>no</p>")</script><h1>Prices</h1><p>One&nbsp;seat: <b>5</b> &lt; 6</p><!-- no -->
    <ul><li>first</li><li>second</li></ul><a class="x" href="https://example.com/a">more</a></body></html>"""
    text = readable(page)
    assert text.startswith("A & B\n\n")
    assert "Prices" in text
    assert "One seat: 5 < 6" in text
    assert "more (https://example.com/a)" in text
    assert "alert" not in text
    assert "no" not in text.replace("not", "")
    assert "<b>" not in text


def test_markup_that_never_closes_takes_linear_time():
    assert readable("<a " * 300_000) is not None
    assert readable("<script>" * 100_000) is not None
    assert "x" in readable("<" * 500_000 + "x")
