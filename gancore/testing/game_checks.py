"""Checks of a recipe's game: configuration, costs, gradients and second derivatives."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError

from gancore.config_layers import load_config_file
from gancore.config_yaml import to_yaml
from gancore.data.dataset import Spec
from gancore.games.adversarial import AdversarialGame
from gancore.games.discriminator import Discriminator
from gancore.games.game import Game
from gancore.games.training_step import TrainingStep
from gancore.models.model import build_game
from gancore.nn.dropout import find_global_rng_layer
from gancore.testing.check import (
    CheckFailure,
    SkipCheck,
    collapse_spaces,
    differing_names,
    global_seed,
    tree_all_finite,
    trees_equal,
)
from gancore.testing.domain_checks import check_section
from gancore.testing.fixtures import RecipeFixture
from gancore.testing.network_checks import discriminators, logits_of
from gancore.training.precision import check_precision
from gancore.trees import tree_leaves, tree_map


def reaches_every_parameter(fixture: RecipeFixture) -> None:
    """Every parameter of every player gets a finite gradient, in the generator through the discriminator."""
    table = fixture.setup()
    _require_moves(table.game)
    reached: dict[str, set[str]] = {player: set() for player in table.game.players}
    for phase in table.game.phases:
        for step in range(4):
            training_step = TrainingStep(table, phase, step, step, progress=step / 4)
            for index, move in enumerate(phase.moves):
                gradient = training_step.gradient(move, training_step.draw(index))
                names = table.optimizers[move.player].names
                for name, tensor in zip(names, gradient.tensors, strict=True):
                    if tensor is not None and not tree_all_finite(tensor):
                        raise CheckFailure(
                            f"the gradient of {name} is not finite in step {step}",
                            "avoid sqrt and log of 0",
                        )
                    if tensor is not None and bool(tensor.any()):
                        reached[move.player].add(name)
                training_step.apply(move, gradient)
            table.game.after_step(training_step)
    for player, found in reached.items():
        lost = [name for name in table.optimizers[player].names if name not in found]
        if lost and not found:
            raise CheckFailure(
                f"no gradient reaches the {player}{_detached(fixture)}", "do not detach tensors on that path"
            )
        if lost:
            raise CheckFailure(
                f"no gradient reaches {', '.join(lost[:3])} of the {player} ({len(lost)} in all)",
                "use it in the forward pass, or do not create it (such as a bias before a normalisation)",
            )


def costs_are_pure(fixture: RecipeFixture) -> None:
    """A cost has the same value when evaluated again, and changes no state: some dynamics evaluate it twice.

    Running statistics of batch normalisation may change if the game is batch_coupled.
    """
    table = fixture.setup()
    _require_moves(table.game)
    before = {name: tensor.clone() for name, tensor in table.game.state_dict().items()}
    for phase in table.game.phases:
        training_step = TrainingStep(table, phase, 0, 0, 0.0)
        for index, move in enumerate(phase.moves):
            values = []
            for seed in (1, 2):
                with global_seed(seed):
                    draw = training_step.draw(index)
                    with draw.noise():
                        values.append(table.game.cost(move, draw).total().detach())
            if not trees_equal(values[0], values[1]):
                raise CheckFailure(
                    f"the {move.cost} of the {move.player}, evaluated twice on one draw, is "
                    f"{float(values[0]):.6g} and {float(values[1]):.6g}{find_global_rng_layer(table.game)}",
                    "take random numbers from the draw; in modules, from gancore.games.noise",
                )
            after = table.game.state_dict()
            changed = [name for name in differing_names(before, after) if not _excused(table.game, name)]
            if changed:
                raise CheckFailure(
                    f"evaluating the {move.cost} of the {move.player} changes {changed[0]}",
                    "change state in after_move or after_step, never in a forward pass",
                )


def micro_batches_add_up(fixture: RecipeFixture) -> None:
    """Two micro-batches give the gradient of the global batch: training in parts or processes needs it."""
    _require_moves(fixture.game)
    if fixture.game.batch_coupled:
        raise SkipCheck("the game declares batch_coupled: its costs mix rows")
    if fixture.batch_size % 2:
        raise CheckFailure(f"tiny_config() has model.batch_size {fixture.batch_size}", "make it even")
    whole, parts = fixture.setup(), fixture.setup(micro_batches=2)
    for phase in whole.game.phases:
        for index, move in enumerate(phase.moves):
            gradients = []
            for table in (whole, parts):
                training_step = TrainingStep(table, phase, 0, 0, 0.0)
                gradients.append(training_step.gradient(move, training_step.draw(index)).tensors)
            names = whole.optimizers[move.player].names
            _require_same_gradient(f"the {move.cost} of the {move.player}", names, *gradients)


def trains_in_bf16(fixture: RecipeFixture) -> None:
    """One step in bf16 is finite: some machines train in bf16 under --precision auto."""
    table = fixture.setup()
    _require_moves(table.game)
    if table.game.fp32_by_default:
        raise SkipCheck("the game declares fp32_by_default")
    table = replace(table, bf16=True)
    table = replace(table, bf16="" not in check_precision(table).modules)
    for phase in table.game.phases:
        training_step = TrainingStep(table, phase, 0, 0, 0.0)
        for index, move in training_step.due_moves():
            gradient = training_step.gradient(move, training_step.draw(index))
            if not all(tree_all_finite(tensor) for tensor in gradient.tensors if tensor is not None):
                raise CheckFailure(
                    f"the {move.cost} of the {move.player} is not finite in bf16",
                    "set fp32_by_default = True on the game, or compute that part in fp32",
                )


def _require_moves(game: Game) -> None:
    if not any(phase.moves for phase in game.phases):
        raise SkipCheck("the game has no moves: it is not trained by gradients")


def _require_same_gradient(
    cost: str, names: list[str], one: list[Tensor | None], other: list[Tensor | None]
) -> None:
    scale = max((float(g.abs().max()) for g in one if g is not None), default=0.0) or 1.0
    for name, a, b in zip(names, one, other, strict=True):
        if (a is None) != (b is None) or (
            a is not None and b is not None and float((a - b).abs().max()) > 1e-3 * scale
        ):
            raise CheckFailure(
                f"{cost}: the gradient of {name} of two halves differs from that of the whole batch",
                "compute rows independently, pass masks to Cost.add, or set batch_coupled = True on the game",
            )


def _excused(game: Game, tensor: str) -> bool:
    owner = game.get_submodule(tensor.rpartition(".")[0])
    return game.batch_coupled and isinstance(owner, nn.modules.batchnorm._BatchNorm)


def _detached(fixture: RecipeFixture) -> str:
    """The place where the graph between the generator's cost and its parameters is cut, if it is found."""
    game = fixture.game
    if not isinstance(game, AdversarialGame):
        return ""
    draw = fixture.draw()
    batch = fixture.real_batch(draw)
    fake = game.make_fake(draw, batch.condition)
    embedded = game.discriminator.embed(fake)
    ways = (("the generator's output is detached", fake), ("embed detaches it", embedded))
    for cut, tree in ways:
        if not any(leaf.requires_grad for leaf in tree_leaves(tree)):
            return f": {cut}"
    points = tree_map(lambda x: x.detach().requires_grad_(), embedded)
    logits = logits_of(fixture, game.discriminator, points, batch.condition, embedded=True)
    grads = (
        torch.autograd.grad(logits.sum(), tree_leaves(points), allow_unused=True)
        if logits.requires_grad
        else []
    )
    return "" if any(g is not None and bool(g.any()) for g in grads) else ": logits does not use its input"


