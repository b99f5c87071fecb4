"""The domain holds to gancore's contract: each check of the kit is a test."""

from gancore.testing import DomainConformance


class TestImages(DomainConformance):
    domain = "image"
