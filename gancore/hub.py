"""Names on the Hugging Face hub, ``hub:OWNER/NAME``, its library huggingface_hub, and the library's errors.

The address of the hub (``HF_ENDPOINT``), the token (``HF_TOKEN``) and the cache (``HF_HOME``) are those of
the library, the extra ``gancore[hub]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from gancore.errors import CheckpointError, ConfigError, GancoreError, describe_error
from gancore.text import escape_control

PREFIX = "hub:"
HubKind: TypeAlias = Literal["model", "data set"]
NO_ACCESS = "check the name; for a private one set HF_TOKEN, or log in with `hf auth login`"
_REFERENCE = re.compile(
    r"hub:(?P<repo>[\w][\w.-]*/[\w][\w.-]*)(/(?P<subset>[\w][\w.-]*))?(@(?P<revision>[\w][\w./-]*))?",
    re.ASCII,
)


@dataclass(frozen=True)
class HubName:
    """A model or a data set on the hub; ``revision``: a branch, a tag or a commit.

    ``subset``: the configuration of a data set that has several.
    """

    repo: str
    revision: str = "main"
    subset: str = ""

    def __str__(self) -> str:
        subset = f"/{self.subset}" if self.subset else ""
        return f"{PREFIX}{self.repo}{subset}" + (f"@{self.revision}" if self.revision != "main" else "")


def is_hub_name(name: object) -> bool:
    return str(name).startswith(PREFIX)


def parse_hub_name(name: str, revision: str | None = None, kind: HubKind = "model") -> HubName:
    """What ``hub:OWNER/NAME`` or ``hub:OWNER/NAME@REVISION`` names; of data also ``hub:OWNER/NAME/SUBSET``.

    Raises:
        ConfigError: it has another form, or two revisions are given.
    """
    found = _REFERENCE.fullmatch(name)
    if found is None or ".." in name or (found["subset"] and kind == "model"):
        raise ConfigError(f"{name!r} is not a {kind} of the hub", "give hub:OWNER/NAME")
    if revision is not None and found["revision"] and found["revision"] != revision:
        raise ConfigError(f"two revisions are given: {found['revision']} and {revision}", "give one")
    chosen = found["revision"] or revision or "main"
    if not re.fullmatch(r"[\w][\w./-]*", chosen, re.ASCII) or ".." in chosen:
        raise ConfigError(f"revision {chosen!r} is no branch, tag or commit", "give its name")
    return HubName(found["repo"], chosen, found["subset"] or "")


def hub_library() -> Any:
    """huggingface_hub. Raises ConfigError if it is not installed."""
    try:
        import huggingface_hub
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError:
        message = "hub:OWNER/NAME needs huggingface_hub"
        raise ConfigError(message, 'pip install "gancore[hub]"') from None
    library: Any = huggingface_hub
    library.utils.disable_progress_bars()
    return library


@contextmanager
def hub_errors(name: HubName, refusal: type[GancoreError] = CheckpointError) -> Iterator[None]:
    """Context manager that turns every error of the library into one line, as a ``refusal``."""
    errors = hub_library().errors
    try:
        yield
    except GancoreError:
        raise
    except errors.GatedRepoError as error:
        raise refusal(f"{name} asks for consent before it is read", "give it on its page") from error
    except errors.RepositoryNotFoundError as error:
        raise refusal(f"{name} does not exist, or is private", NO_ACCESS) from error
    except errors.RevisionNotFoundError as error:
        message = f"{PREFIX}{name.repo} has no revision {name.revision!r}"
        raise refusal(message, "name a branch, a tag or a commit of it") from error
    except errors.LocalTokenNotFoundError as error:
        raise refusal(f"{name}: no token is known", NO_ACCESS) from error
    except errors.HfHubHTTPError as error:
        raise refusal(f"{name}: the hub refuses it ({explain(error)})", NO_ACCESS) from error
    except errors.LocalEntryNotFoundError as error:
        message = f"{name} is not in the cache, and the hub is not reached"
        raise refusal(message, "connect this machine, and leave HF_HUB_OFFLINE unset") from error
    except errors.HFValidationError as error:
        raise ConfigError(f"{name}: {explain(error)}", "give hub:OWNER/NAME") from error
    except Exception as error:  # of the network: the library passes on those of its HTTP client
        message = f"{name}: the hub is not reached ({explain(error)})"
        raise refusal(message, "try again, or check HF_ENDPOINT and the connection") from error


def explain(error: BaseException) -> str:
    """An error on one printable line."""
    return escape_control(describe_error(error, 160))
