"""The contract of the HTTP API: every operation declared once, as a document and as a page."""
