"""Address traces through caches and TLBs: trace files, geometry, and the replay itself."""
