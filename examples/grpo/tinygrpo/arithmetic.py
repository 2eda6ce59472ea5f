"""A tool for sums, written like Python: an evaluator of its own, which knows numbers and four signs, and nothing else.

A program's text is never run: it is parsed, and what is not arithmetic is refused.
"""

import ast
import operator
from collections.abc import Callable
from typing import Final

LONGEST: Final = 200
LARGEST: Final = 10**12
_SIGNS: Final[dict[type[ast.AST], Callable[..., float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.USub: operator.neg,
}


def evaluate(text: str) -> int:
    """Return what a sum of whole numbers comes to.

    Args:
        text: numbers, `+ - * //`, brackets.

    Raises:
        ValueError: it is anything else, too long, too large, or divides by zero.
    """
    if len(text) > LONGEST:
        raise ValueError("too long")
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError, ZeroDivisionError) as error:
        raise ValueError(type(error).__name__) from error


def _value(node: ast.AST) -> int:
    match node:
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            found = number
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _SIGNS:
            found = int(_SIGNS[type(sign)](_value(left), _value(right)))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            found = -_value(operand)
        case _:
            raise ValueError(f"{type(node).__name__} is not arithmetic")
    if abs(found) > LARGEST:
        raise ValueError("too large")
    return found
