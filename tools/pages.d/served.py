"""The programs that serve pages, started and ended as their users do."""

import os
import re
import signal
import subprocess
from urllib.parse import urlsplit


class Program:
    """One run of a server that says on its first line where it is."""

    def __init__(self, command, environment=None):
        environment = os.environ | (environment or {})
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        line = self.process.stdout.readline()
        self.link = re.search(r"http://\S+", line)[0]
        self.host = urlsplit(self.link).netloc

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        assert code == 0, f"{self.process.args[0]} ended with {code}"

    def end(self):
        """However it is."""
        self.process.terminate()
        self.process.wait(timeout=30)


class Served(Program):
    """`parallax serve` on a folder."""

    def __init__(self, parallax, folder):
        super().__init__([parallax, "serve", "--listen", "127.0.0.1:0", "--folder", folder])


class Console(Program):
    """`video-worker console` on a state folder."""

    def __init__(self, worker, folder, token):
        settings = {"PLATFORM": "local", "STATE_DIR": str(folder), "WORKER_CONSOLE_TOKEN": token, "LOG_FILTER": "warn",
                    "WORKER_CONSOLE_ADDRESS": "127.0.0.1:0"}
        super().__init__([worker, "console"], settings)
