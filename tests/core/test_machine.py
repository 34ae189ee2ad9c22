"""What a device is called, and what is made of its instruction sets."""

import platform
from pathlib import Path
from typing import Any

import pytest
import torch

from winnow.core import machine

X86 = "processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7B13  64-Core Processor\nflags\t: fpu\n"
ARM64 = "processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The name of a processor, from /proc/cpuinfo (None: there is none) and what another command prints."""

    def called(cpuinfo: str | None, printed: str = "", system: str = "linux") -> str:
        if cpuinfo is not None:
            (tmp_path / "cpuinfo").write_text(cpuinfo)
        monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(machine, "_output", lambda *command: printed)
        monkeypatch.setattr(machine.sys, "platform", system)
        return machine.processor_name.__wrapped__()

    return called


def test_a_processor_has_the_name_that_the_system_tells(called: Any) -> None:
    assert called(X86) == "AMD EPYC 7B13 64-Core Processor"
    assert called(ARM64, "Architecture: aarch64\nModel name:            Neoverse-N1\nModel: 1\n") == "Neoverse-N1"
    assert called(None, "Apple M2 Pro\n", "darwin") == "Apple M2 Pro"


def test_one_that_is_not_told_has_that_of_its_architecture(called: Any) -> None:
    assert called(ARM64, "Architecture: aarch64\nModel name:   -\n") == f"{platform.machine()} CPU"
    assert called(None) == f"{platform.machine()} CPU"
    assert machine._output("no-such-command-anywhere") == ""


def test_a_cpu_is_named_with_what_its_numbers_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "processor_name", lambda: "Some CPU")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert machine.device_name("cpu") == "Some CPU, AVX2, 1 thread"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert machine.device_name("cpu") == "Some CPU, AVX2, oneDNN SSE41, 4 threads"
    assert machine.device_name("mps") == "mps"


def test_this_machine_has_a_short_name_on_one_line() -> None:
    name = machine.device_name("cpu")
    assert name == " ".join(name.split())
    assert torch.backends.cpu.get_cpu_capability() in name
    assert len(name) < 120


@pytest.mark.parametrize(
    ("maker", "kernels", "held", "amx", "onednn", "faster"),
    [
        ("Intel", "AVX512", None, True, True, True),
        ("Intel", "AVX512", "ALL", True, True, True),
        ("Intel", "AVX512", "AVX512_CORE_AMX", True, True, True),
        ("Intel", "AVX2", None, True, True, True),
        ("Intel", "AVX512", None, False, True, False),  # AVX512_BF16 alone, AVX-512 without it
        ("Intel", "AVX512", "AVX512_CORE_BF16", True, True, False),
        ("Intel", "AVX512", "avx2", True, False, False),
        ("Intel", "AVX2", None, False, False, False),
        ("Intel", "DEFAULT", None, True, True, False),
        ("SVE", "SVE256", None, False, True, False),
        ("AMD", "AVX512", None, False, True, True),
        ("AMD", "AVX512", "AVX512_CORE_BF16", False, True, True),
        ("AMD", "AVX512", "AVX512_CORE", False, False, False),
        ("AMD", "AVX2", None, False, False, False),
    ],
)
def test_a_cpu_trains_faster_in_bfloat16_where_its_instructions_pay(
    maker: str, kernels: str, held: str | None, amx: bool, onednn: bool, faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if held:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", held)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: kernels)
    monkeypatch.setattr(torch.cpu, "_init_amx", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: onednn)
    monkeypatch.setattr(machine, "processor_name", lambda: maker)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    assert machine.trains_faster_in_bfloat16("cpu") is faster
    assert not machine.trains_faster_in_bfloat16("mps")
    assert machine.unfolds("cpu", "bfloat16") is not onednn
    assert not machine.unfolds("cpu", "float32")
    assert not machine.unfolds("cuda", "bfloat16")


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_trains_faster_in_bfloat16_where_it_does_not_emulate_it(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert machine.trains_faster_in_bfloat16("cuda") is native
