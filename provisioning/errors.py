"""What can go wrong while a campus is made. Every text says what happened, to which thing, and what to do next."""

from __future__ import annotations


class ProvisioningError(Exception):
    """Root of the faults of provisioning (the toolchain has its own tree)."""

    user_message = True


class PlanError(ProvisioningError):
    """A campus plan that cannot be carried out: whoever wrote it must mend it."""


class DirectoryError(ProvisioningError):
    """A campus directory that cannot be written, or that does not hold what it should."""


class EnrolmentError(ProvisioningError):
    """The ledger or a meter did not take part in its enrolment."""


class SendError(ProvisioningError):
    """A message that did not reach its meter, or that it did not take."""


class ImageError(ProvisioningError):
    """An image of the meter's application that cannot be made, read or sent."""
