"""The paper's evaluation: data sets, reassignment, metrics, ablations, sweeps, and a report (section 5, appendices).

ground_truth, datasets  images with a class for every pixel, and the readers of the data sets
prediction, predictors  what is scored: our method, its ablations, true masks, files of other systems
overlap                 one image's prediction against its truth, as a table of pixel counts: all that scores need
"""
