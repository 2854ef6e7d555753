"""Durable runs: a list of images on disk, worked off by any number of processes, whatever becomes of each of them.

store, schema     the list: an SQLite file with each image's state, attempts and reason
owner             which process has which images in hand, and whether it still lives
sources, keys     what SOURCE on the command line means, and what an image is called
project           Label Studio as a source of images; delivery: as the place for predictions
photos            a listed image as something that can be read
work              the loop: take images, have them labelled, hand over, note what became of them
local_engine      labels them in this process; helpers: further processes, each with a device of its own
ray_engine        labels them on many machines; ray_actor: what runs there
run, records      one run on disk, and its results for the files that gather them
prelabel          all of it put together
snapshot          how far a run is
registry          which runs there are
"""
