"""safetensors into small modules: every way a file can fail to fit, and the formats that must load."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from zgcore.checkpoint import load_into, read_checkpoint
from zgcore.errors import WeightsError


class Small(nn.Module):
    """Two layers, the second sharing the first one's weight, and a persistent buffer."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.first = nn.Linear(width, width, bias=False)
        self.second = nn.Linear(width, width)
        self.second.weight = self.first.weight
        self.register_buffer("count", torch.zeros(1))


WEIGHT = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
BIAS = torch.tensor([5.0, 6.0])


def whole() -> dict[str, torch.Tensor]:
    return {"first.weight": WEIGHT.clone(), "second.bias": BIAS.clone(), "count": torch.ones(1)}


def load(tensors, tmp_path, **options) -> Small:
    save_file(tensors, tmp_path / "small.safetensors")
    module = Small()
    load_into(module, read_checkpoint([tmp_path / "small.safetensors"], "small.safetensors"), **options)
    return module


def message(tensors, tmp_path, **options) -> str:
    with pytest.raises(WeightsError) as caught:
        load(tensors, tmp_path, **options)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_values_arrive(tmp_path):
    module = load(whole(), tmp_path)
    assert torch.equal(module.first.weight, WEIGHT)
    assert module.second.weight is module.first.weight
    assert torch.equal(module.second.bias, BIAS)
    assert module.count.item() == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_number_formats_become_float32(dtype, tmp_path):
    module = load({name: tensor.to(dtype) for name, tensor in whole().items()}, tmp_path)
    assert module.first.weight.dtype == torch.float32
    assert torch.equal(module.first.weight, WEIGHT)


def test_a_shared_weight_under_its_second_name(tmp_path):
    tensors = whole()
    tensors["second.weight"] = tensors.pop("first.weight")
    assert torch.equal(load(tensors, tmp_path).first.weight, WEIGHT)


def test_renamed_and_harmless_tensors(tmp_path):
    tensors = {f"model.{name}": tensor for name, tensor in whole().items()} | {"model.old": torch.zeros(3)}
    module = load(
        tensors, tmp_path, rename=lambda name: name.removeprefix("model."), harmless=lambda name: name == "old"
    )
    assert torch.equal(module.second.bias, BIAS)


def test_files_together(tmp_path):
    tensors = whole()
    save_file({"count": tensors.pop("count")}, tmp_path / "b.safetensors")
    save_file(tensors, tmp_path / "a.safetensors")
    module = Small()
    load_into(module, read_checkpoint([tmp_path / "a.safetensors", tmp_path / "b.safetensors"], "two files"))
    assert (module.count.item(), module.second.bias[1].item()) == (1, 6)


def test_the_first_wrong_shape_in_the_modules_order_is_named(tmp_path):
    tensors = {"second.bias": torch.zeros(3), "first.weight": torch.zeros(3, 4), "count": torch.ones(1)}
    assert message(tensors, tmp_path).startswith(
        "small.safetensors: first.weight is (3, 4), expected (2, 2): these are weights of another architecture"
    )


def test_nothing_is_loaded_when_something_does_not_fit(tmp_path):
    save_file(whole() | {"count": torch.zeros(2)}, tmp_path / "small.safetensors")
    module = Small()
    before = module.first.weight.clone()
    with pytest.raises(WeightsError):
        load_into(module, read_checkpoint([tmp_path / "small.safetensors"], "small"))
    assert torch.equal(module.first.weight, before)


def test_missing_tensors_are_named(tmp_path):
    assert message({"count": torch.ones(1)}, tmp_path).startswith(
        "small.safetensors: first.weight, second.bias are missing"
    )


def test_unexpected_tensors_are_named_and_counted(tmp_path):
    extra = {f"extra.{n}": torch.zeros(1) for n in range(5)}
    assert message(whole() | extra, tmp_path).startswith(
        "small.safetensors: extra.0, extra.1, extra.2 and 2 more are not expected"
    )


def test_a_file_cut_short(tmp_path):
    save_file(whole(), tmp_path / "small.safetensors")
    data = (tmp_path / "small.safetensors").read_bytes()
    for size in (0, 5, 40, len(data) - 1):
        (tmp_path / "cut.safetensors").write_bytes(data[:size])
        with pytest.raises(WeightsError, match=r"^cut\.safetensors is cut short or no safetensors file"):
            read_checkpoint([tmp_path / "cut.safetensors"], "cut.safetensors")


@pytest.mark.parametrize("content", [b"PK\x03\x04 a pickled archive" * 9, b"<html>not found</html>" * 9])
def test_another_format(content, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="no safetensors file"):
        read_checkpoint([tmp_path / "x.safetensors"], "x.safetensors")


def test_a_git_lfs_pointer(tmp_path):
    (tmp_path / "x.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(WeightsError, match="is a Git LFS pointer"):
        read_checkpoint([tmp_path / "x.safetensors"], "x.safetensors")


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(WeightsError, match="x is missing"):
        read_checkpoint([tmp_path / "x"], "x")
    with pytest.raises(WeightsError, match="x cannot be read"):
        read_checkpoint([tmp_path], "x")
