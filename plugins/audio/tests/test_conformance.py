"""The domain holds to gancore's contract: each check of the kit is a test."""

from gancore.testing import DomainConformance


class TestAudio(DomainConformance):
    domain = "audio"
