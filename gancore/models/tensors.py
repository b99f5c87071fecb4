"""Named tensors to bytes and back, as safetensors: no code in them, and equal tensors give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gancore.errors import CheckpointError

LONGEST_HEADER_BYTES = 100_000_000
"""The limit that the safetensors format sets."""


def encode_tensors(tensors: Mapping[str, Tensor], name: str) -> bytes:
    """The bytes of a safetensors file. ``name`` says in errors what was to be stored.

    Tensors may share memory, lie on any device, be strided: what is stored is a copy of its own.
    """
    plain = _on_their_own(tensors)
    try:
        return safetensors.torch.save(plain, metadata={"format": "pt"})
    except (KeyError, ValueError, safetensors.SafetensorError) as error:
        kinds = sorted({f"{tensor.dtype}, {tensor.layout}" for tensor in plain.values()})
        fix = f"keep dense tensors of a common type in it; found {'; '.join(kinds)}"
        raise CheckpointError(f"{name} cannot be stored as safetensors ({error})", fix) from error


def _on_their_own(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Dense CPU tensors by sorted name, no two of which share memory; copied only where they must be."""
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key in sorted(tensors):
        tensor = tensors[key].detach().to("cpu")
        if tensor.layout is torch.strided:
            tensor = tensor.contiguous()
            if tensor.untyped_storage().data_ptr() in seen:
                tensor = tensor.clone()
            seen.add(tensor.untyped_storage().data_ptr())
        plain[key] = tensor
    return plain


def decode_tensors(data: bytes, name: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU. Nothing is unpickled, whatever the file is.

    Raises:
        CheckpointError: the bytes are no safetensors file, or a damaged one; names ``name``.
    """
    problem = _header_problem(data)
    if problem:
        raise CheckpointError(f"{name} {problem}", "save the model with gancore again, or fetch it again")
    try:
        tensors = safetensors.torch.load(data)
    except (KeyError, ValueError, AssertionError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{name} is damaged ({reason})", "copy or fetch it again") from error
    return {key: tensors[key] for key in sorted(tensors)}


def _header_problem(data: bytes) -> str:
    """What is wrong with the start of a file that should be safetensors: 8 bytes of length, then '{'."""
    if data[8:9] == b"{":
        length = int.from_bytes(data[:8], "little")
        if length > LONGEST_HEADER_BYTES:
            return f"claims a header of {length:,} bytes, more than safetensors allows"
        return f"is truncated ({len(data):,} bytes)" if length > len(data) - 8 else ""
    kind = _kind(data)
    if not kind:
        return f"is truncated ({len(data):,} bytes)" if len(data) < 9 else "is not a safetensors file"
    return f"is not a safetensors file (it looks like {kind}); gancore never unpickles"


def _kind(data: bytes) -> str:
    """What other kind of weights file this looks like; empty where it is none that we know."""
    if data[:2] == b"PK":
        return "a zip archive, as torch.save writes it, with a pickle inside"
    binary = data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if binary or (data[:1] in b"(c]}" and data.rstrip()[-1:] == b"."):
        return "a pickle"
    return ""
