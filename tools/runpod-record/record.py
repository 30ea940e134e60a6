"""Runs the worker of the `runpod` package against a platform on loopback and records its calls.

Each file named on the command line holds a `scenario`: what the platform answers and what the
jobs do. Its `calls` are replaced by those that the package made, without times, client names and
tracebacks. `crates/services/runpod/tests/protocol/transcripts.rs` plays the same scenarios to the Rust worker.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import signal
import sys
import tempfile
from importlib.metadata import version

from aiohttp import ClientSession, web

KEY = "canary-key"
POD = "pod-abc"
QUERY = "?gpu=RTX+4090"
LIMIT = 60


class Platform:
    """Answers as the scenario says and remembers every call."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.calls = []
        self.counts = {}
        self.changed = asyncio.Condition()
        self.last_ping = None

    async def happened(self, *events):
        async with self.changed:
            for event in events:
                self.counts[event] = self.counts.get(event, 0) + 1
            self.changed.notify_all()

    async def reached(self, condition):
        async with self.changed:
            await self.changed.wait_for(
                lambda: self.counts.get(condition["event"], 0) >= condition["count"]
            )

    async def record(self, request, channel):
        body = await request.text()
        call = {
            "method": request.method,
            "path": request.path,
            "query": [list(pair) for pair in request.query.items()],
            "headers": {},
            "body": plain(json.loads(body)) if body else None,
        }
        names = ["authorization"]
        if request.method == "POST":
            names += ["content-type", "charset", "x-request-id"]
        for name in names:
            if name in request.headers:
                call["headers"][name] = request.headers[name]
        self.calls.append((channel, call))
        return call

    async def poll(self, request, channel):
        """A long poll: the scenario's answers in turn, then none."""
        await self.record(request, channel)
        answers = self.scenario.get(channel, [])
        turn = self.counts.get(channel, 0)
        await self.happened(channel)
        if turn >= len(answers):
            await asyncio.sleep(3600)
        answer = answers[turn]
        if "after" in answer:
            await self.reached(answer["after"])
        text = json.dumps(answer["json"]) if "json" in answer else answer.get("text", "")
        kind = answer.get("type", "application/json")
        if answer["status"] == 204:
            return web.Response(status=204)
        return web.Response(status=answer["status"], text=text, content_type=kind)

    async def take(self, request):
        return await self.poll(request, "take")

    async def stop(self, request):
        return await self.poll(request, "stop")

    async def post(self, request, channel):
        await self.record(request, channel)
        statuses = self.scenario.get(channel, [])
        turn = self.counts.get(channel, 0)
        await self.happened(channel)
        return web.Response(status=statuses[turn] if turn < len(statuses) else 200)

    async def done(self, request):
        return await self.post(request, "done")

    async def stream(self, request):
        return await self.post(request, "stream")

    async def ping(self, request):
        call = await self.record(request, "ping")
        events = ["ping"]
        if call != self.last_ping:
            self.last_ping = call
            events.append("ping-change")
        await self.happened(*events)
        return web.Response(status=200)

    async def started(self, request):
        await self.happened("started")
        return web.Response()

    async def wait(self, request):
        await self.reached({"event": request.query["event"], "count": int(request.query["count"])})
        return web.Response()

    def app(self):
        app = web.Application(client_max_size=1 << 26)
        app.add_routes([
            web.get("/v2/ep/job-take/{pod}", self.take),
            web.get("/v2/ep/job-take-batch/{pod}", self.take),
            web.get("/v2/ep/job-stop/{pod}", self.stop),
            web.post("/v2/ep/job-done/{pod}/{job}", self.done),
            web.post("/v2/ep/job-stream/{pod}/{job}", self.stream),
            web.get("/v2/ep/ping/{pod}", self.ping),
            web.get("/control/started", self.started),
            web.get("/control/wait", self.wait),
        ])
        return app

    def transcript(self):
        calls = {"take": [], "stop": [], "posts": {}}
        if self.scenario.get("heartbeats"):
            calls["ping"] = []
        for channel, call in self.calls:
            if channel in ("take", "stop"):
                calls[channel].append(call)
            elif channel in ("done", "stream"):
                calls["posts"].setdefault(call["path"].rsplit("/", 1)[1], []).append(call)
            elif "ping" in calls and (not calls["ping"] or calls["ping"][-1] != call):
                calls["ping"].append(call)
        return calls


