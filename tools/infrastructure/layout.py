"""The canonical layout of Terraform files, as far as machines without Terraform can tell it.

Indentation follows brackets by twos, and the signs of equality of lines that stand together are below
each other. Where Terraform is installed, `terraform fmt` has the last word.
"""

import functools
import re

ASSIGNMENT = re.compile(r'^( *)((?:"[^"]*"|\([^)]*\)|[\w.-]+)) *= ?(.*)$')


def without_strings(line):
    line = re.sub(r'"(?:[^"\\]|\\.)*"', '""', line)
    return re.sub(r"(^|\s)(#|//).*$", "", line)


@functools.lru_cache(maxsize=None)
def check_text(name, text):
    depth, heredoc, group, faults = 0, None, [], []

    def close():
        # Lines that stand together have their signs in one column, which the longest name sets.
        if group:
            column = max(len(indent) + len(key) for _, indent, key, _ in group) + 1
            faults.extend(f"{name}:{number}: = is not in column {column + 1}" for number, *_, at in group if at != column)
        group.clear()

    for number, line in enumerate(text.splitlines(), 1):
        if heredoc:
            if line.strip() == heredoc:
                heredoc = None
            continue
        if "\t" in line or line != line.rstrip():
            faults.append(f"{name}:{number}: a tab, or space at the end")
        code = without_strings(line)
        opened = sum(map(code.count, "([{")) - sum(map(code.count, ")]}"))
        leading = re.match(r"[\s)\]}]*", code).group()
        closing = sum(map(leading.count, ")]}"))
        if line.strip():
            # Brackets that a line opens together indent once.
            expected = 2 * max(0, depth - (1 if closing else 0))
            if len(line) - len(line.lstrip()) != expected:
                faults.append(f"{name}:{number}: indented by {len(line) - len(line.lstrip())}, not {expected}")
        found = ASSIGNMENT.match(line)
        begins = re.search(r"<<-?(\w+)$", line)
        # A here-document stands among the lines around it as if it were one.
        if found and opened == 0:
            if group and group[-1][1] != found.group(1):
                close()
            group.append((number, found.group(1), found.group(2), line.index("=", len(found.group(1)) + len(found.group(2)))))
        else:
            close()
        if begins:
            heredoc = begins.group(1)
        depth = max(0, depth + (1 if opened > 0 else -1 if opened < 0 else 0))
    close()
    return faults


def check(tree):
    return [fault for path, module in tree.modules.items() for file, text in module.files.items() for fault in check_text(f"terraform/{path}/{file}", text)]
