"""Pages that the programs know better than any author."""

import api
import cli
import metrics
import pages

BINARIES = pages.ROOT / "target" / "debug"


def generated(binaries):
    """Each generated page with what it should say."""
    yield pages.ROOT / "docs" / "reference" / "cli.md", cli.page(binaries)
    yield pages.ROOT / "docs" / "reference" / "api.md", api.page(api.describe(binaries))
    yield pages.ROOT / "docs" / "reference" / "server-metrics.md", metrics.page()


def undocumented(binaries):
    """Variables that a daemon reads and its page does not name."""
    for program, variables in cli.variables(binaries):
        path = pages.ROOT / "docs" / "ops" / f"{program}.md"
        if not path.exists():
            continue
        text = path.read_text()
        for name in variables:
            if f"`{name}`" not in text:
                yield f"{path.relative_to(pages.ROOT)}: `{name}` is missing, which {program} reads"
