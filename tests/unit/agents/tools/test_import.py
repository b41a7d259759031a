"""A server without MCP servers does not pay for the SDK."""

import subprocess
import sys


def test_the_sdk_is_loaded_only_where_it_is_used():
    code = "import sys, hivemind.app; sys.exit(any(name in sys.modules for name in ('mcp', 'httpx2', 'starlette')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
