"""The check of second derivatives, which gradient penalties take through a discriminator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from gancore.games.discriminator import Discriminator
from gancore.testing.bench import RecipeBench
from gancore.testing.check import Breach, one_line
from gancore.testing.compare import finite
from gancore.testing.network_checks import discriminators, judged
from gancore.trees import leaves, map_tree

KEEP = "write the backward of that operation in operations that can be differentiated themselves"


def differentiates_twice(bench: RecipeBench) -> None:
    """The gradient of a discriminator with respect to its input can be differentiated: penalties need it."""
    for name, discriminator in discriminators(bench).items():
        batch = bench.reals(bench.draw())
        points = map_tree(lambda x: x.detach().requires_grad_(), discriminator.embed(batch.data))
        logits = judged(bench, discriminator, points, batch.condition, embedded=True)
        own = _operations(logits)
        first = _gradient(logits.sum(), leaves(points), f"{name}: backward{own}", create_graph=True)
        squares = [g.square().sum() for g in first if g is not None]
        if not squares or not any(square.requires_grad for square in squares):
            raise Breach(f"{name}: the gradient by its input has no graph of its own{own}", KEEP)
        sqnorm = torch.stack(squares).sum()
        if any(node.name() == "torch::autograd::Error" for node in _nodes(sqnorm)):
            raise Breach(f"{name}: double backward meets an operation that is once_differentiable{own}", KEEP)
        params = [p for p in discriminator.parameters() if p.requires_grad]
        second = _gradient(sqnorm, params, f"{name}: double backward{own}")
        live = [g for g in second if g is not None]
        if not all(map(finite, live)):
            raise Breach(f"{name}: double backward gives values that are not finite", "mind sqrt, log at 0")
        if not any(bool(g.any()) for g in live):
            raise Breach(f"{name}: double backward reaches no parameter{own}", KEEP)
        _require_true_derivatives(bench, name, discriminator, logits)


def _require_true_derivatives(
    bench: RecipeBench, name: str, discriminator: Discriminator, logits: Tensor
) -> None:
    """An operation with a backward of its own may give a second derivative that is wrong without a word."""
    batch = bench.reals(bench.draw())
    for function in _functions(logits):
        with _recorded(function) as calls, torch.no_grad():
            judged(bench, discriminator, batch.data, batch.condition)
        for given in calls[:1]:
            points = [_point(argument) for argument in given]
            if any(isinstance(point, Tensor) and point.requires_grad for point in points):
                try:
                    torch.autograd.gradgradcheck(function.apply, points, fast_mode=True, nondet_tol=1e-9)
                except GradcheckError as error:
                    raise Breach(
                        f"{name}: the second derivative of {function.__name__} is not that of finite "
                        f"differences: {one_line(str(error))[:120]}",
                        KEEP,
                    ) from error
                except RuntimeError:
                    continue  # it takes no double precision: finite differences would tell nothing


def _point(argument: Any) -> Any:
    """An argument in double precision, to be differentiated by."""
    if isinstance(argument, Tensor) and argument.is_floating_point():
        return argument.detach().double().requires_grad_()
    return argument


@contextlib.contextmanager
def _recorded(function: Any) -> Iterator[list[tuple[Any, ...]]]:
    """Within, what an operation is called with is noted."""
    calls: list[tuple[Any, ...]] = []
    apply = function.apply

    def noted(*given: Any) -> Any:
        calls.append(given)
        return apply(*given)

    function.apply = staticmethod(noted)
    try:
        yield calls
    finally:
        del function.apply


def _gradient(
    output: Tensor, inputs: Sequence[Tensor], what: str, create_graph: bool = False
) -> list[Tensor | None]:
    try:
        return list(torch.autograd.grad(output, inputs, create_graph=create_graph, allow_unused=True))
    except RuntimeError as error:
        raise Breach(
            f"{what} fails: {' '.join(str(error).split())[:200]}",
            KEEP,
        ) from error


def _operations(logits: Tensor) -> str:
    """Names the operations behind ``logits`` whose backward is written by hand, where there are any."""
    names = sorted(function.__name__ for function in _functions(logits))
    return f" (operations with a backward of their own: {', '.join(names)})" if names else ""


def _functions(tensor: Tensor) -> set[Any]:
    """The subclasses of torch.autograd.Function behind a tensor."""
    found = (getattr(type(node), "_forward_cls", None) for node in _nodes(tensor))
    return {function for function in found if function is not None}


def _nodes(tensor: Tensor) -> Iterator[Any]:
    """The graph behind a tensor."""
    seen: set[Any] = set()
    waiting = [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [before for before, _ in node.next_functions]
