"""Checks of a recipe's representation and sampler: there and back, and samples as functions of the latent."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gancore.domain import Batch
from gancore.games.representation import Representation
from gancore.models.sampling import condition_for, draw_samples, interpolate
from gancore.runtime.randomness import Key, Rows, noise_scope
from gancore.testing.bench import RecipeBench
from gancore.testing.check import Breach, NotApplicable
from gancore.testing.compare import apart, equal, finite, global_generators, outline, told
from gancore.testing.variety import require_variety
from gancore.trees import Tree, cut_rows, leaves

ROWS = 6
VARIED = 64
"""Rows that are sampled to see whether they vary."""
BACK = 1e-3
"""How far decode(encode(x)) may be from x, relative to the largest value."""


def encodes_and_decodes(bench: RecipeBench) -> None:
    """decode(encode(x)) is x, or else encode(decode(encode(x))) is encode(x)."""
    bench.generating()
    representation, batch = bench.game.representation, _canonical(bench)
    encoded = _encoded(representation, batch)
    with torch.no_grad():
        back = representation.decode(encoded.data)
    if outline(back) != outline(batch.data):
        raise Breach(f"decode gives {told(back)} of {told(batch.data)}", "let decode give canonical samples")
    if representation.many_to_one:
        raise NotApplicable("the representation says that it is many to one")
    away = apart(back, batch.data)
    if away <= BACK:
        return
    log_det = representation.log_det(batch)
    again = apart(_encoded(representation, Batch(back, batch.condition)).data, encoded.data)
    if log_det is not None:
        raise Breach(
            f"decode(encode(x)) is {away:.2g} away from x, and log_det says that encode can be undone",
            "undo in decode what encode does, or let log_det return None",
        )
    if again > BACK:
        raise Breach(
            f"decode does not undo encode: x comes back {away:.2g} away, encoded again {again:.2g} away",
            "undo in decode what encode does, or set many_to_one = True on the representation",
        )


def knows_its_log_det(bench: RecipeBench) -> None:
    """log_det is the log determinant of encode's Jacobian, by that itself where it is small."""
    representation, batch = bench.game.representation, _canonical(bench)
    log_det = representation.log_det(batch)
    if log_det is None:
        raise NotApplicable("log_det is None: its likelihoods are not comparable, and it says so")
    if tuple(log_det.shape) != (ROWS,) or not finite(log_det):
        raise Breach(
            f"log_det has shape {tuple(log_det.shape)} for {ROWS} rows", "give one finite value a row"
        )
    x = batch.data
    if not isinstance(x, Tensor) or not x.is_floating_point() or x[0].numel() > 128:
        raise NotApplicable("a row is no short float tensor: its Jacobian is not made")
    row = Batch(x[:1], cut_rows(batch.condition, 0, 1))

    def encode(point: Tensor) -> Tensor:
        made: Tensor = _encoded(representation, Batch(point, row.condition), grad=True).data
        return made

    jacobian = torch.autograd.functional.jacobian(encode, row.data)  # type: ignore[no-untyped-call]
    jacobian = jacobian.reshape(-1, x[0].numel()).double()
    if jacobian.shape[0] != jacobian.shape[1]:
        raise Breach("encode changes the number of values, and log_det is given", "let log_det return None")
    true, told_value = float(torch.linalg.slogdet(jacobian).logabsdet), float(log_det[0])
    if abs(true - told_value) > 1e-3 * max(1.0, abs(true)):
        raise Breach(f"log_det is {told_value:.6g}, and the Jacobian's is {true:.6g}", "mend log_det")


def samples_by_latent(bench: RecipeBench) -> None:
    """The same key gives the same samples, another key others, and row i hangs on the key's row i alone.

    Of every number of a sample: none has the order of its rows in common under three keys, none is one for
    all rows and another under another key, and no leaf of floats stands still where that of real rows varies.
    """
    sampler = bench.generating()
    joined = _sampled(bench, sampler, Key.of("kit"), 0, VARIED)
    with global_generators(1):
        again = _sampled(bench, sampler, Key.of("kit"), 0, VARIED)
    if not equal(joined, again):
        raise Breach(
            "sample gives other samples for the same key",
            "draw from its key, and not from a global generator",
        )
    another = _sampled(bench, sampler, Key.of("another"), 0, VARIED)
    if equal(joined, another):
        raise Breach("sample gives the same samples for every key", "draw latents from the key")
    part = _sampled(bench, sampler, Key.of("kit"), 2, 4)
    away = apart(part, cut_rows(joined, 2, 4))
    if away > BACK:
        raise Breach(
            f"rows 2 to 4 sampled alone are {away:.2g} away from those of the joined batch",
            "let row i hang on the key's row i alone: no batch statistics in evaluation",
        )
    require_variety(
        joined,
        another,
        bench.home.samples(VARIED).data,
        lambda: _sampled(bench, sampler, Key.of(3), 0, VARIED),
    )


def interpolates(bench: RecipeBench) -> None:
    """Samples on the way from one latent to another are like others, where the sampler has latents."""
    sampler, home = bench.sampler(), bench.home
    if not hasattr(sampler, "render"):
        raise NotApplicable("its sampler has no latents to walk between")
    condition = condition_for(sampler, home.domain, home.data.spec, None)
    between, _ = interpolate(sampler, 1, ROWS, Key.of("kit"), condition)
    others, _ = draw_samples(sampler, ROWS, Key.of("kit"), condition)
    if outline(between) != outline(others):
        raise Breach(f"between two latents it gives {told(between)}, else {told(others)}", "give one kind")
    if not finite(between):
        raise Breach("samples between two latents are not finite", "let prior.between stay in the prior")


