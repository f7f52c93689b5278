from typing import Literal

DevicePoolKind = Literal["cpu", "cuda"]

DEVICE_POOL_KIND_VALUES: set[DevicePoolKind] = {
    "cpu",
    "cuda",
}


def check_device_pool_kind(value: str) -> DevicePoolKind:
    if value in DEVICE_POOL_KIND_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {DEVICE_POOL_KIND_VALUES!r}")
