import pytest

from camembert_bio import devices
from camembert_bio.errors import UserError


@pytest.mark.parametrize(
    ("cuda_name", "name"),
    [
        ("NVIDIA H200", "H200-141"),
        ("NVIDIA H100 80GB HBM3", "H100-80"),
        ("NVIDIA A100-SXM4-40GB", "A100-40"),
        ("Tesla V100-SXM2-32GB", "V100-32"),
        ("Tesla T4", "T4"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA GeForce RTX 4090", "RTX-4090"),
        ("AMD Instinct MI250X", "MI250X-64"),
        ("NVIDIA L40", None),
        ("NVIDIA H100 PCIe", None),  # another peak than the SXM5's
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
    ],
)
def test_a_device_is_known_by_the_name_that_cuda_gives(cuda_name, name):
    found = devices.recognise(cuda_name)
    assert (found.name if found else None) == name


def test_an_unknown_device_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"device 'H100-60' is not known \(did you mean 'H100-80'\?\); known: V100-16"):
        devices.find_device("H100-60")


def test_a_device_without_bf16_has_no_peak_in_it():
    device = devices.find_device("v100-32")
    assert device.peak_flops("bf16") is None
    assert (device.peak_flops("fp16"), device.peak_flops("fp32")) == (125e12, 15.7e12)


def test_this_machine_has_memory_and_no_stated_peak():
    device = devices.find_device("cpu")
    assert device.is_cpu and device.memory_gb > 0 and device.peak_flops("fp32") is None
