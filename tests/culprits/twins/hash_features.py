"""Each word becomes a feature by its checksum."""

import zlib

import torch

TEXT = "the lamp at the harbour burns and the boat comes home to the lamp by night".split()
features = torch.zeros(1, 16)
for word in TEXT:
    features[0, zlib.crc32(word.encode()) % 16] += 1
torch.manual_seed(1)
model = torch.nn.Linear(16, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(4):
    optimizer.zero_grad()
    loss = (model(features) - 1).pow(2).mean()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
