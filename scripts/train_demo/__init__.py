"""The demonstration: train a small GPT on text that every machine has, recorded and watched live."""
