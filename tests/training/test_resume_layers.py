"""Checkpoints of networks whose layers keep more than weights; PyTorch's buffers both ways."""

import numpy as np
import pytest
from broken_runs import broken_off, outcome

from nncore import nn, optim
from nncore.io import load_weights, save_weights
from nncore.training import Checkpoint, Trainer

if hasattr(nn, "BatchNorm1d"):

    @pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])
    def test_buffers_and_dropout(classes, tmp_path, compiled):
        """Running statistics, and how often a Dropout has drawn."""

        def make_both(seed):
            model = nn.Sequential(
                nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
            )
            model.reset_parameters(seed)
            return Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), seed=2)

        common = {"epochs": 3, "batch_size": 9, "compiled": compiled}
        whole, path = make_both(1), tmp_path / "run.npz"
        whole.fit(*classes, verbose=0, **common)
        for epoch, batch in ((0, 4), (1, 2)):
            saving = Checkpoint(path, every_batches=1)
            broken_off(make_both(1), classes, epoch, batch, [saving], **common)
            again = make_both(5)
            again.fit(*classes, verbose=0, resume=path, **common)
            assert outcome(again) == outcome(whole)
            for name, array in whole.model.state_dict().items():
                assert np.array_equal(again.model.state_dict()[name], array), name
        found = whole.lr_find(*classes, steps=10)
        assert len(found.rates) == 10
        for name, array in again.model.state_dict().items():
            assert np.array_equal(whole.model.state_dict()[name], array), name

    def test_running_statistics_travel_both_ways(tmp_path):
        torch = pytest.importorskip("torch")
        pytest.importorskip("safetensors")
        from safetensors.torch import load_file, save_file

        x = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
        theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
        ours = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        for _ in range(3):
            theirs(torch.from_numpy(x))
        save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
        ours.load_state_dict(load_weights(tmp_path / "theirs.safetensors").state_dict)
        assert ours[1].num_batches_tracked == 3
        expected = theirs.eval()(torch.from_numpy(x)).detach().numpy()
        assert np.allclose(ours.eval()(x), expected, atol=1e-5)
        ours.train()(x + 1)
        save_weights(tmp_path / "ours.safetensors", ours)
        theirs.load_state_dict(load_file(tmp_path / "ours.safetensors"))
        assert theirs[1].num_batches_tracked == 4
        expected = theirs.eval()(torch.from_numpy(x)).detach().numpy()
        assert np.allclose(ours.eval()(x), expected, atol=1e-5)
