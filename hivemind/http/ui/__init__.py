"""The web UI: pages that the server renders, and the static files that they need. No build step, no CDN.

How a page is added:

1. a row in `pages.PAGES`, which also makes its entry in the navigation, and one in `http/roles.py` with the
   role that it asks for;
2. `templates/<name>.html`, which extends `base.html` and fills the block `main`;
3. `static/<name>.js`, an ES module, and `static/<name>.css`, where the page needs them: both are linked when
   they are there. Data comes from the JSON API by `api.js` and `live.js`. Nothing is inline: the policy of
   `shell.headers` forbids scripts and styles in a page (`element.style` in a module is fine);
4. `tests/browser/test_<name>.py`, with the fixtures of its `conftest.py`: what a person does, axe,
   screenshots; look at these.
"""

from hivemind.http.ui.views import routes

__all__ = ["routes"]
