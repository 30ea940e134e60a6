"""`parallax serve` on a folder, started and ended as its user does."""

import re
import signal
import subprocess
from urllib.parse import urlsplit


class Served:
    """One run of the server."""

    def __init__(self, parallax, folder):
        command = [parallax, "serve", "--listen", "127.0.0.1:0", "--folder", folder]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.link = re.search(r"http://\S+", line)[0]
        self.host = urlsplit(self.link).netloc

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        assert code == 0, f"parallax serve ended with {code}"
