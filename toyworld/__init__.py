"""A drawn world with exact truth: people, dogs and things in scenes, in which OMG's claims can be measured on a CPU."""
