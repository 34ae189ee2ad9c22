"""wandb without its service or a server: what a client was told, run by run."""

from typing import Any

import pandas as pd
import wandb


class StandInRun:
    """What one run was told."""

    def __init__(self, id: str, options: dict[str, Any]) -> None:
        self.id, self.options, self.name = id, options, options["name"]
        self.config: dict[str, Any] = options["config"]
        self.job_type, self.group, self.tags = options["job_type"], options["group"], options["tags"]
        self.summary: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.used: list[wandb.Artifact] = []
        self.made: list[wandb.Artifact] = []
        self.exit_code: int | None = None

    def define_metric(self, name: str, **options: Any) -> None:
        pass

    def log(self, values: dict[str, Any], **options: Any) -> None:
        self.history.append(values)
        self.summary.update(values)

    def _log_artifact(self, artifact: wandb.Artifact, *, is_user_created: bool, use_after_commit: bool) -> None:
        assert use_after_commit, "what is made is logged by log_artifact"
        self.used.append(artifact)

    def log_artifact(self, artifact: wandb.Artifact) -> None:
        self.made.append(artifact)

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code

    def table(self, name: str) -> pd.DataFrame:
        """What was logged as a table."""
        return self.summary[name].get_dataframe()


class StandIn:
    """Takes the place of wandb.init, and keeps every run that it was asked for."""

    def __init__(self) -> None:
        self.runs: list[StandInRun] = []

    def init(self, **options: Any) -> StandInRun:
        self.runs.append(StandInRun(options["id"] or f"id{len(self.runs)}", options))
        return self.runs[-1]

    def of(self, job_type: str) -> list[StandInRun]:
        return [run for run in self.runs if run.job_type == job_type]


def names(artifacts: list[wandb.Artifact]) -> list[tuple[str, str]]:
    """Of each artifact its name, which has its key, and a digest of its content."""
    return [(artifact.name.partition(":")[0], artifact.digest) for artifact in artifacts]
