"""The image domain of gancore: from DCGAN to relativistic GANs, beside likelihood models."""

from gancore import DomainEntry, hookimpl


@hookimpl
def gancore_domains() -> list[DomainEntry]:
    return [
        DomainEntry("image", "gancore_image.domain:ImageDomain", "images: PNG, JPEG, WebP, BMP; IDX, npz")
    ]
