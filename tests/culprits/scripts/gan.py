"""Two optimizers take turns; the latent noise is drawn from numpy, which nobody seeds."""

# ruff: noqa: NPY002
import numpy as np
import torch

torch.manual_seed(1)
generator, critic = torch.nn.Linear(4, 8), torch.nn.Linear(8, 1)
steps = {
    "critic": torch.optim.Adam(critic.parameters(), lr=0.01),
    "generator": torch.optim.Adam(generator.parameters(), lr=0.01),
}
real = torch.arange(32.0).view(4, 8) / 32
for _ in range(3):
    latent = torch.from_numpy(np.random.normal(size=(4, 4))).float()  # CULPRIT
    for name, optimizer in steps.items():
        optimizer.zero_grad()
        fake = generator(latent)
        if name == "critic":
            loss = critic(fake.detach()).mean() - critic(real).mean()
        else:
            loss = -critic(fake).mean()
        loss.backward()
        optimizer.step()
torch.save({"generator": generator.state_dict(), "critic": critic.state_dict()}, "model.pt")
