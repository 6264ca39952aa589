"""The section `responses`."""

from __future__ import annotations

from pydantic import Field

from contract.config.fields import Frozen, Gigabytes, Seconds


class StoredResponseSettings(Frozen):
    """Responses that clients may continue or retrieve; `keep` is in seconds since their last use."""

    keep: Seconds = Field(30 * 86400, ge=0)
    max_gb: Gigabytes = Field(1, ge=0)
