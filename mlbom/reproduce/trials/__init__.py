"""Further runs that say more: a control, variations, repetitions."""
