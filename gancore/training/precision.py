"""Checks that this machine computes a game correctly in bf16; layers that fail are computed in fp32.

Fast kernels have bugs at unusual shapes. oneDNN's bf16 convolution of stride 2 whose output
is one column wide reads memory that was never written (pytorch#163347, #169688): its gradients are garbage
that differs from call to call. So every distinct operation is recorded at its own shapes while the costs of a
game's moves are evaluated, then repeated on random numbers, after filling free memory, forward and backward,
and compared with fp32.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from gancore.games.draw import Draw
from gancore.games.game import Game
from gancore.games.training_setup import TrainingSetup
from gancore.games.training_step import TrainingStep
from gancore.random import Key, RowRange, evaluation_key, noise_scope
from gancore.runtime.kernel_cache import KernelCache
from gancore.training.setup import restored

CONTRACTIONS = {
    *("convolution", "convolution_backward", "mkldnn_convolution", "linear", "mkldnn_rnn_layer"),
    *("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "mkldnn_rnn_layer_backward"),
    *("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention"),
    *("_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention"),
}
"""Operations of ATen that sum products: what fast kernels compute."""
TOLERANCE = 0.02
"""For an operation: ``|bf16 - fp32| / |fp32|`` in the Euclidean norm. Rounding to 8 bits makes 0.002."""
LAYER_TOLERANCE = 0.2
"""For a layer of several operations, each of which is rounded."""
FILL_VALUES = (float("nan"), 3e38)
"""What free memory is filled with before each repetition."""
MAX_MULTIPLICATIONS = 2**27
"""An operation with more multiplications is checked with fewer rows of its batch."""
MAX_RECORDED_SIZE = 2**26
"""A game with more parameters times rows is recorded on a part of its batch."""
RANDOM_PERIOD = 4099
"""Number of random numbers that tensors repeat; a prime, so that no axis of a shape repeats with them."""
MAX_NAMED_FAULTS = 3
"""How many faults the line for the user names."""


@dataclass(frozen=True)
class KernelFault:
    """A call of ``module``, or of the cost itself (""), that this machine computes wrongly in bf16."""

    module: str
    call: str
    error: float
    varies: bool

    def __str__(self) -> str:
        how = "differs from call to call" if self.varies else f"relative error {self.error:.2g}"
        return f"{self.module or 'the cost'} ({self.call}: {how})"


@dataclass(frozen=True)
class PrecisionReport:
    """The number of distinct calls that were checked, those that are wrong, and the seconds of the check."""

    calls: int
    wrong: Sequence[KernelFault]
    seconds: float

    def __str__(self) -> str:
        kind = f"bf16: {len(self.wrong)} of {self.calls} operations are wrong on this processor"
        where = "all is" if "" in self.modules else "these layers are"
        return f"{kind}; {where} computed in fp32: {', '.join(map(str, self.wrong[:MAX_NAMED_FAULTS]))}" + (
            f" and {len(self.wrong) - MAX_NAMED_FAULTS} more" if len(self.wrong) > MAX_NAMED_FAULTS else ""
        )

    @property
    def modules(self) -> list[str]:
        """Names of the modules to compute in fp32; "" is the whole game."""
        return sorted({wrong.module for wrong in self.wrong})


def check_precision(setup: TrainingSetup, cache: KernelCache | None = None) -> PrecisionReport:
    """Check every distinct bf16 call of the game's main moves; the state of the game does not change.

    Modules that are wrong are computed in fp32 from now on, and the calls are recorded again. Calls of costs
    come last: if a penalty differentiates a module that was wrong, they are correct by then.
    """
    cache, started = cache or KernelCache(), time.perf_counter()
    checked: dict[tuple[str, str], KernelFault | None] = {}

    def check_all(calls: Sequence[KernelCall]) -> set[str]:
        checked.update({(call.module, call.key): check_call(call, cache) for call in calls})
        return {fault.module for call in calls if (fault := checked[call.module, call.key])}

    while True:
        calls = [call for call in record_calls(setup) if (call.module, call.key) not in checked]
        modules = check_all([call for call in calls if call.module])
        if not modules:
            check_all([call for call in calls if not call.module])
            break
        compute_in_fp32(setup.game, modules)
    cache.save()
    faults = [fault for fault in checked.values() if fault]
    return PrecisionReport(len(checked), faults, time.perf_counter() - started)


def compute_in_fp32(game: Game, modules: set[str]) -> None:
    """Exclude these modules from autocast: their inputs and outputs are fp32."""
    for name in modules:
        module = game.get_submodule(name)
        if getattr(module.forward, "func", None) is not _in_fp32:
            module.forward = partial(_in_fp32, module.forward)


def _in_fp32(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    args, kwargs = tree_map(_float, (args, kwargs))
    devices = {x.device.type for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)}
    with ExitStack() as stack:
        for device in devices or {"cpu"}:
            stack.enter_context(torch.autocast(device, enabled=False))
        return forward(*args, **kwargs)


def _float(x: Any) -> Any:
    return x.float() if isinstance(x, Tensor) and x.dtype == torch.bfloat16 else x


# What a game computes in bf16 --------------------------------------------------------------------


@dataclass(frozen=True)
class KernelCall:
    """``function(*inputs)``, as ``module`` calls it; calls that compute the same have the same ``key``.

    ``inputs()`` are exact in bf16. ``in_bf16`` and ``in_fp32`` return tensors, in bf16 and in fp32.
    ``cacheable``: whether the key determines the result, so that it need not be checked again.
    """

    module: str
    name: str
    key: str
    inputs: Callable[[], list[Tensor]]
    in_bf16: Callable[..., Any]
    in_fp32: Callable[..., Any]
    tolerance: float = TOLERANCE
    cacheable: bool = True


def record_calls(setup: TrainingSetup) -> list[KernelCall]:
    """The distinct bf16 calls of the main moves of every phase, each move evaluated once.

    What that changes (batch statistics, directions of spectral norms) is restored.
    """
    recorder = CallRecorder(setup.game)
    with restored(setup):
        for phase in setup.game.phases:
            step = TrainingStep(setup, phase, 0, 0, 0.0)
            for move in step.main_moves:
                part = next(step.draw(phase.moves.index(move)).micro_batches(_recorded_parts(setup)))
                with recorder.record(part):
                    step.evaluate_cost(move, part)
    return list(recorder.calls.values())


def _recorded_parts(setup: TrainingSetup) -> int:
    """Into how many parts the batch is cut (one is recorded): micro-batches, more for a large game."""
    parts, rows = setup.micro_batches, setup.batch_size // setup.batches.processes.world_size
    size = sum(p.numel() for optimizer in setup.optimizers.values() for p in optimizer.params)
    while size * rows // parts > MAX_RECORDED_SIZE and rows % (2 * parts) == 0 and rows > 2 * parts:
        parts *= 2
    return parts


class CallRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects the distinct calls with a bf16 input: contractions, and modules that are not torch's."""

    def __init__(self, game: Game) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: dict[tuple[str, str], KernelCall] = {}
        self._modules = dict(game.named_modules())
        self._module_stack = [""]
        self._rows = RowRange.all(1)

    @contextmanager
    def record(self, part: Draw) -> Iterator[None]:
        self._rows = RowRange.all(part.num_rows)
        with ExitStack() as stack:
            for name, module in self._modules.items():
                if name:
                    enter, leave = partial(self._enter_module, name), self._leave_module
                    stack.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
                    stack.callback(module.register_forward_hook(leave, always_call=True).remove)
            stack.enter_context(self)
            yield

    def _enter_module(
        self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._module_stack.append(name)
        own = not type(module).__module__.startswith("torch.nn") and not any(module.children())
        if own and torch.is_autocast_enabled(self._device(args)):
            self._add(layer_call(name, module, args, kwargs, self._rows))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Dynamo is not needed, as nothing is compiled; its import takes two seconds."""
        return False

    @staticmethod
    def _device(args: tuple[Any, ...]) -> str:
        return next((x.device.type for x in tree_flatten(args)[0] if isinstance(x, Tensor)), "cpu")

    def _leave_module(self, module: nn.Module, args: Any, output: Any) -> None:
        self._module_stack.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in CONTRACTIONS:
            call = operation_call(self._module_stack[-1], func, args, kwargs or {})
            if call is not None:
                self._add(call)
        return func(*args, **(kwargs or {}))

    def _add(self, call: KernelCall) -> None:
        self.calls.setdefault((call.module, call.key), call)


def operation_call(module: str, function: Any, args: Any, kwargs: Any) -> KernelCall | None:
    """An operation of ATen on random tensors of these shapes and strides; None if no input is bf16."""
    leaves, structure = tree_flatten((args, kwargs))
    places = [i for i, x in enumerate(leaves) if isinstance(x, Tensor) and x.is_floating_point()]
    name = function.overloadpacket.__name__
    shapes = fewer_rows(name, [_shape(leaves[i]) for i in places])
    if not any(dtype == torch.bfloat16 for *_, dtype in shapes):
        return None
    device = leaves[places[0]].device
    rest = [None if i in places else x for i, x in enumerate(leaves)]

    def inputs() -> list[Tensor]:
        key = evaluation_key("precision", device=device)
        return [random_strided(key / n, shape, stride) for n, (shape, stride, _) in enumerate(shapes)]

    def apply(in_fp32: bool, *tensors: Tensor) -> Any:
        filled = list(rest)
        for place, tensor, (*_, dtype) in zip(places, tensors, shapes, strict=True):
            filled[place] = tensor.float() if in_fp32 else tensor.to(dtype)
        given, named = tree_unflatten(filled, structure)
        return function(*given, **named)

    fixed = [x for x in rest if x is not None]
    key = f"{name} {[(*shape, *stride, str(dtype)) for shape, stride, dtype in shapes]} {fixed}"
    return KernelCall(
        module, _describe(name, shapes), key, inputs, partial(apply, False), partial(apply, True)
    )


Shape: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
"""Sizes, strides and dtype of a tensor."""


def _shape(x: Tensor) -> Shape:
    return tuple(x.shape), x.stride(), x.dtype


BATCHED_INPUTS = {
    "convolution": (0,),
    "convolution_backward": (0, 1),
    "linear": (0,),
    "mm": (0,),
    "addmm": (1,),
}
"""For some operations, the inputs whose first axis is the batch, or can have any size as well."""


def fewer_rows(name: str, shapes: Sequence[Shape]) -> Sequence[Shape]:
    """A large operation with fewer rows, at least two: the other axes decide which kernel is used."""
    batched = BATCHED_INPUTS.get(name, ())
    if not batched or len(shapes) <= max(batched) + 1:
        return shapes
    (rows, *inner), weight = shapes[batched[-1]][0], shapes[batched[-1] + 1][0]
    work = rows * math.prod(inner) * math.prod(weight) // weight[min(1, len(weight) - 1)]
    few = max(2, rows * MAX_MULTIPLICATIONS // max(1, work))
    if few >= rows:
        return shapes
    return [
        ((few, *size[1:]), stride, dtype) if place in batched else (size, stride, dtype)
        for place, (size, stride, dtype) in enumerate(shapes)
    ]


def _describe(name: str, shapes: Sequence[Shape]) -> str:
    return f"{name} of {' and '.join('x'.join(map(str, shape)) for shape, *_ in shapes if len(shape) > 1)}"


def random_strided(key: Key, shape: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Random numbers in memory as ``stride`` says; along broadcast axes (stride 0) they are equal."""
    order = sorted(range(len(shape)), key=lambda axis: -stride[axis])
    sizes = [1 if stride[axis] == 0 else shape[axis] for axis in order]
    back = [order.index(axis) for axis in range(len(shape))]
    return random_bf16(key, *sizes).permute(back).expand(shape)


def random_bf16(key: Key, *shape: int) -> Tensor:
    """N(0, 1) in fp32, exact in bf16; RANDOM_PERIOD numbers, repeated."""
    period = key.normal(RANDOM_PERIOD).bfloat16().float()
    return period.repeat(math.prod(shape) // RANDOM_PERIOD + 1)[: math.prod(shape)].view(shape)


def layer_call(name: str, module: nn.Module, args: Any, kwargs: Any, rows: RowRange) -> KernelCall:
    """A call of a module on the same tensors, with its parameters and copies of its buffers."""
    state = {n: b.detach().clone() for n, b in module.named_buffers()}
    state |= {n: p.detach() for n, p in module.named_parameters()}
    leaves, structure = tree_flatten((args, kwargs))
    places = [i for i, x in enumerate(leaves) if isinstance(x, Tensor) and x.is_floating_point()]
    given = [leaves[i].detach().clone() for i in places]
    names = [n for n, _ in module.named_parameters()]
    device = next((x.device.type for x in [*given, *state.values()]), "cpu")

    def apply(autocast: bool, *tensors: Tensor) -> Any:
        filled = list(leaves)
        for place, tensor in zip(places, tensors, strict=False):
            filled[place] = tensor
        called, named = tree_unflatten(filled, structure)
        own = {n: t.clone() for n, t in state.items()} | dict(zip(names, tensors[len(places) :], strict=True))
        with noise_scope(evaluation_key("precision", device=device), rows), _autocast(device, autocast):
            return functional_call(module, own, called, named)

    what = type(module).__qualname__
    shapes = [(tuple(x.shape), x.stride(), x.dtype) for x in given]
    inputs = [*(x.float() for x in given), *(state[n].float() for n in names)]
    fast, exact = partial(apply, True), partial(apply, False)
    return KernelCall(
        name, what, f"{what} {shapes}", lambda: inputs, fast, exact, LAYER_TOLERANCE, cacheable=False
    )


def _autocast(device: str, enabled: bool) -> Any:
    return torch.autocast(device, torch.bfloat16, enabled=enabled)


# How calls are checked ---------------------------------------------------------------------------


def check_call(call: KernelCall, cache: KernelCache) -> KernelFault | None:
    """None if bf16 agrees with fp32, and with its repetition, whatever free memory holds."""
    if not call.cacheable:
        error, varies = compare_precisions(call)
    elif call.key in cache:
        error, varies = cache[call.key]
    else:
        error, varies = cache[call.key] = compare_precisions(call)
    return (
        KernelFault(call.module, call.name, error, varies) if varies or not error <= call.tolerance else None
    )


def compare_precisions(call: KernelCall) -> tuple[float, bool]:
    """The largest relative error of outputs and gradients, and whether repetitions differ (on a CPU)."""
    inputs = call.inputs()
    reference = outputs_and_gradients(call.in_fp32, inputs)
    runs = []
    for value in FILL_VALUES:
        fill_memory([*inputs, *reference], value)
        runs.append(outputs_and_gradients(call.in_bf16, inputs))
    varies = any(x.device.type == "cpu" and not torch.equal(x, y) for x, y in zip(*runs, strict=True))
    errors = (relative_error(x, y) for run in runs for x, y in zip(run, reference, strict=True))
    return max(errors, default=0.0), varies


def outputs_and_gradients(function: Callable[..., Any], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Outputs, and gradients of a random linear function of them; zeros for inputs without one."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    with torch.enable_grad():
        outputs = [y for y in tree_flatten(function(*leaves))[0] if _is_float(y)]
        key = (
            evaluation_key("precision", "cotangents", device=leaves[0].device)
            if leaves
            else evaluation_key("precision")
        )
        live = [
            (y, random_bf16(key / n, *y.shape).to(y.dtype)) for n, y in enumerate(outputs) if y.requires_grad
        ]
        gradients = _gradients(live, leaves)
    return [*(y.detach() for y in outputs), *gradients]


def _gradients(live: Sequence[tuple[Tensor, Tensor]], leaves: Sequence[Tensor]) -> Sequence[Tensor]:
    if not live or not leaves:
        return []
    # The gradient of y is its cotangent. torch imports sympy for a second if it is passed as grad_outputs.
    total = torch.stack([(output * cotangent).sum().float() for output, cotangent in live]).sum()
    return torch.autograd.grad(total, leaves, materialize_grads=True, allow_unused=True)


def _is_float(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def fill_memory(like: Sequence[Tensor], value: float) -> None:
    """Fill memory as large as these tensors, in both dtypes, and free it."""
    sizes = {x.numel() for x in like} | {64, 1024, 16384, 262144}
    device = like[0].device if like else torch.device("cpu")
    tensors = [torch.full((n,), value, dtype=t, device=device) for n in sizes for t in DTYPES]
    del tensors


DTYPES = (torch.float32, torch.bfloat16)


def relative_error(value: Tensor, reference: Tensor) -> float:
    """``|value - reference| / |reference|``; infinite if only the reference is finite."""
    norm = torch.linalg.vector_norm
    size, difference = float(norm(reference)), float(norm(value.float() - reference))
    if not math.isfinite(size):
        return 0.0
    return difference / size if size and math.isfinite(difference) else math.inf if difference else 0.0
