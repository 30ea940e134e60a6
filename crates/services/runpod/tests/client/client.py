"""Calls the development API with the platform's own client and prints what it got.

The one argument is the address up to the endpoint's name.
"""

import asyncio
import json
import sys
import time

import aiohttp
import runpod

runpod.endpoint_url_base = sys.argv[1]
runpod.api_key = "any"


def steps(*steps):
    return {"input": {"steps": list(steps)}}


def whole(endpoint):
    job = endpoint.run(steps({"return": {"k": 1}}))
    output = job.output(timeout=30)
    return {"output": output, "status": job.status()}


def progress(endpoint):
    job = endpoint.run(steps({"progress": 50}, {"wait": {"event": "purged", "count": 1}}))
    while job.status() == "IN_QUEUE":
        time.sleep(0.05)
    waiting = endpoint.run(steps({"return": 1}))
    purged = endpoint.purge_queue()
    return {
        "first": job.status(),
        "health": endpoint.health(),
        "purged": purged,
        "waiting": waiting.status(),
        "cancelled": job.cancel()["status"],
        "status": job.status(),
    }


async def parts_async(base):
    async with aiohttp.ClientSession() as session:
        endpoint = runpod.AsyncioEndpoint("endpoint", session)
        job = await endpoint.run({"steps": [{"yield": 1}, {"yield": {"k": 2}}]})
        parts = [part async for part in job.stream()]
        whole = await endpoint.run({"steps": [{"return": "done"}]})
        endless = await endpoint.run({"steps": [{"forever": True}]})
        return {
            "stream": parts,
            "status": await job.status(),
            "output": await whole.output(timeout=30),
            "cancelled": (await endless.cancel())["status"],
            "health": sorted(await endpoint.health()),
        }


def main():
    endpoint = runpod.Endpoint("endpoint")
    parts = endpoint.run(steps({"yield": 1}, {"yield": "two"}, {"yield": {"k": 3}}))
    failed = endpoint.run(steps({"raise": "broken"}))
    got = {
        "run": whole(endpoint),
        "runsync": endpoint.run_sync(steps({"return": {"k": 2}}), timeout=30),
        "stream": list(parts.stream()),
        "failed": [failed.output(timeout=30), failed.status()],
        "progress": progress(endpoint),
        "asyncio": asyncio.run(parts_async(sys.argv[1])),
    }
    print(json.dumps(got))


main()
