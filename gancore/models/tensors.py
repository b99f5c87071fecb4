"""Encode and decode named tensors as safetensors. Equal tensors give equal bytes; no code is stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gancore.errors import CheckpointError
from gancore.files import decode_json

MAX_HEADER_BYTES = 100_000_000
"""The limit of the safetensors format."""


def encode_tensors(tensors: Mapping[str, Tensor], name: str) -> bytes:
    """The bytes of a safetensors file. ``name`` is the name of the file in errors.

    Tensors may share memory, be on any device and have any strides: a contiguous copy is stored.

    Raises:
        CheckpointError: a tensor is sparse or has a dtype that safetensors does not support.
    """
    plain = _without_shared_memory(tensors)
    try:
        return safetensors.torch.save(plain, metadata={"format": "pt"})
    except (KeyError, ValueError, safetensors.SafetensorError) as error:
        kinds = sorted({f"{tensor.dtype}, {tensor.layout}" for tensor in plain.values()})
        fix = f"use dense tensors of a common type; found {'; '.join(kinds)}"
        raise CheckpointError(f"{name} cannot be stored as safetensors ({error})", fix) from error


def _without_shared_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Dense tensors on the CPU that share no memory, sorted by name; copied only if necessary."""
    plain: dict[str, Tensor] = {}
    storages: set[int] = set()
    for key in sorted(tensors):
        tensor = tensors[key].detach().to("cpu")
        if tensor.layout is torch.strided:
            tensor = tensor.contiguous()
            if tensor.untyped_storage().data_ptr() in storages:
                tensor = tensor.clone()
            storages.add(tensor.untyped_storage().data_ptr())
        plain[key] = tensor
    return plain


def to_half_precision(
    tensors: Mapping[str, Tensor], names: Collection[str], dtype: str = "float16"
) -> dict[str, Tensor]:
    """Round the floating-point tensors of these names; the others, such as buffers, are unchanged.

    float16 rounds a weight between 6.1e-5 and 65,504 by at most 2**-11 of it (0.05 %), smaller ones by at
    most 3e-8; bfloat16 rounds any weight by at most 2**-8 of it (0.4 %). A tensor with a number that the type
    cannot represent stays as it is.
    """
    target = torch.float16 if dtype == "float16" else torch.bfloat16
    rounded = dict(tensors)
    for name in names:
        tensor = tensors[name]
        if tensor.is_floating_point() and bool((half := tensor.to(target)).isfinite().all()):
            rounded[name] = half
    return rounded


def decode_tensors(data: bytes, name: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU. Nothing is unpickled, whatever the bytes are.

    Raises:
        CheckpointError: the bytes are not a safetensors file, or it is damaged; the message has ``name``.
    """
    problem = _header_problem(data)
    if problem:
        raise CheckpointError(f"{name} {problem}", "save the model again with gancore, or fetch it again")
    try:
        tensors = safetensors.torch.load(data)
    except (KeyError, ValueError, AssertionError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{name} is damaged ({reason})", "copy or fetch it again") from error
    return {key: tensors[key] for key in sorted(tensors)}


def _header_problem(data: bytes) -> str:
    """The error in the header of a safetensors file (8 bytes of length, then '{'); empty if there is none."""
    if data[8:9] == b"{":
        length = int.from_bytes(data[:8], "little")
        if length > MAX_HEADER_BYTES:
            return f"claims a header of {length:,} bytes, more than safetensors allows"
        if length > len(data) - 8:
            return f"is truncated ({len(data):,} bytes)"
        try:
            decode_json(data[8 : 8 + length], "its header")
        except CheckpointError as error:
            return f"is damaged: {error.message}"
        return ""
    other = _other_format(data)
    if not other:
        return f"is truncated ({len(data):,} bytes)" if len(data) < 9 else "is not a safetensors file"
    return f"is not a safetensors file (it looks like {other}); gancore never unpickles"


def _other_format(data: bytes) -> str:
    """The known format of weights that the bytes look like; empty if there is none."""
    if data[:2] == b"PK":
        return "a zip archive, as torch.save writes it, with a pickle inside"
    binary = data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if binary or (data[:1] in b"(c]}" and data.rstrip()[-1:] == b"."):
        return "a pickle"
    return ""
