"""As much of a wandb server as a client needs to send runs and artifacts, and what it was sent. No run is kept."""

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WandbServer(ThreadingHTTPServer):
    """asked: of each operation its name and variables, in the order in which they came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.artifacts: dict[tuple[str, str], str] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def told(self, operation: str) -> list[dict[str, Any]]:
        """The variables of an operation, each time that it was asked for."""
        return [variables.get("input", variables) for name, variables in self.asked if name == operation]

    def answer(self, name: str, variables: dict[str, Any]) -> dict[str, Any] | None:
        """The data that an operation gives; None where it is not known here, which clients put up with."""
        given = variables.get("input", variables)
        if name == "UpsertBucket":
            project = {"id": "p", "name": variables["project"], "entity": {"id": "e", "name": "me"}}
            run = {"id": "r", "name": variables["name"], "displayName": None, "sweepName": None, "config": "{}"}
            return {"upsertBucket": {"bucket": run | {"historyLineCount": 0, "project": project}, "inserted": True}}
        if name == "Viewer":
            return {"viewer": {"id": "v", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}
        if name == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if name == "CreateRunFiles":
            files = [{"name": file, "uploadUrl": f"{self.url}/{file}"} for file in variables["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        if name == "CreateArtifact":
            content = (given["artifactCollectionName"], given["digest"])
            id = self.artifacts.setdefault(content, f"{content[0]} {len(self.artifacts)}")
            sequence = {"id": "s", "latestArtifact": None}
            return {"createArtifact": {"artifact": {"id": id, "state": "PENDING", "artifactSequence": sequence}}}
        if name == "CreateArtifactManifest":
            manifest = {"id": "m", "file": self._upload("manifest")}
            return {"createArtifactManifest": {"artifactManifest": manifest}}
        if name == "CreateArtifactFiles":
            files = [{"node": self._upload(file["name"])} for file in given["artifactFiles"]]
            return {"createArtifactFiles": {"files": {"edges": files}}}
        if name == "CommitArtifact":
            return {"commitArtifact": {"artifact": {"id": variables["artifactID"], "digest": "d"}}}
        if name == "UseArtifact":
            return {"useArtifact": {"artifact": {"id": given["artifactID"]}}}
        return None

    def _upload(self, name: str) -> dict[str, Any]:
        place = {
            "uploadUrl": f"{self.url}/{name}",
            "uploadHeaders": [],
            "storagePath": "x",
            "uploadMultipartUrls": None,
        }
        return {"id": name, "name": name, "displayName": name, "artifact": {"id": "a"}} | place


class _Handler(BaseHTTPRequestHandler):
    server: WandbServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_PUT(self) -> None:
        self._read()
        self._reply({})

    def do_POST(self) -> None:
        body = self._read()
        if not self.path.endswith("graphql"):  # curves, files and telemetry
            self._reply({})
            return
        asked = json.loads(body)
        named = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
        name, variables = named[1] if named else "", asked.get("variables") or {}
        self.server.asked.append((name, variables))
        data = self.server.answer(name, variables)
        self._reply({"data": data} if data is not None else {"errors": [{"message": f"{name} is not known here"}]})

    def _read(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _reply(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def wandb_server() -> Iterator[WandbServer]:
    """A server in a thread, on a port of this machine."""
    with WandbServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
