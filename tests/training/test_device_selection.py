import mindspore as ms
import pytest

from msnoah.errors import DeviceError
from msnoah.training.device import select_device


@pytest.mark.parametrize("name", ["GPU", "Ascend"])
def test_a_missing_device_costs_one_line_and_no_noise(name, capfd):
    with pytest.raises(DeviceError, match=f"device {name} cannot be used: MindSpore .* accepts CPU here") as caught:
        select_device(name)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    select_device("CPU")
    assert float(ms.ops.relu(ms.Tensor(2.0))) == 2.0
