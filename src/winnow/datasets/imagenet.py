"""ImageNet's classification set, in the folders that torchvision's ImageFolder reads."""

from dataclasses import dataclass, field
from pathlib import Path

from winnow.core.errors import DatasetError, OptionError
from winnow.datasets.base import DatasetSpec, ImageDataset
from winnow.datasets.class_folders import ClassFolders, check_stream, streamed
from winnow.datasets.image_files import ENDINGS, class_folders
from winnow.store.artifacts import ArtifactStore
from winnow.store.keys import NOT_IN_KEY


@dataclass(frozen=True, kw_only=True)
class ImageNet(DatasetSpec):
    """root/train/<wnid>/<image> and root/val/<wnid>/<image>: ILSVRC 2012 (Russakovsky et al. 2015, 1409.0575).

    1,281,167 and 50,000 images of 1,000 classes, whose names are the wnids (n01440764...); folders of fewer classes,
    such as ImageNet-100, are read alike. The validation images are the test set. They are streamed, [size, size, 3]:
    see ImageFolder with storage "stream", of which this is the usual form, for order, fingerprint and augmentation,
    and StreamedImages for how they are decoded. workers: processes that decode. name: what rows call the data set.

    Raises OptionError for an option outside its set, and DatasetError for folders of another layout: what is wrong with
    them, and where val is flat, as ImageNet is given out, how it is sorted.
    """

    root: str = field(metadata=NOT_IN_KEY)
    name: str = field(default="imagenet", metadata=NOT_IN_KEY)
    size: int = 224
    least_area: float = 0.08
    workers: int | None = field(default=None, metadata=NOT_IN_KEY)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stream(least_area=self.least_area, workers=self.workers)
        if self.size < 1:
            raise OptionError(f"dataset.size={self.size} must be at least 1 pixel.")

    def read(self, store: ArtifactStore) -> ImageDataset:
        root = Path(self.root).expanduser().resolve()
        val = root / "val"
        if val.is_dir() and not class_folders(val) and any(p.name.lower().endswith(ENDINGS) for p in val.iterdir()):
            raise DatasetError(
                f"{val} has its images flat, without class folders; expected val/<wnid>/<image>. Move each image into "
                "the folder of its class, which ILSVRC2012_devkit_t12 names: "
                "torchvision.datasets.ImageNet(root, split='val') does so from the archives."
            )
        return streamed(
            ClassFolders(root, test=val),
            slug="imagenet",
            name=self.name,
            size=self.size,
            resize="crop",
            channels=3,
            least_area=self.least_area,
            workers=self.workers,
        )
