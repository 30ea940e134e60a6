"""Planted faults: a check that finds none of these checks nothing."""

import pathlib
import tempfile

import circles
import layers
import linked
import shapes

CLEAN = {
    "lib.rs": "mod a;\nmod b;\npub mod deep;\npub use b::{B, fresh};\n",
    "a.rs": "use crate::B;\npub struct A(B);\n",
    "b.rs": "pub struct B;\npub fn fresh() -> B { B }\n#[cfg(test)]\nmod tests { use crate::a::A; }\n",
    "deep/mod.rs": "mod leaf;\npub use leaf::Leaf;\n",
    "deep/leaf.rs": "use super::super::a::A;\npub struct Leaf(A);\n// crate::deep::Leaf, \"crate::a::A\"\n",
}

# What is written over a file of CLEAN, and two files that the circle must name.
CIRCLES = {
    "an import": ({"b.rs": "use crate::a::A;\npub struct B;\nfn f(_: A) {}"}, "b.rs", "a.rs"),
    "a path in code": ({"b.rs": "pub struct B;\nfn f(_: crate::a::A) {}"}, "b.rs", "a.rs"),
    "a re-export": ({"b.rs": "use crate::deep::Leaf;\npub struct B(Leaf);"}, "b.rs", "leaf.rs"),
    "a glob": ({"b.rs": "use crate::a::*;\npub struct B(A);"}, "b.rs", "a.rs"),
    "a module's name": ({"b.rs": "use super::a;\npub struct B(a::A);"}, "b.rs", "a.rs"),
    "a renamed group": ({"b.rs": "use crate::{a::{self as other}};\nstruct B(other::A);"}, "b.rs", "a.rs"),
    "a function's own import": ({"b.rs": "pub struct B;\nfn f() { use crate::a::A; }"}, "b.rs", "a.rs"),
    "an attribute's path": ({"b.rs": "pub struct B {\n#[arg(long, value_parser = crate::a::A)]\nc: u8 }"}, "b.rs", "a.rs"),
    "a macro's path": ({"b.rs": "pub struct B;\nmacro_rules! m { () => { $crate::a::A } }"}, "b.rs", "a.rs"),
    "code beside tests": (
        {"b.rs": "#[cfg(test)]\nuse std::fmt;\nuse crate::a::A;\npub struct B(A);"},
        "b.rs",
        "a.rs",
    ),
    "a parent that defines": (
        {"deep/mod.rs": "mod leaf;\npub struct Top(leaf::Leaf);", "deep/leaf.rs": "pub struct Leaf(super::Top);"},
        "mod.rs",
        "leaf.rs",
    ),
}

# (folder of the user, kind of dependency, folder of the used, allowed)
ARROWS = [
    ("crates/video/one", None, "crates/core/two", True),
    ("crates/core/one", None, "crates/core/two", True),
    ("crates/core/one", "dev", "crates/testing/two", True),
    ("tests", None, "crates/testing/two", True),
    ("crates/core/one", None, "crates/video/two", False),
    ("crates/core/one", "dev", "crates/video/two", False),
    ("crates/models/one", None, "crates/core/two", False),
    ("crates/runtime/one", None, "crates/core/two", False),
    ("crates/platform/one", None, "crates/services/two", False),
    ("crates/core/one", None, "crates/testing/two", False),
    ("bin/one", None, "crates/testing/two", False),
    ("crates/engines/one", None, "bin/two", False),
    ("bin/one", None, "tools/two", False),
    ("crates/elsewhere/one", None, "crates/core/two", False),
]


LONG = "pub fn long(a: u8)\nwhere\n    u8: Copy,\n{" + "\n    let _ = a;" * 76 + "\n}\n"

# A function, and whether it is too long or takes too much apart.
FUNCTIONS = [
    (LONG, True),
    (LONG.replace("    let _ = a;\n", "", 1), False),
    ("trait T {\n    fn short(&self);\n" + "\n" * 90 + "}\n", False),
    ("fn taken((a, b): (u8, u8), c: (u8, u8, u8)) {}\n", False),
    ("fn taken(&self, (a, b, mut c): (u8, u8, u8)) {}\n", True),
    ("impl X {\n    fn taken((a, (b, c)): (u8, (u8, u8))) {}\n}\n", True),
    ("fn closure() { run(|(a, b, c)| a) }\n", False),
]

# Files beside CLEAN's that give `B` methods, and whether they are spread too far.
SPREAD = [
    ({"b.rs": CLEAN["b.rs"] + "impl B { fn b() {} }", "a.rs": "use crate::B;\npub struct A(B);\nimpl B {}"}, False),
    ({"a.rs": "use crate::B;\npub struct A(B);\nimpl<T> B<T> {}", "deep/leaf.rs": "pub struct Leaf;\nimpl super::super::b::B {}", "lib.rs": CLEAN["lib.rs"] + "impl B {}"}, True),
    ({"a.rs": "use crate::B;\npub struct A(B);\nimpl Clone for B {}", "deep/leaf.rs": "pub struct Leaf;\nimpl super::super::b::B {}", "lib.rs": CLEAN["lib.rs"] + "impl B {}"}, False),
]


def package(name, folder, root, dependencies=(), targets=()):
    manifest = str(root / folder / "Cargo.toml")
    return {"name": name, "manifest_path": manifest, "dependencies": dependencies, "targets": targets}


def found(files, check):
    """What `check` says of a crate of these files."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        target = {"kind": ["lib"], "src_path": str(root / "lib.rs")}
        workspace = {"packages": [package("one", ".", root, targets=[target])]}
        return check(workspace, root)


def circle_faults():
    none = found(CLEAN, circles.check)
    if none:
        yield f"a tree without circles: {none}"
    for name, (changed, *files) in CIRCLES.items():
        one = found(CLEAN | changed, circles.check)
        if len(one) != 1 or not all(file in one[0] for file in files):
            yield f"a circle by {name}: {one}"


def arrow_faults():
    root = pathlib.Path("/workspace")
    for user, kind, used, allowed in ARROWS:
        uses = [{"name": "two", "kind": kind}, {"name": "serde", "kind": None}]
        workspace = {"packages": [package("one", user, root, uses), package("two", used, root)]}
        if bool(layers.check(workspace, root)) == allowed:
            yield f"{user} -> {used} ({kind or 'normal'}), allowed: {allowed}"


def link_faults():
    clean = "video-worker v0.1.0 (/workspace)\nparallax-catalogue v0.1.0 (*)\n"
    if linked.check({"video-worker": clean}):
        yield "a daemon without networks"
    if len(linked.check({"video-worker": clean + "candle-core v0.11.0\n"})) != 1:
        yield "a daemon that links candle"


def shape_faults():
    for text, faulty in FUNCTIONS:
        if bool(list(shapes.of_file("a.rs", text))) != faulty:
            yield f"a function, faulty: {faulty}:\n{text[:200]}"
    for changed, faulty in SPREAD:
        said = found(CLEAN | changed, lambda workspace, root: shapes.check(workspace, root, []))
        if bool(said) != faulty:
            yield f"a type's methods, spread: {faulty}: {said}"


def run():
    """The exit status: 0 if every planted fault is found, and nothing else."""
    wrong = [*circle_faults(), *arrow_faults(), *link_faults(), *shape_faults()]
    for fault in wrong:
        print(f"self-test: {fault}")
    planted = f"{len(CIRCLES)} circles, {len(ARROWS)} arrows and {len(FUNCTIONS) + len(SPREAD)} shapes"
    print(f"self-test: {planted} planted, {len(wrong)} judged wrongly")
    return 1 if wrong else 0
