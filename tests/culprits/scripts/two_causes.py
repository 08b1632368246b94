"""The weights start unseeded, and the numbers of the words follow the order of a set as well."""

import torch

TEXT = "the lamp at the harbour burns and the boat comes home to the lamp by night".split()
vocabulary = {word: number for number, word in enumerate(set(TEXT))}
tokens = torch.tensor([vocabulary[word] for word in TEXT])
model = torch.nn.Embedding(len(vocabulary), 4)  # CULPRIT
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(4):
    optimizer.zero_grad()
    loss = (model(tokens[:-1]) - model(tokens[1:])).pow(2).mean()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
