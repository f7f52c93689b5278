"""Speeds of accelerators: their peaks, from NVIDIA's data sheets."""

PEAK_FLOPS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "GH200": 989e12,
    "B200": 2250e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
}
"""Dense bf16 FLOP/s, by a part of the device's name. The first match counts."""
_UNKNOWN = 312e12
"""Peak that is assumed for a device with any other name when devices are compared."""


def peak_of(name: str) -> float | None:
    """Returns the bf16 FLOP/s of one device; None if the peak is unknown."""
    return next((peak for part, peak in PEAK_FLOPS.items() if part in name), None)


def relative_speed(accelerator_type: str | None) -> float:
    """Returns the speed of one device, 1 for an unknown type. `accelerator_type` is Ray's name of it."""
    return (peak_of(accelerator_type or "") or _UNKNOWN) / _UNKNOWN
