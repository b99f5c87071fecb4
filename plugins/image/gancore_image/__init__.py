"""The image domain of gancore: from DCGAN to relativistic GANs, beside likelihood models."""

from pathlib import Path

from gancore import DomainEntry, PretrainedModelEntry, hookimpl, packaged_models


@hookimpl
def gancore_domains() -> list[DomainEntry]:
    return [
        DomainEntry("image", "gancore_image.domain:ImageDomain", "images: PNG, JPEG, WebP, BMP; IDX, npz")
    ]


@hookimpl
def gancore_models() -> list[PretrainedModelEntry]:
    return packaged_models(Path(__file__).parent / "models")
