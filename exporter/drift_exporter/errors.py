"""Every failure that has a name.

A message says where, what was found and what to do; it never holds a secret, the
password of a URL or a row of data. ``reason`` is the label of the failure counter.
"""

from typing import ClassVar, Literal


class DriftExporterError(Exception):
    """Any failure that drift-exporter names."""

    reason: ClassVar[str] = "internal"


class ConfigError(DriftExporterError):
    """The config file cannot be used; the message lists every error with its place."""

    reason = "config"


class ProfileError(DriftExporterError):
    """A profile cannot be read, does not fit the config, or cannot be built."""

    reason = "profile"


class SourceError(DriftExporterError):
    """A source could not be read: not there, refused, gone mid-run, unreadable."""

    reason = "source"


class SchemaError(DriftExporterError):
    """A source was read but lacks what the config names, the timestamp column for one."""

    reason = "schema"


class RunTimeoutError(DriftExporterError):
    """A run took longer than its timeout and was abandoned."""

    reason = "timeout"


class RunStoppedError(DriftExporterError):
    """A run was asked to stop before it was done."""

    reason = "stopped"


class StoreError(DriftExporterError):
    """The store cannot be opened, read or written."""

    reason = "store"


class WebConfigError(DriftExporterError):
    """The web config file (TLS, authentication) or a listen address cannot be used."""

    reason = "web"


class CountsError(DriftExporterError):
    """Counts do not fit the layout that they are read with."""

    reason = "internal"


class CalibrationError(DriftExporterError):
    """Thresholds cannot be calibrated from what there is."""

    reason = "calibration"


class IncidentError(DriftExporterError):
    """An incident is not in the state that a step needs, or is not there."""

    reason = "incident"


class RoleError(IncidentError):
    """Who asks may not do it."""

    reason = "incident"


class DeliveryError(DriftExporterError):
    """What came to the webhook cannot be taken; ``why`` is fit to be a label."""

    reason = "delivery"

    def __init__(self, message: str, why: Literal["malformed", "version", "too_large"]) -> None:
        super().__init__(message)
        self.why = why


class ReplayError(DriftExporterError):
    """Rules cannot be replayed: a program is missing, or a rule or a config is not understood."""

    reason = "replay"


class DemoError(DriftExporterError):
    """The demo's folder cannot be used."""

    reason = "demo"
