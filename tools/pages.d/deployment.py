"""A state folder of the platform `local` as daemons leave it: jobs, segments, dead letters. Rows are written as the
ledger writes them, so that a page can be looked at that would take a fleet and a bad day to come about."""

import json
import sqlite3
import subprocess
import time


def now():
    return int(time.time() * 1000)


class Deployment:
    """A state folder. The worker itself makes its tables."""

    def __init__(self, worker, folder):
        self.folder = folder
        command = [worker, "jobs", "--state-dir", folder, "--platform", "local"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        self.objects = (folder / "objects").resolve()

    def __enter__(self):
        self.db = sqlite3.connect(self.folder / "parallax.db")
        return self

    def __exit__(self, *_):
        self.db.commit()
        self.db.close()

    def job(self, job_id, status, total=None, title=None, reason=None, minutes=30, took=None, size=None):
        made = now() - minutes * 60_000
        row = {"job_id": job_id, "mode": "sbs", "status": status, "total_segments": total, "created_at": made,
               "completed_at": made + took * 1000 if took else None, "title": title, "reason": reason}
        if size:
            row |= {"uploaded_at": made, "source_file_size_bytes": size}
        self.db.execute("INSERT INTO jobs VALUES (?, ?, ?)", (job_id, status, json.dumps(row)))

    def segment(self, job_id, index, total, state, began=(), error=None, ends=None, holder=None, completed=None):
        """A segment of which an attempt began at each of `began`, in seconds ago; `error` ended all but the last."""
        source = self.objects / f"input/segments/{job_id}/{index:05}_{total:05}_sbs.mp4"
        begun = [{"attempt": n + 1, "at": now() - 1000 * ago} for n, ago in enumerate(began)]
        for one in begun[:-1]:
            one["error"] = "model"
        later = now() + 1000 * (ends if ends is not None else 600)
        row = {
            "segment": {"job_id": job_id, "total": total, "index": index, "mode": "sbs"}, "state": state,
            "attempt": len(began), "failures": len(began) - (state not in ("failed", "retry_wait")), "nonce": "n",
            "holder": holder, "custody": "caller", "input": f"file://{source}",
            "output": f"file://{self.objects}/output/jobs/{job_id}/segments/{index}.mp4",
            "created_at": begun[0]["at"], "deadline": later, "next_at": later,
            "locations": {"response": None, "failure": None},
            "last_error": {"class": "model", "message": error} if error else None, "begun": begun,
        }
        self.db.execute("INSERT INTO segments VALUES (?, ?, ?, 'sbs', ?, ?, ?)",
                        (job_id, total, index, state, later, json.dumps(row)))
        if holder:
            work = {"segment": row["segment"], "attempt": row["attempt"]}
            bound = {"id": holder, "deadline": later, "work": work}
            self.db.execute("INSERT INTO holders VALUES (?, ?)", (holder, json.dumps(bound)))
        if completed is not None:
            row = {"job_id": job_id, "segment_index": index, "output_s3_uri": row["output"],
                   "completed_at": now() - 1000 * completed, "total_segments": total}
            self.db.execute("INSERT INTO completions VALUES (?, ?, ?, ?)", (job_id, index, total, json.dumps(row)))
        if state == "failed":
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(b"a segment")

    def dead_letter(self, body, **attributes):
        """What a daemon set aside."""
        sent = now() - 600_000
        pairs = json.dumps([[name, value] for name, value in attributes.items()])
        self.db.execute("INSERT INTO messages (queue, body, attributes, sent_at, visible_at) VALUES (?, ?, ?, ?, ?)",
                        ("dead-letters", body, pairs, sent, sent))

    def replica(self, name, roles, ago=5, why=None):
        seen = now() - 1000 * ago
        row = {"id": name, "version": "0.2.0", "roles": roles, "since": seen - 7_200_000, "seen": seen,
               "not_ready": why or {}}
        self.db.execute("INSERT INTO replicas VALUES (?, ?, ?)", (name, seen, json.dumps(row)))

    def a_bad_day(self):
        """A fleet with something of everything."""
        why = "segment 7: the backend ran out of memory at frame 118 of 240"
        self.job("harbour", "failed", 24, "Harbour <at> night.mp4", why, minutes=55, size=412_000_000)
        for index in range(24):
            began = 3300 - 90 * index
            if index == 7:
                self.segment("harbour", 7, 24, "failed", (began, began - 600, began - 1300), error=why.split(": ")[1])
            elif index < 22:
                self.segment("harbour", index, 24, "done", (began,), completed=began - 200)
        self.job("wedding", "chunking_complete", 60, "Wedding 2019.mov", minutes=25, size=1_900_000_000)
        for index in range(31):
            began = 1400 - 40 * index
            self.segment("wedding", index, 60, "done", (began,) if index % 9 else (began, began - 60), error=None,
                         completed=max(began - 160, 5))
        self.segment("wedding", 31, 60, "intent", (140,), holder="9f31c0aa", ends=70)
        self.segment("wedding", 32, 60, "invoked", (900, 95), error="no answer in time", holder="77ab12d4", ends=500)
        self.segment("wedding", 33, 60, "retry_wait", (300,), error="the backend is busy", ends=45)
        self.segment("wedding", 34, 60, "intent", (1900,), holder="0c4411ef", ends=-200)
        self.job("drone", "created", None, "Drone over the bay.mp4", minutes=2)
        for number, took in enumerate((430, 610, 505)):
            self.job(f"done-{number}", "completed", 12, f"Episode {number + 1}.mp4", minutes=240 + 60 * number,
                     took=took, size=210_000_000)
        event = {"Records": [{"eventName": "ObjectCreated:Put", "s3": {
            "bucket": {"name": "input"}, "object": {"key": "segments/wedding/00040_00060_sbs.mp4", "size": 9}}}]}
        self.dead_letter(json.dumps(event), reason="exhausted after 12 deliveries", receive_count="12")
        odd = {"note": "<b>not ours</b>", "callback": "https://hooks.example/x?token=very-secret", "api_key": "very-secret"}
        self.dead_letter(json.dumps(odd), reason="not a notification: missing field Records", receive_count="1")
        self.replica("worker-a", "segments,output-events,reconcile")
        self.replica("worker-b", "chunking,reassembly", why={"input bucket": "no answer for 30 s"})
        self.replica("worker-c", "segments", ago=900)