def plain(body):
    """A body without what differs from run to run."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, str):
        return body
    try:
        inner = json.loads(error)
    except ValueError:
        head, found, _ = error.partition("\ntraceback: ")
        return {**body, "error": head + found}
    if isinstance(inner, dict) and "error_traceback" in inner:
        inner["error_traceback"] = ""
        return {**body, "error": inner}
    return body


async def play(scenario):
    platform = Platform(scenario)
    runner = web.AppRunner(platform.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    base = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    with tempfile.TemporaryDirectory() as home:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "BASE": base,
            "SCENARIO": json.dumps(scenario),
            "RUNPOD_WEBHOOK_GET_JOB": f"{base}/v2/ep/job-take/$ID{QUERY}",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/v2/ep/job-done/$RUNPOD_POD_ID/$ID{QUERY}",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/v2/ep/job-stream/$RUNPOD_POD_ID/$ID{QUERY}",
            "RUNPOD_WEBHOOK_PING": f"{base}/v2/ep/ping/$RUNPOD_POD_ID{QUERY}",
            "RUNPOD_PING_INTERVAL": "1000",
            "RUNPOD_AI_API_KEY": KEY,
            "RUNPOD_POD_ID": POD,
            "RUNPOD_POD_HOSTNAME": "host-abc",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "RUNPOD_SKIP_GPU_CHECK": "true",
        }
        worker = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--worker", cwd=home, env=environment,
            start_new_session=True, stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(LIMIT):
                if "sigterm_after" in scenario:
                    await platform.reached(scenario["sigterm_after"])
                    worker.send_signal(signal.SIGTERM)
                    await platform.happened("sigterm")
                for condition in scenario["until"]:
                    await platform.reached(condition)
            # Whatever else it does on its own.
            await asyncio.sleep(2)
        finally:
            # The heartbeat is a process of its own; the worker may have ended by itself.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            await worker.wait()
            await runner.cleanup()
    return platform.transcript()


def worker():
    """The mock handler under the package's own loop."""
    import runpod  # Only here: importing it takes seconds.

    scenario = json.loads(os.environ["SCENARIO"])
    base = os.environ["BASE"]

    async def control(what):
        async with ClientSession() as session:
            async with session.get(f"{base}/control/{what}") as answer:
                await answer.read()

    async def act(job, step):
        if "progress" in step:
            runpod.serverless.progress_update(job, step["progress"])
        elif "wait" in step:
            await control(f"wait?event={step['wait']['event']}&count={step['wait']['count']}")
        elif "raise" in step:
            raise ValueError(step["raise"])
        elif "forever" in step:
            await asyncio.sleep(3600)

    async def whole(job):
        await control("started")
        for step in job["input"]["steps"]:
            if "return" in step:
                return step["return"]
            if "return_job" in step:
                return job
            await act(job, step)

    async def parts(job):
        await control("started")
        for step in job["input"]["steps"]:
            if "yield" in step:
                yield step["yield"]
            await act(job, step)

    if "unhealthy" in scenario:
        def check():
            raise RuntimeError(scenario["unhealthy"]["message"])
        check.__name__ = scenario["unhealthy"]["check"]
        runpod.serverless.register_fitness_check(check)

    config = {"handler": parts if scenario.get("generator") else whole}
    options = scenario.get("options", {})
    if options.get("refresh_worker"):
        config["refresh_worker"] = True
    if options.get("aggregate"):
        config["return_aggregate_stream"] = True
    if "concurrency" in options:
        config["concurrency_modifier"] = lambda current: options["concurrency"]
    runpod.serverless.start(config)


def lines(value, indent=""):
    """JSON with one line for each thing that fits in one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) <= 140 or not isinstance(value, (dict, list)):
        return line
    more = indent + " "
    if isinstance(value, list):
        inner = [lines(item, more) for item in value]
        ends = "[]"
    else:
        inner = [f"{json.dumps(key)}: {lines(item, more)}" for key, item in value.items()]
        ends = "{}"
    inner = ",\n".join(more + item for item in inner)
    return f"{ends[0]}\n{inner}\n{indent}{ends[1]}"


async def record(path, turns):
    async with turns:
        held = json.loads(path.read_text())
        try:
            held["calls"] = await play(held["scenario"])
        except TimeoutError:
            print(f"{path.name}: the end did not come", file=sys.stderr)
            return False
    held["recorded_from"] = f"runpod {version('runpod')}"
    path.write_text(lines(held) + "\n")
    print(f"{path.name}: recorded")
    return True


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    turns = asyncio.Semaphore(4)
    done = await asyncio.gather(*(record(path, turns) for path in parser.parse_args().files))
    sys.exit(0 if all(done) else 1)


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        worker()
    else:
        asyncio.run(main())
