"""Energy of a step, by NVML and RAPL, where they can be read."""
