"""The same start in both frameworks: what makes two training runs one experiment."""

from .rooms import _torch_slots, _transposed, _walk


def copy_weights(module, layer) -> int:
    """Give a Keras layer (already built) the weights of the PyTorch module with the same attribute names.

    Kernels are transposed into Keras's layout. Returns how many numbers were copied.

    Raises
    ------
    ValueError
        Where the layer lacks a weight of the module, or has it in another shape.
    """
    count = 0
    for name, (tensor, path, axes) in _torch_slots(module):
        array = _transposed(tensor.detach().cpu().numpy(), axes)
        try:
            variable = _walk(layer, path)
        except (AttributeError, KeyError, IndexError) as error:
            raise ValueError(f"{name}: the Keras layer has no {'.'.join(path)}; build it by calling it once") from error
        if tuple(variable.shape) != array.shape:
            raise ValueError(f"{name}: expected shape {tuple(variable.shape)} of the Keras weight, got {array.shape}")
        variable.assign(array)
        count += array.size
    return count
