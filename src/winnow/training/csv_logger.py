"""Lightning's logger to a CSV file, for trainings that go on."""

import csv
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger

from winnow.store.writing import writing

OPTION = "hydra.run.dir=DIR, or none by logger=none"  # where users choose where logs go


class ContinuedCSVLogger(CSVLogger):
    """Lightning's, which begins its file anew, except that the lines of an interrupted training can stay.

    Raises StoreError where the file cannot be written.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        file = Path(self.log_dir) / "metrics.csv"
        self.earlier: list[dict[str, str]] = []
        if file.exists():
            lines = file.read_text().splitlines(keepends=True)
            # The last line may have been cut short, by a kill or for want of room.
            self.earlier = list(csv.DictReader(line for line in lines if line.endswith("\n")))
            with writing(file):
                file.unlink()  # Lightning would, with a warning

    @property
    def experiment(self) -> Any:
        with writing(self.log_dir, option=OPTION):
            return super().experiment

    def save(self) -> None:
        with writing(self.log_dir, option=OPTION):
            super().save()

    def go_on(self, step: int) -> None:
        """Keep the lines up to this step, which was the last of the interrupted training's checkpoint."""
        for line in self.earlier:
            if int(line["step"]) <= step:
                values: Any = {name: value for name, value in line.items() if value and name != "step"}
                self.log_metrics(values, int(line["step"]))
        self.save()
