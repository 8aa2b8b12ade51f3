"""A student's directory `work/` laid over this package: overlayfs, for Python modules.

An overlay has a lower directory, which is only read, and an upper one; a name is looked up in the
upper first (rootfs/overlay.py, the book's 4.2). Here the lower is `mydocker/`, and the upper is
`work/`, which mirrors it: if there is a `work/cgroups/v2.py`, `mydocker.cgroups.v2` is that. Python
asks the finders of `sys.meta_path` where a module is; `Upper` is one more, in front of the others.

overlayfs merges directories, and copies a file up whole. Modules are merged one step further: a
function that still raises NotImplementedError, as the course hands it out, is taken from the lower
module, so that mydocker runs while it is being written.

Invariant: where there is no `work/`, none of this is loaded. What comes from the upper directory is
always compiled from its source, since a file of bytecode beside it could be a save too old.
"""

from __future__ import annotations

import os
import sys
from _frozen_importlib_external import (
    SourceFileLoader,
    SourcelessFileLoader,
    spec_from_file_location,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from collections.abc import Iterable, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

STUB = b"raise NotImplementedError("
NOTICE = "mydocker: using work/, and the reference for what is not written there (see --reference)"


def install(home: str, work: str, words: list[str]) -> None:
    """Lay `work` over `home`/mydocker, unless `--reference` is among the options in `words`.

    MYDOCKER_REFERENCE=1 says the same. MYDOCKER_PURE=1 leaves what is not written unwritten.
    """
    told = "MYDOCKER_WORK" in os.environ
    if os.environ.get("MYDOCKER_REFERENCE") or declined(words):
        return
    if not told and not os.path.isdir(f"{home}/chapters"):  # not a checkout of the course
        return
    sys.meta_path.insert(0, Upper(work, f"{home}/mydocker"))
    if not told:
        os.environ["MYDOCKER_WORK"] = work  # mydocker may execute itself again: once is enough
        print(NOTICE, file=sys.stderr)


def declined(words: list[str]) -> bool:
    """Whether `--reference` stands before the name of the command."""
    queue = list(words)
    while queue and queue[0].startswith("-"):
        word = queue.pop(0)
        if word == "--reference":
            return True
        if word in ("--root", "--run-root", "--cgroup-parent"):
            del queue[:1]
    return False


class Upper:
    """The finder: knows the modules of the upper directory and leaves all others to the next."""

    def __init__(self, directory: str, lower: str) -> None:
        self.directory = directory
        self.lower = lower

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The upper file of a module: its source, or what the course has compiled from it."""
        package, _, inner = name.partition(".")
        if package != "mydocker" or not inner:
            return None
        inner = inner.replace(".", "/")
        for end in (".py", "/__init__.py"):
            file = f"{self.directory}/{inner}{end}"
            if os.path.isfile(file):
                loader = Source(name, file)
                loader.lower = f"{self.lower}/{inner}{end}"
                below = None if end == ".py" else [f"{self.lower}/{inner}"]
                return spec_from_file_location(
                    name, file, loader=loader, submodule_search_locations=below
                )
        compiled = f"{self.directory}/{inner}.pyc"
        if os.path.isfile(compiled):
            return spec_from_file_location(
                name, compiled, loader=SourcelessFileLoader(name, compiled)
            )
        return None


class Source(SourceFileLoader):
    """A loader that reads no bytecode and leaves none."""

    lower = ""

    def get_code(self, fullname: str) -> CodeType:
        """The code of a module, its unwritten functions taken from the lower one."""
        data = bytes(self.get_data(self.path))
        if STUB not in data or os.environ.get("MYDOCKER_PURE") or not os.path.isfile(self.lower):
            return self.source_to_code(data, self.path)  # type: ignore[no-any-return,unused-ignore]
        import ast

        tree = ast.parse(data, self.path)
        unwritten = [name for name, node in functions(tree).items() if is_stub(node)]
        merge(tree, ast.parse(self.get_data(self.lower)), unwritten)
        return compile(tree, self.path, "exec", dont_inherit=True)


def functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """The functions of a module, and the methods of its classes as `Class.method`."""
    import ast

    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            methods = [inner for inner in node.body if isinstance(inner, ast.FunctionDef)]
            found.update({f"{node.name}.{method.name}": method for method in methods})
    return found


def is_stub(node: ast.FunctionDef) -> bool:
    """Whether the function is as it was handed out: a docstring, and the `raise`."""
    import ast

    last = node.body[-1]
    if len(node.body) > 2 or not isinstance(last, ast.Raise) or not isinstance(last.exc, ast.Call):
        return False
    return isinstance(last.exc.func, ast.Name) and last.exc.func.id == "NotImplementedError"


def merge(tree: ast.Module, lower: ast.Module, names: Iterable[str]) -> None:
    """Put the lower module's functions of these names into `tree`, in place or at the end."""
    import ast

    theirs = functions(lower)
    for name in names:
        where: list[ast.stmt] = tree.body
        outer, dot, inner = name.rpartition(".")
        if dot:
            classes = [n for n in where if isinstance(n, ast.ClassDef) and n.name == outer]
            if not classes:
                continue
            where = classes[0].body
        if name not in theirs:
            continue
        places = [
            index
            for index, node in enumerate(where)
            if isinstance(node, ast.FunctionDef) and node.name == inner
        ]
        if places:
            where[places[-1]] = theirs[name]
        else:
            where.append(theirs[name])
