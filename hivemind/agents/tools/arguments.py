"""tmp"""

import json


def parse(tool, text):
    try:
        v = json.loads(text or "{}")
    except ValueError as e:
        return f"not JSON: {e}"
    return v if isinstance(v, dict) else "not an object"
