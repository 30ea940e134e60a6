"""All rules, in one order."""

import alarms
import consumers
import declared
import deploy
import environment
import hygiene
import layout
import references
import rights
from hcl import Tree


def check(root):
    tree = Tree(root)
    return [fault for rule in (layout, references, consumers, environment, rights, alarms, declared, deploy, hygiene) for fault in rule.check(tree)]
