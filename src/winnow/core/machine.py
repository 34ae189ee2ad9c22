"""What this machine computes on: the public name of its devices, and what they make of bfloat16.

torch is imported where it is asked: it takes seconds, and the processor has its name without it.
"""

import functools
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def device_name(kind: str) -> str:
    """The public name of this machine's device of a kind, "cuda", "mps" or "cpu".

    A CPU's goes on with what its numbers and its speed depend on: the instruction set that torch's kernels are for, a
    lower one that oneDNN (convolutions) is held to, if any, and the threads. "AMD EPYC 7B13, AVX2, 2 threads".
    """
    import torch

    if kind == "cuda":
        return torch.cuda.get_device_name()
    if kind != "cpu":
        return kind
    held, threads = _held_to(), torch.get_num_threads()
    kernels = [torch.backends.cpu.get_cpu_capability(), *([f"oneDNN {held}"] if held else [])]
    return ", ".join([processor_name(), *kernels, f"{threads} thread{'' if threads == 1 else 's'}"])


def without_threads(name: str) -> str:
    """The name of a device without its number of threads."""
    return re.sub(r", \d+ threads?$", "", name)


@functools.cache
def processor_name() -> str:
    """The processor's name as its maker gives it, else its architecture: "x86_64 CPU"."""
    if sys.platform == "darwin":
        told = _output("sysctl", "-n", "machdep.cpu.brand_string")
    else:
        told = _named(CPUINFO.read_text() if CPUINFO.exists() else "") or _named(_output("lscpu"))  # arm64: lscpu alone
    return " ".join(told.split()) or f"{platform.machine()} CPU"


def _named(text: str) -> str:
    found = re.search(r"^model name\s*:(.*)$", text, re.MULTILINE | re.IGNORECASE)
    return found[1].strip(" -") if found else ""


def _output(*command: str) -> str:
    """What a command prints, in English; nothing where there is no such command."""
    try:
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"}).stdout
    except OSError:
        return ""


def _held_to() -> str | None:
    """The instruction set that oneDNN is told not to go beyond; None where it may use what there is."""
    told = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "")).upper()
    return None if told in ("", "ALL", "DEFAULT") else told


def trains_faster_in_bfloat16(kind: str) -> bool:
    """Whether a device of a kind trains faster in bfloat16 than in float32, by the instructions that torch will use.

    True of GPUs that compute in it (NVIDIA from Ampere on, AMD), of x86 CPUs with AMX and of AMD's with AVX512_BF16
    (EPYC: ResNet-8, ResNet-18 and fastnet at 1.5 to 2 times the images/s of float32). Intel's with AVX512_BF16 alone
    took 1.1 to 1.4 times as long for ResNets (Xeon, AMX left out), and those without any 2 to 10 times. On arm64
    nothing was measured; float32 is right there until it is.
    """
    import torch

    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    held = _held_to() or "AMX"
    amx = "AMX" in held and torch.cpu._init_amx()  # False too where the system does not grant it
    vectors = ("AMX" in held or "BF16" in held) and torch.cpu._is_avx512_bf16_supported()
    return (
        kind == "cpu"
        and torch.backends.cpu.get_cpu_capability() != "DEFAULT"  # kernels between convolutions lose what those gain
        and (amx or (vectors and "AMD" in processor_name()))
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def unfolds(kind: str, precision: str) -> bool:
    """Whether convolutions copy the patches of their input side by side before they multiply.

    So torch computes in bfloat16 where oneDNN has no kernels for it, which needs AVX-512 at least, or bf16 on arm64.
    """
    import torch

    return kind == "cpu" and precision == "bfloat16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported()
