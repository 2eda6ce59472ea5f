"""A trace becomes a tree, and a large one is folded."""

from time import perf_counter

import pytest

from otel_llm.cli.tree import Folded, Node, build, rows, walk
from tests.cli.spans import call, failed_call, span


def names(found):
    return [
        row.content.span.name if isinstance(row.content, Node) else f"fold {row.content.size}"
        for row in found
    ]


def test_children_come_in_the_order_of_their_start():
    roots = build([span(3, "c", parent=1, start_ms=9), span(2, "b", parent=1, start_ms=5), span(1, "a")])
    assert names(rows(roots, None)) == ["a", "b", "c"]
    assert [row.depth for row in rows(roots, None)] == [0, 1, 1]


def test_a_span_whose_parent_is_missing_is_a_root_and_says_so():
    roots = build([span(2, "b", parent=99), span(1, "a")])
    assert [(root.span.name, root.orphan) for root in roots] == [("b", True), ("a", False)]


@pytest.mark.parametrize("loop", [[(1, 1)], [(1, 2), (2, 1)], [(1, 3), (2, 1), (3, 2)]])
def test_spans_that_are_each_others_ancestors_are_shown_once(loop):
    roots = build([span(number, str(number), parent=parent, start_ms=number) for number, parent in loop])
    assert sorted(node.span.name for node in walk(roots)) == sorted(str(number) for number, _ in loop)


def test_a_small_trace_is_not_folded():
    spans = [span(1, "root"), *(call(n, parent=1, start_ms=n) for n in range(2, 60))]
    assert len(rows(build(spans), 60)) == 59


def test_a_fold_keeps_the_first_the_last_the_slowest_and_what_failed():
    spans = [span(1, "root", took_ms=5000)]
    spans += [call(n, parent=1, start_ms=n) for n in range(2, 1002)]
    spans[500] = failed_call(501, parent=1, start_ms=501)
    spans[700] = call(701, "slow", parent=1, start_ms=701, took_ms=300)
    found = rows(build(spans), 60)
    shown = [row.content for row in found if isinstance(row.content, Node)]
    assert {"0000000000000002", "00000000000003e9"} <= {node.span.span_id for node in shown}
    assert any(node.facts.failed for node in shown)
    assert any(node.span.name == "chat slow" for node in shown)
    folded = [row.content for row in found if isinstance(row.content, Folded)]
    assert sum(fold.size for fold in folded) + len(shown) == 1001
    assert not any(node.facts.failed for fold in folded for node in fold.nodes())


@pytest.mark.parametrize("shape", ["wide", "deep", "bushy"])
def test_any_shape_of_two_thousand_spans_becomes_a_screenful_quickly(shape):
    parent = {"wide": lambda n: 1, "deep": lambda n: n - 1, "bushy": lambda n: n // 2}[shape]
    spans = [span(1, "root")] + [call(n, parent=parent(n), start_ms=n) for n in range(2, 2001)]
    begin = perf_counter()
    found = rows(build(spans), 60)
    assert perf_counter() - begin < 1.0
    assert len(found) <= 60
    sizes = sum(row.content.size if isinstance(row.content, Folded) else 1 for row in found)
    assert sizes == 2000


def test_a_chain_deeper_than_pythons_stack_is_shown_in_full():
    spans = [span(1, "root")] + [span(n, str(n), parent=n - 1, start_ms=n) for n in range(2, 5001)]
    found = rows(build(spans), None)
    assert [found[-1].depth, len(found)] == [4999, 5000]
