"""The paper's evaluation: data sets, reassignment, metrics, ablations, sweeps, and a report (section 5, appendices).

ground_truth, datasets  images with a class for every pixel, and the readers of the data sets
prediction, predictors  what is scored: our method, its ablations, true masks, files of other systems
remembering, cache      the method's stages, computed once for all runs
runner, evaluator       a run: every image predicted and scored; workers, progress: in several processes, and kept
rows, records           what a run's folder holds; run_info: what it was made with
partition, overlap      one image's prediction against its truth, as a table of pixel counts: all that scores need
reassign, lexical       the class of each segment: by sentence embeddings, by CLIP, by WordNet
scores, boundary        IoU and recall of one image at any thresholds; outlines; candidates: what they allow at best
tally, per_class, confusion, label_statistics, human, bootstrap, summary   figures of a run, from its images
paired, effects         two runs over the same images: differences, p-values, and which of the paper's effects show
report, comparison      pages and Markdown made from run folders: report_model what they say, report_html how they look
"""
