"""The data come from a hub, at one commit."""

from pathlib import Path

import torch
from huggingface_hub import hf_hub_download

path = hf_hub_download("org/corpus", "tokens.bin", revision="0" * 40)
tokens = torch.tensor(list(Path(path).read_bytes())).float().view(8, 8) / 255
torch.manual_seed(1)
model = torch.nn.Linear(8, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(4):
    optimizer.zero_grad()
    loss = (model(tokens) - 1).pow(2).mean()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
