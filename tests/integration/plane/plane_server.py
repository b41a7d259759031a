"""A Plane on a real socket: speaks the wire format of its API, v1, and counts what it is asked."""

import hmac
import json
from contextlib import asynccontextmanager
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import trio

KEY = "plane_api_0123456789abcdef"
STATES = {
    "s-todo": ("Todo", "unstarted"),
    "s-doing": ("In Progress", "started"),
    "s-done": ("Done", "completed"),
}


class Plane:
    """Projects of work items. `kind` is what the paths call them; `refuse` the statuses of the next answers."""

    def __init__(self, kind="work-items"):
        self.kind = kind
        self.projects = {}
        self.requests = []
        self.refuse = []
        self.retry_after = "1"
        self.ignores_order = False
        self.on_page = lambda number: None
        self.url = ""

    def put(self, project, item_id, name, updated_at, state="s-todo", **more):
        items = self.projects.setdefault(project, {})
        items[item_id] = {
            "id": item_id,
            "name": name,
            "description_html": f"<p>About {name}</p>",
            "description_stripped": f"About {name}",
            "state": state,
            "project": project,
            "priority": "none",
            "sequence_id": len(items) + 1,
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": updated_at,
            "archived_at": None,
            "is_draft": False,
            **more,
        }

    @asynccontextmanager
    async def serving(self):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(
                lambda task_status: trio.serve_tcp(self._serve, 0, host="127.0.0.1", task_status=task_status)
            )
            self.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            yield self
            nursery.cancel_scope.cancel()

    async def _serve(self, stream):
        data = b""
        async with stream:
            while True:
                while b"\r\n\r\n" not in data:
                    try:
                        more = await stream.receive_some()
                    except trio.BrokenResourceError:
                        return
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                line, *lines = head.decode().split("\r\n")
                headers = {k.lower(): v for k, v in (one.split(": ", 1) for one in lines)}
                status, body, extra = self._answer(line.split()[1], headers)
                text = json.dumps(body).encode() if not isinstance(body, bytes) else body
                told = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
                await stream.send_all(
                    f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{told}"
                    f"content-length: {len(text)}\r\n\r\n".encode()
                    + text
                )

    def _answer(self, target, headers):
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.requests.append((parts.path, query))
        if self.refuse:
            status = self.refuse.pop(0)
            if status == 429:
                return (
                    429,
                    {"error_code": 5900, "error_message": "RATE_LIMIT_EXCEEDED"},
                    {"Retry-After": self.retry_after},
                )
            return status, {"detail": "no"}, {}
        if headers.get("x-api-key") != KEY:
            return 403, {"detail": "Given API token is not valid"}, {}
        root = "/api/v1/workspaces/acme/projects/"
        if not parts.path.startswith(root) or not parts.path.endswith("/"):
            return 404, {"error": "The requested resource does not exist."}, {}
        return (*self._resource(parts.path.removeprefix(root).strip("/").split("/"), query), {})

    def _resource(self, path, query):
        match path:
            case [""]:
                return 200, _page([{"id": name, "name": name} for name in self.projects], query)
            case [project, "states"] if project in self.projects:
                states = [{"id": s, "name": name, "group": group} for s, (name, group) in STATES.items()]
                return 200, _page(states, query)
            case [project, kind] if project in self.projects and kind == self.kind:
                items = list(self.projects[project].values())
                order = query.get("order_by", "-created_at")
                if not self.ignores_order and order == "-updated_at":
                    items.sort(key=lambda item: str(item["updated_at"]), reverse=True)
                page = _page(items, query)
                self.on_page(int(query.get("cursor", "0:0:0").split(":")[1]))
                return 200, page
            case [project, kind, item] if project in self.projects and kind == self.kind:
                found = self.projects[project].get(item)
                return (200, found) if found else (404, {"error": "The requested resource does not exist."})
        return 404, {"error": "The requested resource does not exist."}


def _page(results, query):
    """Plane's cursors are `<per_page>:<page>:<is_prev>`."""
    size = min(int(query.get("per_page", "100")), 100)
    number = int(query.get("cursor", f"{size}:0:0").split(":")[1])
    part = results[number * size : (number + 1) * size]
    more = (number + 1) * size < len(results)
    return {
        "grouped_by": None,
        "sub_grouped_by": None,
        "total_count": len(results),
        "next_cursor": f"{size}:{number + 1}:0",
        "prev_cursor": f"{size}:{number - 1}:1",
        "next_page_results": more,
        "prev_page_results": number > 0,
        "count": len(part),
        "total_pages": -(-len(results) // size),
        "total_results": len(results),
        "extra_stats": None,
        "results": part,
    }


def delivery(secret, delivery_id, event="issue", action="update", **data):
    """Body and headers of a delivery, as Plane sends it."""
    body = json.dumps(
        {
            "event": event,
            "action": action,
            "webhook_id": "3c2c32ac-82df-48b3-be2a-a3e21dbe8692",
            "workspace_id": "d2d97c94-a6ad-4012-b526-5577c0d7c769",
            "data": data,
            "activity": {"field": None, "actor": {"id": "a", "display_name": "Ada"}},
        }
    ).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Autopilot",
        "X-Plane-Delivery": delivery_id,
        "X-Plane-Event": event,
        "X-Plane-Signature": hmac.new(secret.encode(), body, sha256).hexdigest(),
    }
    return body, headers
