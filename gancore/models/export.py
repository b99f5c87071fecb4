"""Write the generator of a model as a graph that other programs run: ONNX, or a program of torch.export.

The graph takes latents, and labels if samples depend on them, for any number of rows, and gives canonical
samples; its weights are float32. What it computes is compared with gancore before the file gets its name.
"""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

import gancore
from gancore.errors import CheckpointError, ConfigError, PluginError, describe_error
from gancore.files import (
    MAX_JSON_BYTES,
    atomic_write,
    max_tensor_bytes,
    read_regular,
    remove,
    storage_error,
    temporary_path,
)
from gancore.games.representation import HostStep
from gancore.games.sampler import Sampler
from gancore.models.model import Model
from gancore.models.sampling import condition_sampler
from gancore.plugins.imports import stdout_to_stderr
from gancore.random import Key, RowRange, evaluation_key, sample_key
from gancore.runtime.torch_settings import pinned_settings
from gancore.text import escape_control
from gancore.trees import Tree, tree_leaves, tree_map

ExportFormat = Literal["onnx", "torch"]
SCRIPT = "sample.py"
METADATA = "gancore"
"""The key of the JSON that says how to draw latents and what is left to do: in an ONNX file one of its
metadata, in one of torch the extra file ``gancore.json``."""

TOLERANCE = 1e-4
"""The largest difference from gancore, relative to the largest value."""
PERTURBATION, AMPLIFIED = 1e-6, 100.0
"""Where decoding amplifies rounding, samples may differ by this many times what gancore's own change by if
what is decoded is changed by this share of the largest value: each iteration rounds, not only the first."""
TRACED_ROWS, CHECKED_ROWS = 3, (1, 5)

Inputs = tuple[Tensor, ...]
Run = Callable[[Inputs], Sequence[np.ndarray]]


@dataclass(frozen=True)
class ExportedModel:
    """An exported file.

    Attributes:
        file: the graph.
        script: a program beside it that samples with numpy and onnxruntime; None: the format is not ONNX.
        inputs, outputs: their names, in the order of the graph.
        differences: of each output from gancore's, relative to the largest value, at the worst of the checked
            numbers of rows.
        amplified: what gancore's own samples change by, relatively, if rounding changes what they are decoded
            from; 0: decoding does not amplify rounding, and samples are within 1e-4 too.
        remaining: what the graph's user has to do to get canonical samples; empty: nothing.
    """

    file: Path
    script: Path | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    differences: Mapping[str, float] = field(default_factory=dict)
    amplified: float = 0.0
    remaining: str = ""


class GeneratorGraph(nn.Module):
    """A sampler as a function of tensors: latents (n, size), and labels (n), to ``output_names``.

    The last output is ``network_outputs`` if decoding them amplifies rounding.
    """

    def __init__(self, sampler: Sampler) -> None:
        super().__init__()
        self.sampler = sampler
        self.has_outputs = type(sampler).network_outputs is not Sampler.network_outputs
        self.amplifies_rounding = self.has_outputs and sampler.representation.amplifies_rounding

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Inputs:
        with torch.no_grad():
            samples, outputs = self.compute(latents, labels)
        return (*tree_leaves(samples), *(tree_leaves(outputs) if self.amplifies_rounding else ()))

    def compute(self, latents: Tensor, labels: Tensor | None) -> tuple[Tree, Tree]:
        """The samples as the graph gives them, and what they are decoded from."""
        if not self.has_outputs:
            return self.sampler.render(latents, labels), None
        outputs = self.sampler.network_outputs(latents, labels)
        return self.sampler.representation.decode_tensors(outputs), outputs

    def output_names(self, inputs: Inputs) -> tuple[str, ...]:
        with torch.no_grad():
            samples, outputs = self.compute(*_two(inputs))
        trees = {"samples": samples, **({"network_outputs": outputs} if self.amplifies_rounding else {})}
        return tuple(name for stem, tree in trees.items() for name in _leaf_names(stem, tree))

    @torch.no_grad()
    def amplification(self, inputs: Inputs) -> float:
        """What the samples change by, relatively, if rounding changes what they are decoded from."""
        if not self.amplifies_rounding:
            return 0.0
        samples, outputs = self.compute(*_two(inputs))
        key = evaluation_key("export")
        changed = tree_map(lambda x: x + PERTURBATION * x.abs().max() * key.normal(*x.shape), outputs)
        others = tree_leaves(self.sampler.representation.decode_tensors(changed))
        pairs = zip(tree_leaves(samples), others, strict=True)
        return max(_difference(one.numpy(), other.numpy()) for one, other in pairs)

    @property
    def host_step(self) -> HostStep | None:
        return self.sampler.representation.host_step() if self.has_outputs else None


