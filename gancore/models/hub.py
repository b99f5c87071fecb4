"""Share model folders through the Hugging Face hub: ``hub:OWNER/NAME``.

Only the files of a model folder are sent and fetched, whatever else is beside them; what was fetched is read
as any folder of a stranger. The address of the hub (``HF_ENDPOINT``), the token (``HF_TOKEN``) and the cache
(``HF_HOME``) are those of the library huggingface_hub, the extra ``gancore[hub]``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gancore.errors import CheckpointError, ConfigError, describe_error
from gancore.hub import HubName, hub_errors, hub_library
from gancore.progress import Announce, silent
from gancore.text import format_size


def fetch_model(model: HubName, announce: Announce = silent) -> Path:
    """Download the files of a model into the library's cache, once, and return the folder there.

    All files are those of one commit. Nothing is read but sizes: see :func:`read_model_folder`.

    Raises:
        CheckpointError: there is no such model or revision, it is private, too large, or no gancore model.
        ConfigError: huggingface_hub is not installed.
    """
    from gancore.models.folder import CARD, CONFIG, PICTURE, SPEC, WEIGHTS

    with hub_errors(model):
        config = _download(model, CONFIG, announce)
        assert config is not None
        commit = HubName(model.repo, config.parent.name)
        _download(commit, WEIGHTS, announce, pinned=True)
        for name in (SPEC, CARD, PICTURE):
            _download(commit, name, announce, pinned=True, optional=True)
    return config.parent


def _download(
    model: HubName, name: str, announce: Announce, pinned: bool = False, optional: bool = False
) -> Path | None:
    """One file; None if it is optional and missing. Its size is checked before it is fetched.

    ``pinned``: the revision is a commit, whose files do not change.
    """
    hub = hub_library()
    cached = hub.try_to_load_from_cache(model.repo, name, revision=model.revision) if pinned else None
    if cached is not None:
        return Path(cached) if isinstance(cached, str) else None  # or a mark that the commit has no such file
    request: dict[str, Any] = {"revision": model.revision, "endpoint": os.environ.get("HF_ENDPOINT")}
    try:
        known = hub.hf_hub_download(model.repo, name, dry_run=True, **request)
        if known.is_cached:
            return Path(known.local_path)
        _require_size(model, name, known.file_size)
        announce(f"downloading {name} of {model} ({format_size(known.file_size)})")
        return Path(hub.hf_hub_download(model.repo, name, **request))
    except hub.errors.RemoteEntryNotFoundError as error:
        if optional:
            return None
        raise CheckpointError(f"{model} has no {name}: it is no model of gancore", "name one") from error
    except hub.errors.LocalEntryNotFoundError:
        if optional:  # offline, with all that the model needs in the cache
            return None
        raise


def _require_size(model: HubName, name: str, size: int) -> None:
    from gancore.files import MAX_JSON_BYTES, max_tensor_bytes

    allowed = max_tensor_bytes() if name.endswith(".safetensors") else MAX_JSON_BYTES
    if size > allowed:
        raise CheckpointError(
            f"{model}: {name} has {format_size(size)}, more than the {format_size(allowed)} that are read",
            "name another model, or use a machine with more memory",
        )


def push_model(folder: Path, model: HubName, private: bool = False, announce: Announce = silent) -> str:
    """Send the files of a model folder as one commit, and return its address; a new repository is made.

    Raises:
        CheckpointError: the folder holds no model that could be loaded, or the hub refuses it.
        ConfigError: the card's front matter is not one that the hub reads, or huggingface_hub is missing.
    """
    from gancore.models.folder import CARD, MODEL_FILES, read_model_folder

    read_model_folder(folder)
    check_card(folder / CARD)
    names = [name for name in sorted(MODEL_FILES) if (folder / name).is_file()]
    return _send(folder, names, model, announce, private=private or None)


def push_space(folder: Path, space: HubName, private: bool = False, announce: Announce = silent) -> str:
    """Send all files of a folder as a Space that Gradio serves, and return the address of the commit.

    Raises as :func:`push_model`.
    """
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    made_as = {"private": private or None, "repo_type": "space", "space_sdk": "gradio"}
    return _send(folder, names, space, announce, **made_as)


def _send(folder: Path, names: Sequence[str], target: HubName, announce: Announce, **repository: Any) -> str:
    """Send files as one commit; ``repository``: what a new repository is made with."""
    hub = hub_library()
    with hub_errors(target):
        api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="gancore")
        api.create_repo(target.repo, exist_ok=True, **repository)
        announce(f"sending {len(names)} files to {target}")
        files = [
            hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=(folder / name).resolve())
            for name in names
        ]
        sent = api.create_commit(
            target.repo,
            files,
            commit_message="Upload a model with gancore",
            revision=target.revision,
            repo_type=repository.get("repo_type"),
        )
    return str(sent.commit_url)


def check_card(file: Path) -> None:
    """Raises ConfigError if the hub could not read the front matter of a card."""
    from gancore.files import MAX_JSON_BYTES, read_regular

    hub = hub_library()
    try:
        text = read_regular(file.resolve(), MAX_JSON_BYTES).decode()
        card = hub.ModelCard(text)
    except Exception as error:  # yaml and the library raise many
        reason = describe_error(error)
        raise ConfigError(f"{file}: the hub cannot read this card ({reason})", _FIX_CARD) from error
    found: Mapping[str, Any] = card.data.to_dict()
    missing = [key for key in ("license", "library_name", "tags") if not found.get(key)]
    if missing:
        raise ConfigError(f"{file}: the front matter lacks {', '.join(missing)}", _FIX_CARD)


_FIX_CARD = "`gancore evaluate MODEL --update-card` writes one, or correct the lines between its two ---"
