"""The domain keeps gancore's contract: each check is a test."""

from gancore.testing import DomainConformance


class TestSensors(DomainConformance):
    domain = "sensors"
