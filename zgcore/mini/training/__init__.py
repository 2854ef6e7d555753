"""How the mini preset's weights are made: see `zgcore.mini.training.run`. Needs the extra [train]."""
