"""The licences of everything that the programs are made of, with their texts."""

import packages

HEAD = """\
Licences of third-party software in parallax and video-worker {version}

The programs are licensed under Apache-2.0 (see LICENSE). They are made of the packages below, each under its
own licence. Texts that several packages share are printed once.

ffmpeg and ffprobe are separate programs which these start; they are not part of this archive and nothing of them
is linked. Builds of ffmpeg with libx264 or libx265, as most distributions have them, are under the GNU General
Public License, version 2 or later; whoever passes them on, as in a container image, passes on its terms and offers
its source. Model weights are not part of this archive either and have licences of their own; the programs name
them before a download.

The programs are linked with the GNU C Library (LGPL-2.1-or-later) without its being a separate file. The source of
these programs is public and `tools/release` builds them, so they can be linked anew with another version of it.
"""


def page(known, programs, version):
    """The page, and the packages that came without a text."""
    found = {}
    for program in programs:
        for package, _ in packages.linked(known, program)[1].values():
            if package["source"]:
                found[(package["name"], package["version"])] = package
    shared, bare = {}, []
    for (name, number), package in sorted(found.items()):
        files = packages.texts(package)
        if not files:
            bare.append(package)
        for file in files:
            text = file.read_text(errors="replace").strip()
            shared.setdefault(" ".join(text.split()), (text, []))[1].append(f"{name} {number} ({file.name})")
    parts = [HEAD.format(version=version), "Packages\n========\n"]
    for (name, number), package in sorted(found.items()):
        authors = ", ".join(package["authors"])
        parts.append(f"{name} {number}: {packages.licence(package)}" + (f"; {authors}" if authors else ""))
    if bare:
        names = ", ".join(f"{one['name']} {one['version']}" for one in bare)
        parts.append(
            "\nThese came without a file of their own; their licences, as named above, are those whose texts others "
            f"brought:\n{names}"
        )
    parts.append("\nTexts\n=====")
    for text, whose in shared.values():
        parts.append(f"\n{'-' * 100}\n{chr(10).join(whose)}\n\n{text}")
    return "\n".join(parts) + "\n", bare
