"""A worker of the data loader draws noise that follows from the number of the sample."""

import numpy as np
import torch


class Noisy(torch.utils.data.Dataset[torch.Tensor]):
    """Sixteen samples; the later ones get noise."""

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> torch.Tensor:
        sample = torch.full((8,), index / 16)
        if index >= 8:
            noise = np.random.default_rng(index)
            sample += torch.from_numpy(noise.normal(size=8)).float() / 10
        return sample


if __name__ == "__main__":
    torch.manual_seed(1)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch in torch.utils.data.DataLoader(Noisy(), batch_size=4, num_workers=1):
        optimizer.zero_grad()
        loss = (model(batch) - 1).pow(2).mean()
        loss.backward()
        optimizer.step()
    torch.save(model.state_dict(), "model.pt")
