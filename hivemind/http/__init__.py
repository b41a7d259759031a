"""The edge: HTTP and WebSocket in, the envelope of replies and problems out."""
