"""The control side: turns an AutoLFADSRun into a Ray cluster and reports back. Comes with a later release."""
