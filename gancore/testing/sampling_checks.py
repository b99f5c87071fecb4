"""Checks of samplers and representations: latents, likelihoods, inversion, posteriors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

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
"""The number of rows that are sampled to check that they vary."""
BACK = 1e-3
"""Tolerance of decode(encode(x)), relative to the largest value."""


def encodes_and_decodes(fixture: RecipeFixture) -> None:
    """decode(encode(x)) is x; for a many-to-one representation, encode(decode(encode(x))) is encode(x)."""
    fixture.generating_sampler()
    representation, batch = fixture.game.representation, _canonical(fixture)
    encoded = _encoded(representation, batch)
    with torch.no_grad():
        back = representation.decode(encoded.data)
    if tree_signature(back) != tree_signature(batch.data):
        raise CheckFailure(
            f"decode gives {describe_tree(back)} of {describe_tree(batch.data)}",
            "return canonical samples from decode",
        )
    if representation.many_to_one:
        raise SkipCheck("the representation declares many_to_one")
    away = relative_difference(back, batch.data)
    if away <= BACK:
        return
    log_det = representation.log_det(batch)
    again = relative_difference(_encoded(representation, Batch(back, batch.condition)).data, encoded.data)
    if log_det is not None:
        raise CheckFailure(
            f"decode(encode(x)) differs from x by {away:.2g}, and log_det states that encode is invertible",
            "invert encode in decode, or return None from log_det",
        )
    if again > BACK:
        raise CheckFailure(
            f"decode does not invert encode: x differs by {away:.2g}, encoded again by {again:.2g}",
            "invert encode in decode, or set many_to_one = True on the representation",
        )


def log_det_matches_jacobian(fixture: RecipeFixture) -> None:
    """log_det is the log determinant of the Jacobian of encode; it is checked for short rows."""
    representation, batch = fixture.game.representation, _canonical(fixture)
    log_det = representation.log_det(batch)
    if log_det is None:
        raise SkipCheck("log_det is None: likelihoods of the representation are not those of the data")
    if tuple(log_det.shape) != (ROWS,) or not tree_all_finite(log_det):
        raise CheckFailure(
            f"log_det has shape {tuple(log_det.shape)} for {ROWS} rows", "return a finite value for each row"
        )
    x = batch.data
    if not isinstance(x, Tensor) or not x.is_floating_point() or x[0].numel() > 128:
        raise SkipCheck("a row is not a short float tensor, for which the Jacobian is computed")
    row = Batch(x[:1], tree_slice(batch.condition, 0, 1))

    def encode(point: Tensor) -> Tensor:
        made: Tensor = _encoded(representation, Batch(point, row.condition), grad=True).data
        return made

    jacobian = cast(Any, torch.autograd.functional).jacobian(encode, row.data)
    jacobian = jacobian.reshape(-1, x[0].numel()).double()
    if jacobian.shape[0] != jacobian.shape[1]:
        raise CheckFailure(
            "encode changes the number of values, and log_det is not None", "return None from log_det"
        )
    true, stated = float(torch.linalg.slogdet(jacobian).logabsdet), float(log_det[0])
    if abs(true - stated) > 1e-3 * max(1.0, abs(true)):
        raise CheckFailure(f"log_det is {stated:.6g}, that of the Jacobian is {true:.6g}", "fix log_det")


def samples_depend_on_key_only(fixture: RecipeFixture) -> None:
    """Equal keys give equal samples, other keys others, and row i depends on row i of the key only.

    No number of a sample has the same order of rows for three keys. No number is equal in all rows and
    different for another key. No float leaf is constant if that of real rows varies.
    """
    sampler = fixture.generating_sampler()
    joined = _sampled(fixture, sampler, Key.of("kit"), 0, VARIED)
    with global_seed(1):
        again = _sampled(fixture, sampler, Key.of("kit"), 0, VARIED)
    if not trees_equal(joined, again):
        raise CheckFailure(
            "sample gives other samples for the same key",
            "draw from the key, not from a global generator",
        )
    another = _sampled(fixture, sampler, Key.of("another"), 0, VARIED)
    if trees_equal(joined, another):
        raise CheckFailure("sample gives the same samples for every key", "draw latents from the key")
    part = _sampled(fixture, sampler, Key.of("kit"), 2, 4)
    away = relative_difference(part, tree_slice(joined, 2, 4))
    if away > BACK:
        raise CheckFailure(
            f"rows 2 to 4, sampled alone, differ from those of the global batch by {away:.2g}",
            "let row i depend on row i of the key only: use no batch statistics in evaluation",
        )
    if sampler.can("temperature") and not trees_equal(
        joined, _sampled(fixture, sampler, Key.of("kit"), 0, VARIED, temperature=1.0)
    ):
        raise CheckFailure(
            "samples at temperature 1 differ from those without a temperature",
            "divide the logits by the temperature: sample(n, key, condition, temperature=1.0)",
        )
    require_fresh_draws(
        joined,
        another,
        fixture.domain_fixture.samples(VARIED).data,
        lambda: _sampled(fixture, sampler, Key.of(3), 0, VARIED),
    )


def interpolates(fixture: RecipeFixture) -> None:
    """Samples between two latents are finite and have the shape and dtype of other samples."""
    sampler, home = fixture.sampler(), fixture.domain_fixture
    if not sampler.can("latents"):
        raise SkipCheck("the sampler has no latents to interpolate")
    condition = condition_sampler(sampler, home.domain, home.data.spec, None)
    between, _ = interpolate_latents(sampler, 1, ROWS, Key.of("kit"), condition)
    others, _ = draw_samples(sampler, ROWS, Key.of("kit"), condition)
    if tree_signature(between) != tree_signature(others):
        raise CheckFailure(
            f"a sample between two latents is {describe_tree(between)}, others {describe_tree(others)}",
            "return the same shape and dtype",
        )
    if not tree_all_finite(between):
        raise CheckFailure(
            "samples between two latents are not finite",
            "let prior.interpolate return points in the support of the prior",
        )


def gives_likelihoods(fixture: RecipeFixture) -> None:
    """log_prob is one finite value for each row, which depends on that row only."""
    sampler = fixture.sampler()
    if not sampler.can("likelihood"):
        raise SkipCheck("the recipe is not a likelihood model")
    batch = _canonical(fixture)
    log_prob = _log_prob(sampler, batch, RowRange.all(ROWS))
    if log_prob is None:
        raise SkipCheck("log_det is None: likelihoods of the representation are not those of the data")
    if not isinstance(log_prob, Tensor) or tuple(log_prob.shape) != (ROWS,):
        shape = tuple(log_prob.shape) if isinstance(log_prob, Tensor) else type(log_prob).__name__
        raise CheckFailure(
            f"log_prob has shape {shape} for {ROWS} rows", "return a value in nats for each row"
        )
    if not tree_all_finite(log_prob):
        raise CheckFailure("log_prob is not finite on real rows", "give every real row a positive density")
    part = _log_prob(sampler, batch.slice(2, 4), RowRange(2, 4, ROWS))
    if part is None or relative_difference(part, log_prob[2:4]) > BACK:
        raise CheckFailure(
            "log_prob of a row changes with the other rows of its batch", "compute each row independently"
        )


def gives_posteriors(fixture: RecipeFixture) -> None:
    """Posteriors and features of a classifier are finite, one row for each sample, and depend on it only."""
    classifier, batch, spec = fixture.sampler(), _canonical(fixture), fixture.domain_fixture.data.spec
    if not classifier.can("classification"):
        raise SkipCheck("the recipe is not a classifier")
    said, features = _classify(classifier, batch)
    if tuple(said.shape) != (ROWS, len(spec["classes"])) or features.dim() != 2 or len(features) != ROWS:
        shapes = f"{tuple(said.shape)} and {tuple(features.shape)}"
        raise CheckFailure(
            f"posteriors and features have the shapes {shapes}", "return (n, classes) and (n, d)"
        )
    if not tree_all_finite((said, features)):
        raise CheckFailure(
            "posteriors or features of real rows are not finite", "return log_softmax of finite logits"
        )
    if float(said.exp().sum(1).sub(1).abs().max()) > BACK:
        raise CheckFailure("the posteriors of a row do not sum to one", "return log_softmax over the classes")
    if relative_difference(_classify(classifier, batch.slice(2, 4)), (said[2:4], features[2:4])) > BACK:
        raise CheckFailure(
            "posteriors of a row change with the other rows of its batch", "compute each row independently"
        )


@torch.no_grad()
def _classify(classifier: Sampler, batch: Batch) -> tuple[Tensor, Tensor]:
    return classifier.log_posteriors(batch.data), classifier.embed(batch.data)


def inverts(fixture: RecipeFixture) -> None:
    """render(invert(x)) is x, if the sampler can invert."""
    sampler = fixture.sampler()
    if not sampler.can("inversion"):
        raise SkipCheck("the sampler has no inversion")
    batch = _canonical(fixture)
    with torch.no_grad():
        latents = sampler.invert(batch)
        back = sampler.render(latents, batch.condition)
    away = relative_difference(back, batch.data)
    if away > 10 * BACK:
        raise CheckFailure(
            f"render(invert(x)) differs from x by {away:.2g}", "make invert the inverse of render"
        )


def _canonical(fixture: RecipeFixture) -> Batch:
    """Rows of train; with their conditions if the game is conditional."""
    indices = torch.arange(ROWS) % len(fixture.domain_fixture.view("train"))
    batch = fixture.domain_fixture.view("train").get_batch(
        indices, Key.of("kit").with_rows(RowRange.all(ROWS))
    )
    return Batch(batch.data, batch.condition if fixture.game.conditional else None)


def _encoded(representation: Representation, batch: Batch, grad: bool = False) -> Batch:
    """Encode a batch with the same noise in every call."""
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
"""Largest rank correlation of the rows of two keys; 64 independent rows have a standard deviation of 0.13."""
MIN_DISTINCT_ROWS = 8
"""The number of rows that must differ from the most frequent value for a correlation to be computed."""
KEY_HINT = "draw from the key that sample gets (key / 'name'), with rows on the first axis"


def require_fresh_draws(one: Tree, other: Tree, real: Tree, third: Callable[[], Tree]) -> None:
    """Compare samples of two keys, ``one`` and ``other``; ``third`` gives samples of a third key.

    Raises:
        CheckFailure: the rows of a number are correlated for all three keys, or all equal.
    """
    pairs = list(zip(*(map(_columns, tree_leaves(tree)) for tree in (one, other)), strict=True))
    for number, ((a, b), held) in enumerate(zip(pairs, tree_leaves(real), strict=True)):
        name = f"leaf {number + 1} of {len(pairs)}" if len(pairs) > 1 else "the samples"
        still_a, still_b = (bool((x == x[:1]).all()) for x in (a, b))
        if still_a and still_b and held.is_floating_point() and not (held == held[:1]).all():
            raise CheckFailure(f"{name}: all rows are equal, those of real data are not", KEY_HINT)
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
                f"number {int(columns[fixed][0])} of leaf {number + 1} has nearly the same rows for every "
                f"key (and so have {int(fixed.sum())} numbers in total)",
                KEY_HINT,
            )


def _require_own_rows(name: str, a: Tensor, b: Tensor) -> None:
    still = (a == a[:1]).all(0) & (b == b[:1]).all(0) & (a[0] != b[0])
    if still.any():
        raise CheckFailure(
            f"number {int(still.nonzero()[0, 0])} of {name} is equal in all rows and differs for another key",
            KEY_HINT,
        )


def _columns(leaf: Tensor) -> Tensor:
    """The leaf as (rows, numbers) float64."""
    return leaf.reshape(len(leaf), -1).double()


def _correlated(a: Tensor, b: Tensor) -> Tensor:
    """Whether the rows of each number are correlated by rank in ``a`` and ``b``, (numbers,) bool."""
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
    """Ranks within each column; equal values have the same, mean rank."""
    below = torch.stack([(x < row).double().sum(0) for row in x])
    upto = torch.stack([(x <= row).double().sum(0) for row in x])
    return (below + upto) / 2
