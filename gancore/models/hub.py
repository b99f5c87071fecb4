"""Share model folders through the Hugging Face hub: ``hub:OWNER/NAME``.

Only the files of a model folder are sent and fetched, whatever else is beside them; what was fetched is read
as any folder of a stranger. The address of the hub (``HF_ENDPOINT``), the token (``HF_TOKEN``) and the cache
(``HF_HOME``) are those of the library huggingface_hub, the extra ``gancore[hub]``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gancore.errors import CheckpointError, ConfigError, describe_error
from gancore.progress import Announce, silent
from gancore.text import escape_control, format_size

PREFIX = "hub:"
_REFERENCE = re.compile(r"hub:(?P<repo>[\w][\w.-]*/[\w][\w.-]*)(@(?P<revision>[\w][\w./-]*))?", re.ASCII)


@dataclass(frozen=True)
class HubModel:
    """A model on the hub; ``revision``: a branch, a tag or a commit."""

    repo: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"{PREFIX}{self.repo}" + (f"@{self.revision}" if self.revision != "main" else "")


def is_hub_name(name: object) -> bool:
    return str(name).startswith(PREFIX)


def parse_hub_name(name: str, revision: str | None = None) -> HubModel:
    """The model that ``hub:OWNER/NAME`` or ``hub:OWNER/NAME@REVISION`` names.

    Raises:
        ConfigError: it has another form, or two revisions are given.
    """
    found = _REFERENCE.fullmatch(name)
    if found is None or ".." in name:
        raise ConfigError(f"{name!r} is not a model of the hub", "give hub:OWNER/NAME")
    if revision is not None and found["revision"] and found["revision"] != revision:
        raise ConfigError(f"two revisions are given: {found['revision']} and {revision}", "give one")
    chosen = found["revision"] or revision or "main"
    if not re.fullmatch(r"[\w][\w./-]*", chosen, re.ASCII) or ".." in chosen:
        raise ConfigError(f"revision {chosen!r} is no branch, tag or commit", "give its name")
    return HubModel(found["repo"], chosen)


def fetch_model(model: HubModel, announce: Announce = silent) -> Path:
    """Download the files of a model into the library's cache, once, and return the folder there.

    All files are those of one commit. Nothing is read but sizes: see :func:`read_model_folder`.

    Raises:
        CheckpointError: there is no such model or revision, it is private, too large, or no gancore model.
        ConfigError: huggingface_hub is not installed.
    """
    from gancore.models.folder import CARD, CONFIG, PICTURE, SPEC, WEIGHTS

    with _explained(model):
        config = _download(model, CONFIG, announce)
        assert config is not None
        commit = HubModel(model.repo, config.parent.name)
        _download(commit, WEIGHTS, announce, pinned=True)
        for name in (SPEC, CARD, PICTURE):
            _download(commit, name, announce, pinned=True, optional=True)
    return config.parent


def _download(
    model: HubModel, name: str, announce: Announce, pinned: bool = False, optional: bool = False
) -> Path | None:
    """One file; None if it is optional and missing. Its size is checked before it is fetched.

    ``pinned``: the revision is a commit, whose files do not change.
    """
    hub = _library()
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


def _require_size(model: HubModel, name: str, size: int) -> None:
    from gancore.files import MAX_JSON_BYTES, max_tensor_bytes

    allowed = max_tensor_bytes() if name.endswith(".safetensors") else MAX_JSON_BYTES
    if size > allowed:
        raise CheckpointError(
            f"{model}: {name} has {format_size(size)}, more than the {format_size(allowed)} that are read",
            "name another model, or use a machine with more memory",
        )


def push_model(folder: Path, model: HubModel, private: bool = False, announce: Announce = silent) -> str:
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


def push_space(folder: Path, space: HubModel, private: bool = False, announce: Announce = silent) -> str:
    """Send all files of a folder as a Space that Gradio serves, and return the address of the commit.

    Raises as :func:`push_model`.
    """
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    made_as = {"private": private or None, "repo_type": "space", "space_sdk": "gradio"}
    return _send(folder, names, space, announce, **made_as)


def _send(folder: Path, names: Sequence[str], target: HubModel, announce: Announce, **repository: Any) -> str:
    """Send files as one commit; ``repository``: what a new repository is made with."""
    hub = _library()
    with _explained(target):
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

    try:
        text = read_regular(file.resolve(), MAX_JSON_BYTES).decode()
        card = _library().ModelCard(text)
    except Exception as error:  # yaml and the library raise many
        reason = describe_error(error)
        raise ConfigError(f"{file}: the hub cannot read this card ({reason})", _FIX_CARD) from error
    found: Mapping[str, Any] = card.data.to_dict()
    missing = [key for key in ("license", "library_name", "tags") if not found.get(key)]
    if missing:
        raise ConfigError(f"{file}: the front matter lacks {', '.join(missing)}", _FIX_CARD)


_FIX_CARD = "`gancore evaluate MODEL --update-card` writes one, or correct the lines between its two ---"
_NO_ACCESS = "check the name; for a private model set HF_TOKEN, or log in with `hf auth login`"


def _library() -> Any:
    """huggingface_hub. Raises ConfigError if it is not installed."""
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        message = "models of the hub need huggingface_hub"
        raise ConfigError(message, 'pip install "gancore[hub]"') from None
    library: Any = huggingface_hub
    library.utils.disable_progress_bars()
    return library


@contextmanager
def _explained(model: HubModel) -> Iterator[None]:
    """Turns every error of the library into one line."""
    errors = _library().errors
    try:
        yield
    except (ConfigError, CheckpointError):
        raise
    except errors.GatedRepoError as error:
        raise CheckpointError(f"{model} asks for consent before it is read", "give it on its page") from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(f"{model} does not exist, or is private", _NO_ACCESS) from error
    except errors.RevisionNotFoundError as error:
        message = f"{PREFIX}{model.repo} has no revision {model.revision!r}"
        raise CheckpointError(message, "name a branch, a tag or a commit of it") from error
    except errors.LocalTokenNotFoundError as error:
        raise CheckpointError(f"{model}: no token is known", _NO_ACCESS) from error
    except errors.HfHubHTTPError as error:
        raise CheckpointError(f"{model}: the hub refuses it ({_reason(error)})", _NO_ACCESS) from error
    except errors.LocalEntryNotFoundError as error:
        message = f"{model} is not in the cache, and the hub is not reached"
        raise CheckpointError(message, "connect this machine, and leave HF_HUB_OFFLINE unset") from error
    except errors.HFValidationError as error:
        raise ConfigError(f"{model}: {_reason(error)}", "give hub:OWNER/NAME") from error
    except Exception as error:  # of the network: the library passes on those of its HTTP client
        message = f"{model}: the hub is not reached ({_reason(error)})"
        raise CheckpointError(message, "try again, or check HF_ENDPOINT and the connection") from error


def _reason(error: BaseException) -> str:
    return escape_control(describe_error(error, 160))
