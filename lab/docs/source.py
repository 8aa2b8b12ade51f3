"""Show the reference's own code on a page: by the name of a function, so that it cannot rot.

    ```source
    mydocker/rootfs/pivot.py make_private
    ```

The block becomes the code as it stands in the checkout. `Class.method` names a method, `NAME` an
assignment; `- docs` after the name leaves the docstring out. A directory stands for the one module
in it that has the name, since functions move. A name that is not there fails the build.
"""

from __future__ import annotations

import ast
import textwrap

from lab.docs.blocks import CHECKOUT


def show(line: str) -> tuple[str, str]:
    """The path, and the code that `PATH NAME [- docs]` names."""
    path, name, *rest = line.split()
    path = _module(path, name)
    text = (CHECKOUT / path).read_text()
    found = _find(ast.parse(text), name)
    if found is None:
        raise ValueError(f"{line}: there is no such name in the source any more")
    node = found
    lines = text.splitlines()
    first, last = _range(node)
    kept = lines[first - 1 : last]
    if rest == ["-", "docs"] and isinstance(node, ast.FunctionDef | ast.ClassDef):
        start = node.body[0]
        if isinstance(start, ast.Expr) and isinstance(start.value, ast.Constant):
            assert start.end_lineno is not None
            kept = lines[first - 1 : start.lineno - 1] + lines[start.end_lineno : last]
    return path, textwrap.dedent("\n".join(kept))


def _module(path: str, name: str) -> str:
    """The module itself, or the one of a directory that has the name."""
    if (CHECKOUT / path).is_file():
        return path
    modules = sorted((CHECKOUT / path).glob("*.py"))
    having = [file for file in modules if _find(ast.parse(file.read_text()), name)]
    if len(having) != 1:
        raise ValueError(f"{path} {name}: {len(having)} modules there have it, not one")
    return str(having[0].relative_to(CHECKOUT))


def _find(node: ast.AST, name: str) -> ast.AST | None:
    first, _, rest = name.partition(".")
    for child in getattr(node, "body", []):
        if isinstance(child, ast.FunctionDef | ast.ClassDef) and child.name == first:
            return _find(child, rest) if rest else child
        if isinstance(child, ast.Assign) and not rest:
            names = [target.id for target in child.targets if isinstance(target, ast.Name)]
            if first in names:
                return child
    return None


def _range(node: ast.AST) -> tuple[int, int]:
    assert isinstance(node, ast.stmt)
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(d.lineno for d in decorators)])
    return first, node.end_lineno or node.lineno
