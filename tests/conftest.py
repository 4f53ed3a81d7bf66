from hypothesis import settings

# A busy machine is no failure: properties are checked, not speed.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
