"""All rules, in one order."""

import alarms
import consumers
import declared
import deploy
import environment
import examples
import hygiene
import layout
import references
import rights
from hcl import Tree


RULES = (layout, references, consumers, environment, rights, alarms, declared, deploy, hygiene, examples)


def faults(root):
    """Faults as they are found."""
    tree = Tree(root)
    for rule in RULES:
        yield from rule.check(tree)


def check(root):
    return list(faults(root))