def _two(inputs: Inputs) -> tuple[Tensor, Tensor | None]:
    return inputs[0], inputs[1] if len(inputs) > 1 else None


def _leaf_names(stem: str, tree: Tree) -> list[str]:
    count = len(tree_leaves(tree))
    return [stem] if count == 1 else [f"{stem}_{number}" for number in range(count)]


@pinned_settings()
def export_graph(model: Model, file: Path, form: ExportFormat, overwrite: bool = False) -> ExportedModel:
    """Write the generator of a model to ``file``, and for ONNX the program ``sample.py`` beside it.

    Raises:
        ConfigError: the samples are no function of latents and labels, a package is missing, a file exists.
        PluginError: the networks cannot be traced.
        CheckpointError: the graph's results are not those of gancore, or it cannot be written.
    """
    if form == "onnx":
        _require_onnx()
    script = file.parent / SCRIPT if form == "onnx" else None
    _require_free(file, script, overwrite)
    require_exportable(model)
    graph = GeneratorGraph(model.sampler.float()).eval()
    names = graph.output_names(_inputs(model, TRACED_ROWS))
    program = _trace(graph, _inputs(model, TRACED_ROWS), model.config["recipe"])
    temporary = temporary_path(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _WRITERS[form](program, temporary, names, json.dumps(_metadata(model, graph)))
        run = _READERS[form](temporary)
        checks = [_compare(graph, run, _inputs(model, rows), names) for rows in CHECKED_ROWS]
        differences = {name: max(check[name] for check in checks) for name in names}
        amplified = max(graph.amplification(_inputs(model, rows)) for rows in CHECKED_ROWS)
        _require_equal(differences, amplified, model.config["recipe"])
        if script is not None:
            atomic_write(script, _script())
        os.replace(temporary, file)
    except OSError as error:
        raise storage_error(error, "the export", file.parent) from error
    finally:
        remove(temporary)
    step = graph.host_step
    return ExportedModel(
        file, script, _input_names(model), names, differences, amplified, step.description if step else ""
    )


def _require_free(file: Path, script: Path | None, overwrite: bool) -> None:
    """Raises ConfigError if a file that someone else wrote would be replaced."""
    if overwrite:
        return
    if os.path.lexists(file):
        raise ConfigError(f"{file} exists", "give another --out, or --overwrite")
    if script is not None and os.path.lexists(script) and not _is_ours(script):
        raise ConfigError(f"{script} exists and is another file", "give --out another folder, or --overwrite")


def _is_ours(script: Path) -> bool:
    try:
        return read_regular(script, MAX_JSON_BYTES) == _script().encode()
    except OSError:
        return False


def _script() -> str:
    """The text of the program that samples with numpy and onnxruntime."""
    return (resources.files("gancore.models") / "sample.py.template").read_text(encoding="utf-8")


def _require_onnx() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ConfigError(f"an export to ONNX needs {', '.join(missing)}", 'pip install "gancore[export]"')


def require_exportable(model: Model) -> None:
    """Raises ConfigError, with the reason, if samples are not a function of latents and labels."""
    reason = refusal(model.sampler)
    if not reason and model.sampler.conditional and not _has_plain_labels(model):
        reason = "its conditions are not labels"
    if not reason and not _is_function_of_latents(model):
        reason = "its samples are no function of latents alone: decoding draws noise or tokens"
    if reason:
        fix = "`gancore generate` writes its samples; `gancore recipes` lists what has latents"
        raise ConfigError(f"recipe {model.config['recipe']!r} cannot be exported: {reason}", fix)


def refusal(sampler: Sampler) -> str:
    """Why the capabilities of a sampler exclude an export; empty: they do not."""
    if not sampler.can("sample"):
        return "it is a classifier, which generates no samples"
    if sampler.can("latents"):
        return ""
    if sampler.can("temperature") or sampler.can("infill"):
        return "it has no latents: it draws one token after another"
    return "it has no latents: its samples are drawn step by step"


def _has_plain_labels(model: Model) -> bool:
    condition = _condition(model, TRACED_ROWS)
    return isinstance(condition, Tensor) and condition.shape == (TRACED_ROWS,)


@torch.no_grad()
def _is_function_of_latents(model: Model) -> bool:
    key, condition = _key(TRACED_ROWS), _condition(model, TRACED_ROWS)
    sampled = model.sampler.sample(TRACED_ROWS, key, condition)
    rendered = model.sampler.render(model.sampler.latents(TRACED_ROWS, key), condition)
    pairs = zip(tree_leaves(sampled), tree_leaves(rendered), strict=True)
    return all(_difference(one.numpy(), other.numpy()) <= TOLERANCE for one, other in pairs)


def _key(rows: int) -> Key:
    return sample_key(0).with_rows(RowRange.all(rows))


def _condition(model: Model, rows: int) -> Tree:
    return condition_sampler(model.sampler, model.domain, model.spec, None)(rows, _key(rows) / "condition")


def _inputs(model: Model, rows: int) -> Inputs:
    latents = model.sampler.latents(rows, _key(rows)).float()
    return (latents, _condition(model, rows)) if model.sampler.conditional else (latents,)


def _input_names(model: Model) -> tuple[str, ...]:
    return ("latents", "labels") if model.sampler.conditional else ("latents",)


def _metadata(model: Model, graph: GeneratorGraph) -> dict[str, Any]:
    step = graph.host_step
    return {
        "gancore": gancore.__version__,
        "domain": model.config["domain"],
        "recipe": model.config["recipe"],
        "latent_size": model.sampler.prior.size,
        "prior": model.sampler.prior.name,
        "classes": list(model.spec.get("classes") or []) if model.sampler.conditional else None,
        "host_step": None if step is None else asdict(step),
    }


def _trace(graph: GeneratorGraph, inputs: Inputs, recipe: str) -> torch.export.ExportedProgram:
    """The operations of the graph for any number of rows. Raises PluginError if there is no such graph."""
    shapes = tuple({0: torch.export.Dim("batch")} for _ in inputs)
    failure: Exception | None = None
    for strict in (False, True):  # the strict one knows len(x) as a variable, the other knows more of Python
        try:
            with warnings.catch_warnings(), stdout_to_stderr():
                warnings.simplefilter("ignore")
                with torch.backends.mkldnn.flags(enabled=False):  # other runtimes lack its recurrent layer
                    return torch.export.export(graph, inputs, dynamic_shapes=(*shapes,), strict=strict)
        except Exception as error:  # torch.export raises anything that it meets
            failure = failure or error
    assert failure is not None
    raise PluginError(
        f"the generator of recipe {recipe!r} cannot be traced for any number of rows"
        f" ({escape_control(describe_error(failure))})",
        "its networks must be tensor operations, with x.shape[0] in place of len(x)",
    ) from failure


def _write_onnx(
    program: torch.export.ExportedProgram, file: Path, names: Sequence[str], metadata: str
) -> None:
    batch = [
        name for name, _ in zip(("latents", "labels"), program.graph_signature.user_inputs, strict=False)
    ]
    try:
        with warnings.catch_warnings(), stdout_to_stderr():
            warnings.simplefilter("ignore")
            made = torch.onnx.export(program, input_names=batch, output_names=list(names), verbose=False)
    except Exception as error:  # it raises anything, with many lines
        reason = escape_control(describe_error(error.__cause__ or error))
        message = f"the generator has operations that ONNX does not have ({reason})"
        raise PluginError(message, "export with --format torch") from error
    assert made is not None
    made.model.metadata_props[METADATA] = metadata
    made.save(file)


def _write_torch(
    program: torch.export.ExportedProgram, file: Path, names: Sequence[str], metadata: str
) -> None:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={f"{METADATA}.json": metadata})
    file.write_bytes(buffer.getvalue())


