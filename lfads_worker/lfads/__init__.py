"""The LFADS model with a leading members axis, in TensorFlow. Knows no data files, no scheduling, no PBT."""
