"""Multivariate sensor time series as a domain of gancore."""

from gancore import DomainEntry, hookimpl


@hookimpl
def gancore_domains():
    return [DomainEntry("sensors", "gancore_sensors.domain:SensorsDomain", "channels of sensors over time")]