def _read_onnx(file: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(inputs: Inputs) -> Sequence[np.ndarray]:
        given = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        results: Sequence[np.ndarray] = session.run(None, given)
        return results

    return run


def _read_torch(file: Path) -> Run:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.load(io.BytesIO(read_regular(file, max_tensor_bytes()))).module()
    return lambda inputs: [tensor.numpy() for tensor in program(*inputs)]


_WRITERS: Mapping[str, Callable[..., None]] = {"onnx": _write_onnx, "torch": _write_torch}
_READERS: Mapping[str, Callable[[Path], Run]] = {"onnx": _read_onnx, "torch": _read_torch}


def _compare(graph: GeneratorGraph, run: Run, inputs: Inputs, names: Sequence[str]) -> dict[str, float]:
    """The relative difference of each output of the file from gancore's."""
    expected = graph(*inputs)
    found = run(inputs)
    return {
        name: _difference(one, other.numpy()) for name, one, other in zip(names, found, expected, strict=True)
    }


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference relative to the largest value; infinite if it is no number, or shapes differ."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return float("inf")
    a, b = one.astype(np.float64), other.astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    return float(np.abs(a - b).max(initial=0.0) / max(np.abs(b).max(initial=0.0), 1e-12))


def _require_equal(differences: Mapping[str, float], amplified: float, recipe: str) -> None:
    for name, found in differences.items():
        allowed = max(TOLERANCE, AMPLIFIED * amplified) if name.startswith("samples") else TOLERANCE
        if not found <= allowed:
            raise CheckpointError(
                f"the exported graph of recipe {recipe!r} differs from gancore: {name} by {found:.2g} of the"
                f" largest value, more than {allowed:.2g}",
                "export with --format torch, or report the recipe to its plugin",
            )
