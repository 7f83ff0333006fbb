"""The catalog: what is known on this machine of one account's history."""
