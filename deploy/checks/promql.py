"""Which labels an expression's result has, and what in it cannot be: a metric, a label or a value that nothing has."""
import re

import promql_parser as parser

# What Prometheus adds to every series that it scrapes, on Kubernetes and elsewhere; there alone: `namespace`. Rules that
# used more of a pod's labels would not work on one machine.
TARGET = {"job", "instance", "namespace"}
SET_OPERATORS = ("and", "or", "unless")


class Unknown(Exception):
    """Something that is not there."""


def labels(text, catalogue):
    """The labels of the result of an expression; `catalogue` has the labels of every metric, and their values if known."""
    return of(parser.parse(text), catalogue)


def of(node, catalogue):
    if isinstance(node, parser.VectorSelector):
        return of_selector(node, catalogue)
    if isinstance(node, parser.MatrixSelector):
        return of_selector(node.vector_selector, catalogue)
    if isinstance(node, (parser.ParenExpr, parser.SubqueryExpr, parser.UnaryExpr)):
        return of(node.expr, catalogue)
    if isinstance(node, parser.AggregateExpr):
        return of_aggregation(node, catalogue)
    if isinstance(node, parser.BinaryExpr):
        return of_operation(node, catalogue)
    if isinstance(node, parser.Call):
        return of_call(node, catalogue)
    return None  # A number, or a text.


def of_selector(node, catalogue):
    if node.name not in catalogue:
        raise Unknown(f"there is no metric {node.name}")
    known = catalogue[node.name]
    for matcher in node.matchers.matchers:
        if matcher.name in TARGET:
            continue
        if matcher.name not in known:
            raise Unknown(f"{node.name} has no label {matcher.name}")
        values = known[matcher.name]
        # A value that is excluded has to be one as well. Patterns are looked into only when they are plain alternatives.
        wanted = matcher.value.split("|") if re.fullmatch(r"[\w|]+", matcher.value) else []
        for value in wanted if values else []:
            if value not in values:
                raise Unknown(f"the label {matcher.name} of {node.name} is never {value}")
    return set(known) | TARGET


def of_aggregation(node, catalogue):
    inner = of(node.expr, catalogue)
    if node.modifier is None:
        return set()
    named = set(node.modifier.labels)
    if missing := named - inner:
        raise Unknown(f"what is added up has no label {', '.join(sorted(missing))}")
    return named if node.modifier.type == parser.AggModifierType.By else inner - named


def of_operation(node, catalogue):
    left, right = of(node.lhs, catalogue), of(node.rhs, catalogue)
    if left is None or right is None:
        return right if left is None else left
    modifier, operator = node.modifier, str(node.op)
    matching = modifier.matching if modifier else None
    on = matching is not None and matching.type == parser.LabelModifierType.Include
    if matching is not None:
        for side in (left, right) if on else ():
            if missing := set(matching.labels) - side:
                raise Unknown(f"one side of {operator} has no label {', '.join(sorted(missing))}")
        if not on and (missing := set(matching.labels) - (left | right)):
            raise Unknown(f"no side of {operator} has a label {', '.join(sorted(missing))}")
    elif left != right and operator != "or":
        raise Unknown(f"the sides of {operator} never meet: only one has {', '.join(sorted(left ^ right))}")
    if operator in SET_OPERATORS:
        return left | right if operator == "or" else left
    if modifier is not None and modifier.card == parser.VectorMatchCardinality.ManyToOne:
        return left | set(modifier.group_labels or [])
    if on:
        return set(matching.labels)
    return left - set(matching.labels) if matching is not None else left


def of_call(node, catalogue):
    inner = [of(argument, catalogue) for argument in node.args]
    if node.func.name in ("vector", "absent", "absent_over_time"):
        return set()
    if node.func.name in ("time", "scalar"):
        return None
    taken = next((found for found in inner if found is not None), set())
    if node.func.name == "label_replace":
        return taken | {node.args[1].val}
    if node.func.name == "histogram_quantile":
        return taken - {"le"}
    return taken
