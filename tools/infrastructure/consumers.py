"""Every queue has somebody who takes from it, and every role of the daemon runs somewhere."""

import re


def roles_of_code(tree):
    text = tree.read("crates/core/worker/src/roles.rs")
    found = set(re.findall(r'(?:Role|Self)::\w+ => "([a-z-]+)"', text))
    return found or {"of code, which cannot be read"}


def defaults(worker):
    """The roles of each service, as its variable has them by default."""
    text = worker.files["variables.tf"]
    found = {}
    for service, body in re.findall(r'variable "(\w+)" \{(.*?)\n\}', text, re.S):
        roles = re.search(r"roles\s*=\s*optional\(list\(string\), \[([^\]]*)\]\)", body)
        if roles:
            found[service] = re.findall(r'"([a-z-]+)"', roles.group(1))
    return found


def given(call, text, services):
    """The roles that a call of the module ends up with."""
    roles = dict(services)
    for service in services:
        if service in call:
            said = re.search(service + r"\s*=\s*\{.*?roles\s*=\s*\[([^\]]*)\]", text, re.S)
            if "null" in str(call[service]) or call[service] is None:
                roles[service] = []
            elif said:
                roles[service] = re.findall(r'"([a-z-]+)"', said.group(1))
    return {role for some in roles.values() for role in some}


def check(tree):
    worker = tree.module("worker")
    queues = set(tree.module("data").locals["queues"])
    queue_of = worker.locals["queue_of"]
    services = defaults(worker)
    faults = []
    for role in sorted(roles_of_code(tree) - {role for some in services.values() for role in some}):
        faults.append(f"no service of modules/worker has the role {role}")
    for queue in sorted(queues):
        if f'var.queues["{queue}"].url' not in worker.text:
            faults.append(f"modules/worker: the daemon is not told the queue {queue}")
    for name, module in tree.modules.items():
        calls = dict(module.blocks("module"))
        sources = {call["source"].rsplit("/", 1)[-1]: call for call in calls.values()}
        if not {"data", "worker"} <= set(sources):
            continue
        takes = {queue_of[role] for role in given(sources["worker"], module.text, services) if role in queue_of}
        faults += [f"{name}: nobody takes from the queue {queue}" for queue in sorted(queues - takes)]
    return faults