def configuration_round_trips(fixture: RecipeFixture) -> None:
    """Every key has a valid default and a description; a configuration written to YAML reads back equal."""
    check_section(fixture.recipe.Config, "model")
    config = fixture.config
    file = fixture.folder / "config.yaml"
    file.write_text(to_yaml(config))
    back = load_config_file(file)
    if back != config:
        before, after = config.model_dump(mode="json"), back.model_dump(mode="json")
        changed = [
            f"{section}.{key}: {value!r} reads back as {after[section].get(key)!r}"
            for section in ("data", "model")
            for key, value in before[section].items()
            if after[section].get(key) != value
        ]
        raise CheckFailure(
            f"the configuration does not read back equal ({', '.join(changed) or 'a type changes'})",
            "let validators return their own output unchanged; use plain types",
        )


def builds(fixture: RecipeFixture) -> None:
    """build gives a game from the configuration and the stored spec; equal seeds give equal parameters."""
    spec = fixture.domain_fixture.data.spec
    stored = Spec(json.loads(json.dumps(dict(spec.fields))), spec.tensors)
    made = []
    for seed in (1, 2):
        with global_seed(seed):
            game = build_game(fixture.recipe, fixture.config.model, stored, fixture.config.train.seed)
        if not isinstance(game, Game):
            raise CheckFailure(
                f"{type(fixture.recipe).__name__}.build returns {type(game).__name__}, not a Game",
                "return a gancore.games.Game: adversarial_game(...), likelihood_game(...), fitted_game(...),"
                " or your own",
            )
        made.append(game.state_dict())
    if lost := differing_names(*made):
        raise CheckFailure(
            f"{lost[0]} differs when the game is built again with the same seed",
            "draw initial parameters with torch's global generator only",
        )
    _ = fixture.prepared_setup


