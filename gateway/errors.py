"""The gateway's exceptions: faults only. What the gateway refuses is a value (`gateway.intake.refusals`)."""


class GatewayError(Exception):
    """A fault of the gateway; its text says what happened, to which thing, and what to do next."""

    user_message = True


class SettingsError(GatewayError):
    """A configuration file that cannot be used: whoever wrote it must act."""


class ReportError(GatewayError):
    """The ledger did not execute a report as a whole: the gateway tries again, slowly; its operator must look."""


class StoreError(GatewayError):
    """The database is damaged, or newer than this program: the operator must restore or upgrade."""


class DamageError(StoreError):
    """The database's file does not hold together: the operator must restore it from a backup."""


class AccessError(GatewayError):
    """What somebody asked of people, passwords, links or keys cannot be done: they must ask for something else."""


class ForbiddenError(AccessError):
    """What somebody asked of people or keys is not for their role."""


class UnknownError(AccessError):
    """Somebody, a key or a meter that there is not, or not for who asks."""


class BusyError(GatewayError):
    """More is asked at one moment than the gateway does at one moment: ask again later."""


class BackupError(GatewayError):
    """A backup that was not made, does not count, or does not fit: the gateway's database is as it was."""
