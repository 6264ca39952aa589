"""The section `jobs`."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from contract.config.fields import Frozen, Gigabytes, Megabytes, Seconds
from contract.webhooks import check_secret


class JobSettings(Frozen):
    """Requests that run later; `keep` is in seconds. `max_running` counts the jobs of each model."""

    keep: Seconds = Field(86400, ge=0)
    max_result_gb: Gigabytes = Field(10, ge=0)
    max_queued: int = Field(10000, ge=1)
    max_running: int = Field(8, ge=1)
    attempts: int = Field(3, ge=1)
    max_file_mb: Megabytes = Field(200, gt=0)
    max_files_gb: Gigabytes = Field(10, gt=0)
    max_batch_lines: int = Field(50000, ge=1)
    webhook_secret: str = Field("", repr=False)
    database: str | None = Field(None, pattern="^postgres(ql)?://", repr=False)
    folder: str | None = None

    @model_validator(mode="after")
    def _shares_a_folder(self) -> JobSettings:
        if self.database and not self.folder:
            raise ValueError(
                "`database` needs `folder` beside it, which all gateways that use the database can write to"
            )
        return self

    @field_validator("webhook_secret")
    @classmethod
    def _is_a_secret(cls, value: str) -> str:
        return value and check_secret(value)
