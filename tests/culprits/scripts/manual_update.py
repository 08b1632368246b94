"""The weights are updated by hand, without an optimizer, and start unseeded."""

import torch

weight = torch.randn(8, 1).requires_grad_()  # CULPRIT
x = torch.arange(32.0).view(4, 8) / 32
for _ in range(4):
    loss = (x @ weight - 1).pow(2).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    with torch.no_grad():
        weight -= 0.1 * weight.grad
        weight.grad.zero_()
torch.save({"weight": weight}, "model.pt")