def gives_likelihoods(bench: RecipeBench) -> None:
    """log_prob is finite, one value for each row, and hangs on that row alone; a bound says so."""
    sampler = bench.sampler()
    if not hasattr(sampler, "log_prob"):
        raise NotApplicable("it is no likelihood model")
    batch = _canonical(bench)
    log_prob = _log_prob(sampler, batch, Rows.all(ROWS))
    if log_prob is None:
        raise NotApplicable("log_det is None: its likelihoods are not comparable, and it says so")
    if not isinstance(log_prob, Tensor) or tuple(log_prob.shape) != (ROWS,):
        shape = tuple(log_prob.shape) if isinstance(log_prob, Tensor) else type(log_prob).__name__
        raise Breach(f"log_prob has shape {shape} for {ROWS} rows", "give one value a row, in nats")
    if not finite(log_prob):
        raise Breach("log_prob is not finite on real rows", "let every real row have a density")
    part = _log_prob(sampler, batch.rows(2, 4), Rows(2, 4, ROWS))
    if part is None or apart(part, log_prob[2:4]) > BACK:
        raise Breach("log_prob of a row changes with the other rows of its batch", "judge each row by itself")
    if not isinstance(getattr(sampler, "bound", False), bool):
        raise Breach("sampler.bound is no bool", "say True where log_prob is a lower bound, else False")


def gives_posteriors(bench: RecipeBench) -> None:
    """A judge's posteriors and features are finite, one row a sample, that hang on that row alone."""
    judge, batch, spec = bench.sampler(), _canonical(bench), bench.home.data.spec
    if not hasattr(judge, "log_posteriors"):
        raise NotApplicable("it is no judge")
    said, features = _judgement(judge, batch)
    if tuple(said.shape) != (ROWS, len(spec["classes"])) or features.dim() != 2 or len(features) != ROWS:
        shapes = f"{tuple(said.shape)} and {tuple(features.shape)}"
        raise Breach(f"posteriors and features have the shapes {shapes}", "give (n, classes) and (n, d)")
    if not finite((said, features)):
        raise Breach(
            "posteriors or features of real rows are not finite", "give log_softmax of finite logits"
        )
    if float(said.exp().sum(1).sub(1).abs().max()) > BACK:
        raise Breach("the posteriors of a row do not sum to one", "give log_softmax over the classes")
    if apart(_judgement(judge, batch.rows(2, 4)), (said[2:4], features[2:4])) > BACK:
        raise Breach("a row's posteriors change with the other rows of its batch", "judge each row by itself")


@torch.no_grad()
def _judgement(judge: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    return judge.log_posteriors(batch.data), judge.embed(batch.data)  # type: ignore[operator]


def inverts(bench: RecipeBench) -> None:
    """render(invert(x)) is x, where the sampler can invert."""
    sampler = bench.sampler()
    if not hasattr(sampler, "invert"):
        raise NotApplicable("its sampler does not invert")
    batch = _canonical(bench)
    with torch.no_grad():
        latents = sampler.invert(batch)  # type: ignore[operator]
        back = sampler.render(latents, batch.condition)  # type: ignore[operator]
    away = apart(back, batch.data)
    if away > 10 * BACK:
        raise Breach(f"render(invert(x)) is {away:.2g} away from x", "undo in invert what render does")


def _canonical(bench: RecipeBench) -> Batch:
    """Rows of train, with their condition where the game is conditional."""
    indices = torch.arange(ROWS) % len(bench.home.view("train"))
    batch = bench.home.view("train").take(indices, Key.of("kit").cut(Rows.all(ROWS)))
    return Batch(batch.data, batch.condition if getattr(bench.game, "conditional", False) else None)


def _encoded(representation: Representation, batch: Batch, grad: bool = False) -> Batch:
    """Under one and the same noise, whatever the batch."""
    with torch.set_grad_enabled(grad), noise_scope(Key.of("kit", "encode"), Rows.all(len(batch))):
        return representation.encode(batch)


def _sampled(bench: RecipeBench, sampler: nn.Module, key: Key, start: int, stop: int) -> Tree:
    """Rows ``start`` to ``stop`` of the samples of one joined batch."""
    cut, spec = key.cut(Rows(start, stop, VARIED)), bench.home.data.spec
    wanted = None
    if getattr(sampler, "conditional", False):
        wanted = bench.home.domain.condition(None, stop - start, spec, cut / "condition")
    with torch.no_grad():
        made = sampler.sample(stop - start, cut, wanted)  # type: ignore[operator]
    counts = {len(leaf) for leaf in leaves(made)}
    if counts != {stop - start}:
        raise Breach(f"sample({stop - start}, ...) gives {sorted(counts)} rows", "give as many as asked for")
    return made


def _log_prob(sampler: nn.Module, batch: Batch, rows: Rows) -> Tensor | None:
    with torch.no_grad(), noise_scope(Key.of("kit", "log_prob"), rows):
        log_prob: Tensor | None = sampler.log_prob(batch)  # type: ignore[operator]
    return log_prob