def has_declared_capabilities(fixture: RecipeFixture) -> None:
    """The sampler has exactly the capabilities that the entry declares; a lower bound is declared as one."""
    from gancore.training.setup import check_capabilities

    sampler, capabilities = fixture.sampler(), fixture.entry.capabilities
    check_capabilities(fixture.entry, sampler)
    is_bound = sampler.lower_bound
    if "bound" in capabilities and not is_bound:
        raise CheckFailure(
            "the entry declares a bound, the sampler does not", "set lower_bound = True on the model"
        )
    if is_bound and "likelihood" in capabilities and "bound" not in capabilities:
        raise CheckFailure(
            "log_prob is a lower bound, declared as a likelihood", "add 'bound' to capabilities"
        )
    if "conditional" in capabilities and "conditional" not in fixture.recipe.Config.model_fields:
        raise CheckFailure(
            "it declares conditional, and has no key model.conditional", "add conditional: bool"
        )


KEEP = "write the backward of that operation with differentiable operations"


def differentiates_twice(fixture: RecipeFixture) -> None:
    """The gradient of the logits by their input is differentiable: gradient penalties need it."""
    for name, discriminator in discriminators(fixture).items():
        batch = fixture.real_batch(fixture.draw())
        points = tree_map(lambda x: x.detach().requires_grad_(), discriminator.embed(batch.data))
        logits = logits_of(fixture, discriminator, points, batch.condition, embedded=True)
        own = _operations(logits)
        first = _gradient(logits.sum(), tree_leaves(points), f"{name}: backward{own}", create_graph=True)
        squares = [g.square().sum() for g in first if g is not None]
        if not squares or not any(square.requires_grad for square in squares):
            raise CheckFailure(f"{name}: the gradient with respect to the input has no graph{own}", KEEP)
        sqnorm = torch.stack(squares).sum()
        if any(node.name() == "torch::autograd::Error" for node in _nodes(sqnorm)):
            raise CheckFailure(f"{name}: double backward fails at a once_differentiable operation{own}", KEEP)
        params = [p for p in discriminator.parameters() if p.requires_grad]
        second = _gradient(sqnorm, params, f"{name}: double backward{own}")
        live = [g for g in second if g is not None]
        if not all(map(tree_all_finite, live)):
            raise CheckFailure(
                f"{name}: double backward gives values that are not finite", "avoid sqrt and log of 0"
            )
        if not any(bool(g.any()) for g in live):
            raise CheckFailure(f"{name}: double backward reaches no parameter{own}", KEEP)
        _require_true_derivatives(fixture, name, discriminator, logits)


def _require_true_derivatives(
    fixture: RecipeFixture, name: str, discriminator: Discriminator, logits: Tensor
) -> None:
    """Compare the second derivatives of custom autograd functions with finite differences.

    Raises:
        CheckFailure: they differ: a custom backward can give a wrong second derivative without an error.
    """
    batch = fixture.real_batch(fixture.draw())
    for function in _functions(logits):
        with _recorded(function) as calls, torch.no_grad():
            logits_of(fixture, discriminator, batch.data, batch.condition)
        for given in calls[:1]:
            points = [_point(argument) for argument in given]
            if any(isinstance(point, Tensor) and point.requires_grad for point in points):
                try:
                    torch.autograd.gradgradcheck(function.apply, points, fast_mode=True, nondet_tol=1e-9)
                except GradcheckError as error:
                    raise CheckFailure(
                        f"{name}: the second derivative of {function.__name__} differs from finite "
                        f"differences: {collapse_spaces(str(error))[:120]}",
                        KEEP,
                    ) from error
                except RuntimeError:
                    continue  # without double precision, finite differences are too inaccurate


def _point(argument: Any) -> Any:
    """The argument as a leaf in double precision that requires a gradient, if it is a float tensor."""
    if isinstance(argument, Tensor) and argument.is_floating_point():
        return argument.detach().double().requires_grad_()
    return argument


@contextlib.contextmanager
def _recorded(function: Any) -> Iterator[list[tuple[Any, ...]]]:
    """Context manager that records the arguments of every call of an autograd function."""
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
        raise CheckFailure(
            f"{what} fails: {' '.join(str(error).split())[:200]}",
            KEEP,
        ) from error


def _operations(logits: Tensor) -> str:
    """The names of the custom autograd functions in the graph of ``logits``, as a suffix of a message."""
    names = sorted(function.__name__ for function in _functions(logits))
    return f" (custom autograd functions: {', '.join(names)})" if names else ""


def _functions(tensor: Tensor) -> set[Any]:
    """The subclasses of torch.autograd.Function in the graph of a tensor."""
    found = (getattr(type(node), "_forward_cls", None) for node in _nodes(tensor))
    return {function for function in found if function is not None}


def _nodes(tensor: Tensor) -> Iterator[Any]:
    """All nodes of the graph of a tensor."""
    seen: set[Any] = set()
    waiting = [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [before for before, _ in node.next_functions]
