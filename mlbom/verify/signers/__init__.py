"""Who signed, and when: plain keys, identities, certificates, trusted times."""
