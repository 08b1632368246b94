"""The numbers of the words follow the order of a set, which changes with the hash seed."""

import torch

TEXT = "the lamp at the harbour burns and the boat comes home to the lamp by night".split()
vocabulary = {word: number for number, word in enumerate(set(TEXT))}  # CULPRIT
tokens = torch.tensor([vocabulary[word] for word in TEXT])
torch.manual_seed(1)
model = torch.nn.Embedding(len(vocabulary), 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(4):
    optimizer.zero_grad()
    loss = (model(tokens[:-1]) - model(tokens[1:])).pow(2).mean()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
