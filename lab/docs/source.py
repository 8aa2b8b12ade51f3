"""Show the reference's own code on a page: by the name of a function, so that it cannot rot.

    ```source
    mydocker/rootfs/pivot.py make_private
    ```

The block becomes the code as it stands in the checkout. `Class.method` names a method, `NAME` an
assignment; `- docs` after the name leaves the docstring out. A name that is not there fails the
build.
"""

from __future__ import annotations

import ast
import textwrap

from lab.docs.blocks import CHECKOUT


def show(line: str) -> tuple[str, str]:
    """The path, and the code that `PATH NAME [- docs]` names."""
    path, name, *rest = line.split()
    text = (CHECKOUT / path).read_text()
    node: ast.AST = ast.parse(text)
    for part in name.split("."):
        node = _child(node, part, f"{path} {name}")
    lines = text.splitlines()
    first, last = _range(node)
    kept = lines[first - 1 : last]
    if rest == ["-", "docs"] and isinstance(node, ast.FunctionDef | ast.ClassDef):
        start = node.body[0]
        if isinstance(start, ast.Expr) and isinstance(start.value, ast.Constant):
            assert start.end_lineno is not None
            kept = lines[first - 1 : start.lineno - 1] + lines[start.end_lineno : last]
    return path, textwrap.dedent("\n".join(kept))


def _child(node: ast.AST, name: str, wanted: str) -> ast.AST:
    for child in getattr(node, "body", []):
        if isinstance(child, ast.FunctionDef | ast.ClassDef) and child.name == name:
            return child
        if isinstance(child, ast.Assign):
            names = [t.id for t in child.targets if isinstance(t, ast.Name)]
            if name in names:
                return child
    raise ValueError(f"{wanted}: there is no {name} in the source any more")


def _range(node: ast.AST) -> tuple[int, int]:
    assert isinstance(node, ast.stmt)
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(d.lineno for d in decorators)])
    return first, node.end_lineno or node.lineno
