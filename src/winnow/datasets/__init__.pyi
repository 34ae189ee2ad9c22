from .plain_torch import KeptExamples as KeptExamples
from .plain_torch import torch_subset as torch_subset
from .plain_torch import weighted_sampler as weighted_sampler
