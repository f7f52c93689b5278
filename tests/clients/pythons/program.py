"""Uses `tunery_client`, without a network: what a version of Python must be able to do."""

import importlib
import json
import pkgutil
import platform

import httpx
import tunery_client


class Server:
    """Is busy at first, then lists no models, and streams an event of every job."""

    def __init__(self) -> None:
        self.num_requests = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.num_requests += 1
        if request.url.path == "/v1/models":
            status = 503 if self.num_requests == 1 else 200
            return httpx.Response(status, json={"object": "list", "data": []})
        event = {"id": "e", "object": "fine_tuning.job.event", "created_at": 1, "level": "info"}
        event |= {"type": "message", "message": "begun", "data": {}}
        return httpx.Response(200, text=f"id: 1\ndata: {json.dumps(event)}\n\ndata: [DONE]\n\n")


async def main() -> None:
    modules = [module.name for module in pkgutil.walk_packages(tunery_client.__path__, "tunery_client.")]
    for name in modules:
        importlib.import_module(name)
    server = Server()
    transport = httpx.MockTransport(server)
    async with tunery_client.AsyncTunery("http://server", "key", transport=transport) as tunery:
        assert await tunery.models.list() == []
        assert server.num_requests == 2
        events = tunery.jobs.stream_events("ftjob-1")
        assert (await anext(events)).message == "begun"
        await events.aclose()
    with tunery_client.Tunery("http://server", "key", transport=transport) as blocking:
        assert blocking.models.list() == []
        assert next(blocking.jobs.stream_events("ftjob-1")).message == "begun"
    print(f"{len(modules)} modules, python: {'.'.join(platform.python_version_tuple()[:2])}")
