"""What holds of a bucket with a fallback or mirrors, whatever fails: modes, intents, healing, mirroring."""
