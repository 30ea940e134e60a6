"""What programs must not link, whatever the features of their crates could bring."""

import subprocess

# The daemon runs where no network does: the engines with weights are the server's.
NEVER = {"video-worker": {"candle-core", "parallax-nn"}}


def tree(program, root):
    """The packages that a build of the program alone links, one a line."""
    command = ["cargo", "tree", "--offline", "-e", "normal", "--prefix", "none", "-f", "{p}", "-p", program]
    return subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout


def check(trees):
    """One sentence for each package that a program must not link; `trees` has its tree by its name."""
    faults = []
    for program, never in NEVER.items():
        linked = {line.split()[0] for line in trees[program].splitlines() if line}
        faults += [f"{program} links {name}: its build has no networks" for name in sorted(linked & never)]
    return faults
