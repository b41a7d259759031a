"""Judge texts line by line: JSON in, JSON out, for scoring and for pipelines.

`python -m hivemind.guards.scan` reads `{"id", "text"}` a line and writes what each stage says of it.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from hivemind.guards import DEFAULT_THRESHOLD, Guards


def judge(guards: Guards, lines: Iterable[str], threshold: float = DEFAULT_THRESHOLD) -> Iterator[str]:
    """Yield one line of JSON for each line of JSON."""
    for line in lines:
        if not line.strip():
            continue
        item = json.loads(line)
        received = guards.check_input(item["text"], threshold)
        sent = guards.check_output(item["text"])
        yield json.dumps(
            {
                "id": item["id"],
                "injection": received.refused,
                "score": round(received.score, 4),
                "scrubbed": received.text,
                "leaks": [
                    {"start": finding.start, "end": finding.end, "type": finding.type}
                    for finding in sent.findings
                    if finding.category in ("leak", "secret")
                ],
                "findings": [
                    {
                        "rule": finding.rule,
                        "start": finding.start,
                        "end": finding.end,
                        "severity": finding.severity,
                    }
                    for finding in received.findings
                ],
            },
            ensure_ascii=False,
        )


def main() -> None:
    """Scan standard input."""
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    guards = Guards.load(Path.home() / ".cache" / "hivemind")
    for line in judge(guards, sys.stdin):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
