"""Checks of samplers: latents, likelihoods, inversion, posteriors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gancore.data.dataset import Batch
from gancore.games.representation import Representation
from gancore.games.sampler import Sampler
from gancore.models.sampling import condition_sampler, draw_samples, interpolate_latents
from gancore.random import Key, RowRange, noise_scope
from gancore.testing.check import (
    CheckFailure,
    SkipCheck,
    describe_tree,
    global_seed,
    relative_difference,
    tree_all_finite,
    tree_signature,
    trees_equal,
)
from gancore.testing.fixtures import RecipeFixture
from gancore.trees import Tree, tree_leaves, tree_slice

ROWS = 6
VARIED = 64
"""Rows that are sampled to check that they vary."""
BACK = 1e-3
"""Tolerance of decode(encode(x)), relative to the largest value."""


def encodes_and_decodes(fixture: RecipeFixture) -> None:
    """decode(encode(x)) is x, or else encode(decode(encode(x))) is encode(x)."""
    fixture.generating_sampler()
    representation, batch = fixture.game.representation, _canonical(fixture)
    encoded = _encoded(representation, batch)
    with torch.no_grad():
        back = representation.decode(encoded.data)
    if tree_signature(back) != tree_signature(batch.data):
        raise CheckFailure(
            f"decode gives {describe_tree(back)} of {describe_tree(batch.data)}",
            "let decode give canonical samples",
        )
    if representation.many_to_one:
        raise SkipCheck("the representation says that it is many to one")
    away = relative_difference(back, batch.data)
    if away <= BACK:
        return
    log_det = representation.log_det(batch)
    again = relative_difference(_encoded(representation, Batch(back, batch.condition)).data, encoded.data)
    if log_det is not None:
        raise CheckFailure(
            f"decode(encode(x)) is {away:.2g} away from x, and log_det says that encode can be undone",
            "undo in decode what encode does, or let log_det return None",
        )
    if again > BACK:
        raise CheckFailure(
            f"decode does not undo encode: x comes back {away:.2g} away, encoded again {again:.2g} away",
            "undo in decode what encode does, or set many_to_one = True on the representation",
        )


def log_det_matches_jacobian(fixture: RecipeFixture) -> None:
    """log_det is the log determinant of the Jacobian of encode, which is computed for short rows."""
    representation, batch = fixture.game.representation, _canonical(fixture)
    log_det = representation.log_det(batch)
    if log_det is None:
        raise SkipCheck("log_det is None: its likelihoods are not comparable, and it says so")
    if tuple(log_det.shape) != (ROWS,) or not tree_all_finite(log_det):
        raise CheckFailure(
            f"log_det has shape {tuple(log_det.shape)} for {ROWS} rows", "give one finite value a row"
        )
    x = batch.data
    if not isinstance(x, Tensor) or not x.is_floating_point() or x[0].numel() > 128:
        raise SkipCheck("a row is not a short float tensor: its Jacobian is not computed")
    row = Batch(x[:1], tree_slice(batch.condition, 0, 1))

    def encode(point: Tensor) -> Tensor:
        made: Tensor = _encoded(representation, Batch(point, row.condition), grad=True).data
        return made

    jacobian = torch.autograd.functional.jacobian(encode, row.data)  # type: ignore[no-untyped-call]
    jacobian = jacobian.reshape(-1, x[0].numel()).double()
    if jacobian.shape[0] != jacobian.shape[1]:
        raise CheckFailure(
            "encode changes the number of values, and log_det is given", "let log_det return None"
        )
    true, stated = float(torch.linalg.slogdet(jacobian).logabsdet), float(log_det[0])
    if abs(true - stated) > 1e-3 * max(1.0, abs(true)):
        raise CheckFailure(f"log_det is {stated:.6g}, and the Jacobian's is {true:.6g}", "fix log_det")


def samples_depend_on_key_only(fixture: RecipeFixture) -> None:
    """Equal keys give equal samples, other keys other ones, and row i depends only on row i of the key.

    Of the numbers of a sample, none has the same order of rows under three keys, none is equal in all rows
    and different under another key, and no leaf of floats is constant if that of real rows varies.
    """
    sampler = fixture.generating_sampler()
    joined = _sampled(fixture, sampler, Key.of("kit"), 0, VARIED)
    with global_seed(1):
        again = _sampled(fixture, sampler, Key.of("kit"), 0, VARIED)
    if not trees_equal(joined, again):
        raise CheckFailure(
            "sample gives other samples for the same key",
            "draw from its key, and not from a global generator",
        )
    another = _sampled(fixture, sampler, Key.of("another"), 0, VARIED)
    if trees_equal(joined, another):
        raise CheckFailure("sample gives the same samples for every key", "draw latents from the key")
    part = _sampled(fixture, sampler, Key.of("kit"), 2, 4)
    away = relative_difference(part, tree_slice(joined, 2, 4))
    if away > BACK:
        raise CheckFailure(
            f"rows 2 to 4 sampled alone are {away:.2g} away from those of the global batch",
            "let row i depend only on row i of the key: no batch statistics in evaluation",
        )
    if sampler.can("temperature") and not trees_equal(
        joined, _sampled(fixture, sampler, Key.of("kit"), 0, VARIED, temperature=1.0)
    ):
        raise CheckFailure(
            "samples at temperature 1 are not those without a temperature",
            "divide the logits by the temperature: sample(n, key, condition, temperature=1.0)",
        )
    require_fresh_draws(
        joined,
        another,
        fixture.domain_fixture.samples(VARIED).data,
        lambda: _sampled(fixture, sampler, Key.of(3), 0, VARIED),
    )


def interpolates(fixture: RecipeFixture) -> None:
    """Samples between two latents are like other samples, if the sampler has latents."""
    sampler, home = fixture.sampler(), fixture.domain_fixture
    if not sampler.can("latents"):
        raise SkipCheck("its sampler has no latents to walk between")
    condition = condition_sampler(sampler, home.domain, home.data.spec, None)
    between, _ = interpolate_latents(sampler, 1, ROWS, Key.of("kit"), condition)
    others, _ = draw_samples(sampler, ROWS, Key.of("kit"), condition)
    if tree_signature(between) != tree_signature(others):
        raise CheckFailure(
            f"between two latents it gives {describe_tree(between)}, else {describe_tree(others)}",
            "give one kind",
        )
    if not tree_all_finite(between):
        raise CheckFailure(
            "samples between two latents are not finite", "let prior.interpolate stay in the prior"
        )


def gives_likelihoods(fixture: RecipeFixture) -> None:
    """log_prob is finite, one value for each row that depends on that row only; a lower bound is declared."""
    sampler = fixture.sampler()
    if not sampler.can("likelihood"):
        raise SkipCheck("it is not a likelihood model")
    batch = _canonical(fixture)
    log_prob = _log_prob(sampler, batch, RowRange.all(ROWS))
    if log_prob is None:
        raise SkipCheck("log_det is None: its likelihoods are not comparable, and it says so")
    if not isinstance(log_prob, Tensor) or tuple(log_prob.shape) != (ROWS,):
        shape = tuple(log_prob.shape) if isinstance(log_prob, Tensor) else type(log_prob).__name__
        raise CheckFailure(f"log_prob has shape {shape} for {ROWS} rows", "give one value a row, in nats")
    if not tree_all_finite(log_prob):
        raise CheckFailure("log_prob is not finite on real rows", "let every real row have a density")
    part = _log_prob(sampler, batch.slice(2, 4), RowRange(2, 4, ROWS))
    if part is None or relative_difference(part, log_prob[2:4]) > BACK:
        raise CheckFailure(
            "log_prob of a row changes with the other rows of its batch", "compute each row independently"
        )


def gives_posteriors(fixture: RecipeFixture) -> None:
    """Posteriors and features of a classifier are finite, one row a sample, and depend on that row only."""
    classifier, batch, spec = fixture.sampler(), _canonical(fixture), fixture.domain_fixture.data.spec
    if not classifier.can("classification"):
        raise SkipCheck("it is not a classifier")
    said, features = _classify(classifier, batch)
    if tuple(said.shape) != (ROWS, len(spec["classes"])) or features.dim() != 2 or len(features) != ROWS:
        shapes = f"{tuple(said.shape)} and {tuple(features.shape)}"
        raise CheckFailure(
            f"posteriors and features have the shapes {shapes}", "give (n, classes) and (n, d)"
        )
    if not tree_all_finite((said, features)):
        raise CheckFailure(
            "posteriors or features of real rows are not finite", "give log_softmax of finite logits"
        )
    if float(said.exp().sum(1).sub(1).abs().max()) > BACK:
        raise CheckFailure("the posteriors of a row do not sum to one", "give log_softmax over the classes")
    if relative_difference(_classify(classifier, batch.slice(2, 4)), (said[2:4], features[2:4])) > BACK:
        raise CheckFailure(
            "a row's posteriors change with the other rows of its batch", "compute each row independently"
        )


@torch.no_grad()
def _classify(classifier: Sampler, batch: Batch) -> tuple[Tensor, Tensor]:
    return classifier.log_posteriors(batch.data), classifier.embed(batch.data)


def inverts(fixture: RecipeFixture) -> None:
    """render(invert(x)) is x, if the sampler can invert."""
    sampler = fixture.sampler()
    if not sampler.can("inversion"):
        raise SkipCheck("its sampler does not invert")
    batch = _canonical(fixture)
    with torch.no_grad():
        latents = sampler.invert(batch)
        back = sampler.render(latents, batch.condition)
    away = relative_difference(back, batch.data)
    if away > 10 * BACK:
        raise CheckFailure(f"render(invert(x)) is {away:.2g} away from x", "undo in invert what render does")


def _canonical(fixture: RecipeFixture) -> Batch:
    """Rows of train, with their condition where the game is conditional."""
    indices = torch.arange(ROWS) % len(fixture.domain_fixture.view("train"))
    batch = fixture.domain_fixture.view("train").get_batch(
        indices, Key.of("kit").with_rows(RowRange.all(ROWS))
    )
    return Batch(batch.data, batch.condition if fixture.game.conditional else None)


def _encoded(representation: Representation, batch: Batch, grad: bool = False) -> Batch:
    """Encoded with the same noise in every call."""
    with torch.set_grad_enabled(grad), noise_scope(Key.of("kit", "encode"), RowRange.all(len(batch))):
        return representation.encode(batch)


def _sampled(
    fixture: RecipeFixture, sampler: Sampler, key: Key, start: int, stop: int, **options: float
) -> Tree:
    """Rows ``start`` to ``stop`` of the samples of one global batch."""
    cut, spec = key.with_rows(RowRange(start, stop, VARIED)), fixture.domain_fixture.data.spec
    wanted = None
    if sampler.conditional:
        wanted = fixture.domain_fixture.domain.make_condition(None, stop - start, spec, cut / "condition")
    with torch.no_grad():
        made = sampler.sample(stop - start, cut, wanted, **options)
    counts = {len(leaf) for leaf in tree_leaves(made)}
    if counts != {stop - start}:
        raise CheckFailure(
            f"sample({stop - start}, ...) gives {sorted(counts)} rows", "return as many as requested"
        )
    return made


def _log_prob(sampler: Sampler, batch: Batch, rows: RowRange) -> Tensor | None:
    with torch.no_grad(), noise_scope(Key.of("kit", "log_prob"), rows):
        log_prob: Tensor | None = sampler.log_prob(batch)
    return log_prob


MAX_RANK_CORRELATION = 0.5
"""Rank correlation of the rows of two keys; by chance 64 independent rows have 0.13."""
MIN_DISTINCT_ROWS = 8
"""Rows that must differ from the commonest value: of a number that hardly varies little can be said."""
KEY_HINT = "draw from the key that sample is given (key / 'name'), with the rows on the first axis"


def require_fresh_draws(one: Tree, other: Tree, real: Tree, third: Callable[[], Tree]) -> None:
    """``one`` and ``other`` are samples of two keys, ``third`` gives those of a third one.

    Raises:
        CheckFailure: the rows of a number are correlated under all three keys, or equal.
    """
    pairs = list(zip(*(map(_columns, tree_leaves(tree)) for tree in (one, other)), strict=True))
    for number, ((a, b), held) in enumerate(zip(pairs, tree_leaves(real), strict=True)):
        name = f"leaf {number + 1} of {len(pairs)}" if len(pairs) > 1 else "the samples"
        still_a, still_b = (bool((x == x[:1]).all()) for x in (a, b))
        if still_a and still_b and held.is_floating_point() and not (held == held[:1]).all():
            raise CheckFailure(f"of {name} all rows are equal, and real ones are not", KEY_HINT)
        _require_own_rows(name, a, b)
    suspect = [_correlated(a, b).nonzero()[:, 0] for a, b in pairs]
    if not any(map(len, suspect)):
        return
    last = map(_columns, tree_leaves(third()))
    for number, ((a, b), columns, c) in enumerate(zip(pairs, suspect, last, strict=True)):
        a, b, c = (x[:, columns] for x in (a, b, c))
        fixed = _correlated(a, c) & _correlated(b, c)
        if fixed.any():
            raise CheckFailure(
                f"number {int(columns[fixed][0])} of leaf {number + 1} has the same rows, or nearly so, "
                f"whatever the key ({int(fixed.sum())} numbers have)",
                KEY_HINT,
            )


def _require_own_rows(name: str, a: Tensor, b: Tensor) -> None:
    still = (a == a[:1]).all(0) & (b == b[:1]).all(0) & (a[0] != b[0])
    if still.any():
        raise CheckFailure(
            f"number {int(still.nonzero()[0, 0])} of {name} is one for all rows, another under another key",
            KEY_HINT,
        )


def _columns(leaf: Tensor) -> Tensor:
    """(rows, numbers of a row), float64."""
    return leaf.reshape(len(leaf), -1).double()


def _correlated(a: Tensor, b: Tensor) -> Tensor:
    """Which numbers (booleans) are large in the same rows of both, by their ranks."""
    varied = torch.ones(a.shape[1], dtype=torch.bool)
    ranks = []
    for x in (a, b):
        rank = _ranks(x)
        varied &= (x != x.mode(0).values).sum(0) >= MIN_DISTINCT_ROWS
        rank = rank - rank.mean(0)
        ranks.append(rank / rank.norm(dim=0).clamp_min(1e-12))
    correlated: Tensor = varied & ((ranks[0] * ranks[1]).sum(0) > MAX_RANK_CORRELATION)
    return correlated


def _ranks(x: Tensor) -> Tensor:
    """Mean ranks within each column: equal values have the same one."""
    below = torch.stack([(x < row).double().sum(0) for row in x])
    upto = torch.stack([(x <= row).double().sum(0) for row in x])
    return (below + upto) / 2
