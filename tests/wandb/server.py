"""A W&B server on loopback, as much of it as W&B's core needs for a run, that fails on demand and keeps what it was sent."""

from __future__ import annotations

import gzip
import http.server
import json
import re
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class WandbServer:
    """`fail` is the status of every request to the file stream from then on; 0 answers nothing for a minute.

    With `panics` an answer lacks a field without which W&B's core (0.31) dies.
    """

    fail: int | None = None
    panics: bool = False
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Self:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None: ...

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.asked.append(Asked(self.command, self.path, {**self.headers}, body))
                status, answer = outer.answer(self.path, body)
                if not status:
                    return
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = _serve

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None: ...  # W&B's core hangs up when it ends

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._closing = threading.Event()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        if self.fail is not None and "file_stream" in path:
            if self.fail == 0:
                self._closing.wait(60)
                return 0, None
            time.sleep(0.05)
            return self.fail, {"error": "on demand"}
        if not path.endswith("/graphql"):
            return 200, {}
        asked = json.loads(body)
        operation = re.search(r"\b(query|mutation)\s+(\w+)", asked["query"])
        return 200, {"data": self._graphql(operation[2] if operation else "", asked.get("variables") or {})}

    def _graphql(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        project = {"name": variables.get("project"), "id": "P", "entity": {"name": "team", "id": "E"}}
        if operation == "UpsertBucket":
            run = {
                "id": "UnVu",
                "name": variables.get("name"),
                "displayName": "run",
                "description": None,
                "config": "{}",
                "sweepName": None,
                "historyLineCount": 0,
                "project": project,
            }
            return {"upsertBucket": {"bucket": run, "inserted": True}}
        if operation == "Viewer":
            person = {
                "id": "V",
                "entity": "team",
                "username": "someone",
                "email": "",
                "name": "",
                "admin": False,
            }
            none: dict[str, Any] = {"edges": []}
            return {"viewer": {**person, "flags": "{}", "deletedAt": None, "apiKeys": none, "teams": none}}
        if operation == "ArtifactType":
            return {"project": None}  # none of this name: any may be made
        if operation == "CreateArtifact":
            there = {"id": "A", "state": "COMMITTED", "artifactSequence": {"id": "S", "latestArtifact": None}}
            return {"createArtifact": {"artifact": there}}
        if operation == "CreateRunFiles" and not self.panics:
            files = [{"name": name, "uploadUrl": f"{self.url}/up/{name}"} for name in variables["files"]]
            return {"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": files}}
        return {}

    def rows(self) -> list[dict[str, Any]]:
        """The rows of history that the core sent to the file stream."""
        made = []
        for asked in self.asked:
            if "file_stream" in asked.path:
                files = json.loads(asked.body or b"{}").get("files") or {}
                made += [json.loads(line) for line in files.get("wandb-history.jsonl", {}).get("content", ())]
        return made
