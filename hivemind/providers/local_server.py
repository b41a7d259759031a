"""The process that computes the local model: llama.cpp's OpenAI-compatible server on a loopback port.

Run by its path, not as a module, so that it loads nothing of Hivemind: the parent's `local` starts it, gives
it its configuration as one line of JSON and reads one line with its address. It ends when its standard input
does, however its parent went.
"""

import json
import os
import sys
import threading


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    # Not sys.exit: the server's threads must not get a say.
    os._exit(0)


def main() -> None:
    """Load, listen, say where, and stay until standard input ends."""
    import xllamacpp  # noqa: PLC0415 - the parent imports this file for its path, and is spared the library

    config = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    params = xllamacpp.CommonParams()
    params.model.path = config["weights"]
    params.model_alias = {config["model"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = config["parallel"]
    # The context is shared out among the slots.
    params.n_ctx = config["context_tokens"] * config["parallel"]
    params.n_gpu_layers = 0
    if config["threads"] is not None:
        params.cpuparams.n_threads = config["threads"]
    params.n_threads_http = max(4, 2 * config["parallel"])
    params.cache_ram_mib = 0
    params.verbosity = 1
    # Only Hivemind talks to it: no pages for people, and nothing that shows one caller's prompt to another.
    params.ui = False
    params.endpoint_slots = False
    params.endpoint_props = False
    params.cors_origins = ""
    for name, value in config["sampling"].items():
        setattr(params.sampling, name, value)
    server = xllamacpp.Server(params)
    sys.stdout.write(json.dumps({"address": server.listening_address}) + "\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
