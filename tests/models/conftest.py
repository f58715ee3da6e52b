import pytest
import torch

from models import create_model
from models.catalog import ARCHITECTURES
from tests.models import golden
from tests.models.tiny import TINY


@pytest.fixture(autouse=True)
def one_thread():
    """Tensors here are so small that a second thread costs more than it saves."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def demo():
    model = create_model("vit_demo")
    model.load_state_dict(golden.weights("vit_demo"))
    return model.eval()


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "vit_tiny", TINY)
    return create_model("vit_tiny")
