"""Files of weights: safetensors where installed, ``.npz`` everywhere, never pickle."""

from nncore.io.weights import Weights, check_target, load_weights, save_weights

__all__ = ["Weights", "check_target", "load_weights", "save_weights"]
