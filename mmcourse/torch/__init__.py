"""The same formulas as `torch.nn.Module`s."""
